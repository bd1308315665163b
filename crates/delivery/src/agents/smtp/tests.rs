//! The agent against scripted servers on loopback.

mod bodies;
mod reuse;
mod servers;
mod stages;

use super::*;
use crate::{Assignment, OutcomeSink};
use mail::{
    Address, Content, ContentFlags, Dsn, Encoding, Job, JobId, JobRecipient, Outcome, QueueId, Recipient,
    SiteFailure, Stamps, Status,
};
use net::dns::ScriptedResolver;
use servers::Server;
use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::LocalSet;

/// Longer than any test should wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on one event loop, as the agent runs.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new()
        .block_on(&runtime, async { tokio::time::timeout(PATIENCE, test).await.expect("the test ends") })
}

/// What became of a job.
#[derive(Default)]
struct Results {
    outcomes: RefCell<Vec<Outcome>>,
    done: RefCell<Option<Option<SiteFailure>>>,
    over: Notify,
}

impl OutcomeSink for Results {
    fn outcome(&self, outcome: Outcome) {
        self.outcomes.borrow_mut().push(outcome);
    }
    fn done(&self, _: JobId, site_failure: Option<SiteFailure>) {
        assert!(self.done.replace(Some(site_failure)).is_none(), "a job is done once");
        self.over.notify_one();
    }
}

/// A job under way or over.
struct Sent {
    results: Rc<Results>,
    queue_id: QueueId,
}

impl Sent {
    /// Each recipient's status, code and reason, by index, once the job is done.
    async fn outcomes(&self) -> Vec<(Status, Dsn, String)> {
        while self.results.done.borrow().is_none() {
            self.results.over.notified().await;
        }
        let mut outcomes = self.results.outcomes.borrow().clone();
        outcomes.sort_by_key(|o| o.index);
        outcomes.into_iter().map(|o| (o.status, o.dsn, o.reason)).collect()
    }

    async fn only(&self) -> (Status, Dsn, String) {
        let outcomes = self.outcomes().await;
        assert_eq!(outcomes.len(), 1);
        outcomes[0].clone()
    }

    fn site_failure(&self) -> Option<SiteFailure> {
        self.results.done.borrow().clone().expect("the job is done")
    }

    /// The log's lines about the message, without id and delays.
    fn log(&self) -> Vec<String> {
        observe::flush();
        let all = std::fs::read_to_string(log_file()).unwrap();
        let mark = format!("]: {}: ", self.queue_id);
        let lines = all.lines().filter_map(|line| Some(line.split_once(&mark)?.1));
        lines.map(without_delays).collect()
    }
}

fn without_delays(line: &str) -> String {
    match (line.find(", delay="), line.find(", dsn=")) {
        (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to..]),
        _ => line.to_string(),
    }
}

fn log_file() -> PathBuf {
    static STARTED: OnceLock<PathBuf> = OnceLock::new();
    let path = STARTED.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("delivery-tests-{}.log", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let destination = observe::Destination::Path(path.clone());
        observe::start(observe::Settings { destination, console: false }).unwrap();
        path
    });
    path.clone()
}

fn agent(settings: Settings, resolver: ScriptedResolver) -> SmtpAgent {
    log_file();
    let numbers = Numbers::new(observe::NumbersRange::of_slot(1));
    SmtpAgent::new(settings, Rc::new(resolver), Tag::new("postfix", "smtp", 0), numbers)
}

/// Settings whose time limits a test can wait for.
fn quick() -> Settings {
    let soon = Duration::from_millis(300);
    let timeouts = Timeouts {
        connect: soon,
        helo: soon,
        xforward: soon,
        mail: soon,
        rcpt: soon,
        data_init: soon,
        data_xfer: soon,
        data_done: soon,
        rset: soon,
        quit: soon,
    };
    Settings { timeouts, randomize: false, keep: Keep::Always, ..Settings::default() }
}

fn content(text: &str) -> Content {
    Content::in_memory(vec![text.as_bytes().to_vec().into()], ContentFlags::default())
}

fn job(nexthop: &str, recipients: &[&str]) -> Job {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let recipient = |(index, to): (usize, &&str)| JobRecipient {
        index: index as u32,
        recipient: Recipient::new(Address::from(*to)),
    };
    let now = net::clock::now();
    Job {
        id: JobId(n),
        queue_id: QueueId::parse(&format!("4XyZ{n}")).unwrap(),
        purpose: mail::Purpose::Delivery,
        sender: Address::from("ann@example.com"),
        envid: String::new(),
        ret: None,
        encoding: Encoding::Unknown,
        smtputf8: 0,
        origin: Arc::default(),
        transport: "smtp".into(),
        nexthop: nexthop.into(),
        recipients: recipients.iter().enumerate().map(recipient).collect(),
        content: content("Subject: hello\r\n\r\nbody\r\n"),
        stamps: Stamps { arrival: now, active: now, handed_off: now, connected: None },
    }
}

fn hand(agent: &impl DeliveryAgent, job: Job) -> Sent {
    let results = Rc::new(Results::default());
    let queue_id = job.queue_id.clone();
    agent.accept(Assignment::new(job, results.clone()));
    Sent { results, queue_id }
}

/// Sends one message for one recipient.
fn send(agent: &SmtpAgent, nexthop: &str) -> Sent {
    hand(agent, job(nexthop, &["bob@example.org"]))
}
