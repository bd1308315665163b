//! Sends many messages with the SMTP agent alone, to count system calls and time: `send HOST:PORT MESSAGES AT-ONCE BYTES`.
#![allow(clippy::unwrap_used)]

use delivery::agents::smtp::{Settings, SmtpAgent};
use delivery::{Assignment, DeliveryAgent, OutcomeSink};
use mail::{
    Address, Content, ContentFlags, Encoding, Job, JobId, JobRecipient, Outcome, QueueId, Recipient,
    SiteFailure, Stamps, Status,
};
use net::dns::ScriptedResolver;
use observe::{Destination, Numbers, NumbersRange, Tag};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Hands out the next job whenever one is done, as a scheduler would.
struct Source {
    agent: SmtpAgent,
    nexthop: Arc<str>,
    content: Content,
    left: Cell<u64>,
    under_way: Cell<u64>,
    over: Notify,
}

impl Source {
    fn next(self: &Rc<Self>) {
        if self.left.get() == 0 {
            return;
        }
        self.left.set(self.left.get() - 1);
        self.under_way.set(self.under_way.get() + 1);
        let now = net::clock::now();
        let job = Job {
            id: JobId(self.left.get()),
            queue_id: QueueId::parse("4XyZ1").expect("a measuring tool may stop"),
            purpose: mail::Purpose::Delivery,
            sender: Address::from("ann@example.com"),
            envid: String::new(),
            ret: None,
            encoding: Encoding::Unknown,
            smtputf8: 0,
            origin: Arc::default(),
            transport: "smtp".into(),
            nexthop: self.nexthop.clone(),
            recipients: vec![JobRecipient {
                index: 0,
                recipient: Recipient::new(Address::from("bob@example.org")),
            }],
            content: self.content.clone(),
            stamps: Stamps { arrival: now, active: now, handed_off: now, connected: None },
        };
        self.agent.accept(Assignment::new(job, Rc::new(Back(self.clone()))));
    }
}

struct Back(Rc<Source>);

impl OutcomeSink for Back {
    fn outcome(&self, outcome: Outcome) {
        if outcome.status != Status::Sent {
            println!("not sent: {}", outcome.reason);
            std::process::exit(1);
        }
    }
    fn done(&self, _: JobId, _: Option<SiteFailure>) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.next();
        if self.0.under_way.get() == 0 {
            self.0.over.notify_one();
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, at, messages, at_once, bytes] = &args[..] else {
        panic!("send HOST:PORT MESSAGES AT-ONCE BYTES")
    };
    observe::start(observe::Settings { destination: Destination::Path("/dev/null".into()), console: false })
        .expect("a measuring tool may stop");
    let (host, port) = at.split_once(':').expect("a measuring tool may stop");
    let size: usize = bytes.parse().expect("a measuring tool may stop");
    let line = b"0123456789 0123456789 0123456789 0123456789 0123456789 012345\r\n";
    let body: Vec<u8> = line.iter().copied().cycle().take(size / line.len() * line.len()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a measuring tool may stop");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let numbers = Numbers::new(NumbersRange::of_slot(1));
        let agent = SmtpAgent::new(
            Settings::default(),
            Rc::new(ScriptedResolver::new()),
            Tag::new("postfix", "smtp", 0),
            numbers,
        );
        let source = Rc::new(Source {
            agent: agent.clone(),
            nexthop: format!("[{host}]:{port}").into(),
            content: Content::in_memory(vec![body.into()], ContentFlags::default()),
            left: Cell::new(messages.parse().expect("a measuring tool may stop")),
            under_way: Cell::new(0),
            over: Notify::new(),
        });
        let began = Instant::now();
        for _ in 0..at_once.parse::<u64>().expect("a measuring tool may stop") {
            source.next();
        }
        source.over.notified().await;
        let took = began.elapsed();
        let rate = messages.parse::<f64>().expect("a measuring tool may stop") / took.as_secs_f64();
        println!("{messages} messages in {:.3} s: {rate:.0} a second", took.as_secs_f64());
        agent.finish().await;
    });
}
