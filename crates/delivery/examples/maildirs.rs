//! How fast messages get into Maildirs: `maildirs DIRECTORY MAILDIRS JOBS RECIPIENTS_A_JOB WORKERS [MBOX]`.
//!
//! The agent and the local role in one process, over their socket, as the caller. Prints deliveries a second.

use delivery::agents::virtual_::VirtualAgent;
use delivery::local_role::{Inputs, Locking, Service, Services, Settings, Writing, run};
use delivery::{Assignment, DeliveryAgent, OutcomeSink, ReportStyle};
use mail::{
    Address, Content, ContentFlags, Encoding, Job, JobId, JobRecipient, Outcome, QueueId, Recipient,
    SiteFailure, Stamps, Status,
};
use observe::{Numbers, NumbersRange, Tag};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tables::Maps;

/// Jobs under way at once, as many as the scheduler lets a destination have.
const AT_ONCE: usize = 20;

#[derive(Default)]
struct Count {
    sent: Cell<usize>,
    failed: Cell<usize>,
    jobs: Cell<usize>,
}

impl OutcomeSink for Count {
    fn outcome(&self, outcome: Outcome) {
        let cell = if outcome.status == Status::Sent { &self.sent } else { &self.failed };
        cell.set(cell.get() + 1);
    }

    fn done(&self, _: JobId, _: Option<SiteFailure>) {
        self.jobs.set(self.jobs.get() + 1);
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|w| w.parse::<usize>().ok());
    let (Some(directory), Some(maildirs), Some(jobs), Some(each), Some(workers)) =
        (words.first(), number(1), number(2), number(3), number(4))
    else {
        eprintln!("maildirs DIRECTORY MAILDIRS JOBS RECIPIENTS_A_JOB WORKERS [MBOX]");
        return;
    };
    let slash = if words.len() > 5 { "" } else { "/" };
    let table: Vec<String> =
        (0..maildirs).map(|n| format!("{{u{n}@virt.example = box/{n}{slash}}}")).collect();
    let maps = |spec: String| Maps::open(&[spec], &tables::Settings::default()).expect("tables are right");
    let settings = Settings {
        mailbox_maps: maps(format!("inline:{{ {} }}", table.join(", "))),
        uid_maps: maps("static:5000".into()),
        gid_maps: maps("static:5000".into()),
        mailbox_base: directory.clone(),
        minimum_uid: 100,
        writing: Arc::new(Writing {
            size_max: 0,
            locking: Locking {
                dotlock: true,
                fcntl: true,
                flock: false,
                attempts: 20,
                delay: Duration::from_secs(1),
                stale: Duration::from_secs(500),
            },
            strict_ownership: true,
            hostname: "mail.example.com".into(),
            as_caller: true,
        }),
        recipient_delimiter: String::new(),
        original_recipient: true,
    };
    std::fs::create_dir_all(format!("{directory}/box")).expect("the directory can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let count = Rc::new(Count::default());
    let took = tokio::task::LocalSet::new()
        .block_on(&runtime, deliver(directory, settings, jobs, each, maildirs, workers, &count));
    println!(
        "{} delivered, {} failed, {workers} workers: {:.2} s, {:.0} a second",
        count.sent.get(),
        count.failed.get(),
        took.as_secs_f64(),
        count.sent.get() as f64 / took.as_secs_f64()
    );
}

async fn deliver(
    directory: &str,
    settings: Settings,
    jobs: usize,
    each: usize,
    maildirs: usize,
    workers: usize,
    count: &Rc<Count>,
) -> Duration {
    let socket = std::path::PathBuf::from(format!("{directory}/socket"));
    let _ = std::fs::remove_file(&socket);
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let (_settings, receiver) =
        tokio::sync::watch::channel(Arc::new(Services::one("virtual", Service::Virtual(Arc::new(settings)))));
    let (_trigger, shutdown) = net::Shutdown::new();
    tokio::task::spawn_local(run(Inputs {
        listener,
        settings: receiver,
        workers,
        spawner: Default::default(),
        shutdown,
    }));
    let numbers = Numbers::new(NumbersRange::of_slot(0));
    let agent =
        VirtualAgent::start(socket, Tag::new("postfix", "virtual", 1), numbers, ReportStyle::default());
    let content = bytes::Bytes::from(
        format!("Subject: x\r\n\r\n{}", "0123456789 ".repeat(6).trim().to_string() + "\r\n").repeat(12),
    );
    let start = Instant::now();
    for n in 0..jobs {
        while n - count.jobs.get() >= AT_ONCE {
            tokio::task::yield_now().await;
        }
        let recipients = (0..each).map(|i| JobRecipient {
            index: i as u32,
            recipient: Recipient::new(Address::new(format!("u{}@virt.example", (n * each + i) % maildirs))),
        });
        let job = Job {
            id: JobId(n as u64),
            queue_id: QueueId::parse("4XyZ1").expect("an id"),
            purpose: mail::Purpose::Delivery,
            sender: Address::from("sender@example.org"),
            envid: String::new(),
            ret: None,
            encoding: Encoding::Unknown,
            smtputf8: 0,
            origin: Arc::default(),
            transport: "virtual".into(),
            nexthop: "virt.example".into(),
            recipients: recipients.collect(),
            content: Content::in_memory(vec![content.clone()], ContentFlags::default()),
            stamps: Stamps::default(),
        };
        agent.accept(Assignment::new(job, count.clone()));
    }
    while count.jobs.get() < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}
