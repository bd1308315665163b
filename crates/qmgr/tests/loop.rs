//! The whole queue manager on a real queue directory: commits of an intake go in, jobs come out, and what is left
//! after a stop lies in Postfix's directories.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use bytes::Bytes;
use mail::{Address, ContentFlags, Dsn, Envelope, Job, Outcome, QueueId, Recipient, SiteFailure, Status};
use net::{Shutdown, clock};
use observe::Tag;
use qmgr::{Back, Hand, Inputs, Order, Router, Routing, Settings, Snapshot, Target, run};
use queue::{Hooks, Intake, IntakeSettings, Listed, NoticeSender, RealDisk, Role, Store, StoreSettings};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// A queue directory that is removed at the end.
struct Spool(PathBuf);

impl Spool {
    fn new(name: &str) -> Spool {
        let path = std::env::temp_dir().join(format!("qmgr-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        for dir in [
            "journal", "private", "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce",
            "trace",
        ] {
            std::fs::create_dir_all(path.join(dir)).unwrap();
        }
        Spool(path)
    }

    fn files(&self, dir: &str) -> Vec<String> {
        let (mut found, mut todo) = (Vec::new(), vec![self.0.join(dir)]);
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => todo.push(entry.path()),
                    false => found.push(entry.file_name().into_string().unwrap()),
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers each job at once as the recipient's domain says, and counts.
#[derive(Default)]
struct Agents {
    delivered: RefCell<BTreeMap<String, usize>>,
    /// `later.example` takes mail now.
    later_is_now: Cell<bool>,
}

impl Agents {
    fn count(&self, address: &str) -> usize {
        self.delivered.borrow().get(address).copied().unwrap_or(0)
    }
}

impl Hand for Agents {
    fn knows(&self, _: &str) -> bool {
        true
    }

    fn deliver(&self, job: Job, back: Rc<dyn Back>) {
        let mut site = None;
        for r in &job.recipients {
            let address = String::from_utf8(r.recipient.address.as_bytes().to_vec()).unwrap();
            let (status, dsn) = match r.recipient.address.domain_lower().as_str() {
                _ if &*job.transport == "retry" => (Status::Deferred, Dsn::new(4, 4, 1)),
                "later.example" if !self.later_is_now.get() => (Status::Deferred, Dsn::new(4, 0, 0)),
                "never.example" => (Status::Bounced, Dsn::new(5, 1, 1)),
                "dead.example" => {
                    site = Some(SiteFailure { dsn: Dsn::new(4, 4, 1), reason: "timed out".into() });
                    (Status::Deferred, Dsn::new(4, 4, 1))
                }
                _ => (Status::Sent, Dsn::new(2, 0, 0)),
            };
            if status == Status::Sent {
                *self.delivered.borrow_mut().entry(address).or_default() += 1;
            }
            back.outcome(Outcome {
                job: job.id,
                index: r.index,
                status,
                dsn,
                reason: "as told".into(),
                diagnostic: None,
                remote_mta: None,
                relay: None,
                relayed: true,
                next_hop_reports: false,
                parts: Vec::new(),
            });
        }
        back.done(job.id, site);
    }
}

struct ByDomain;

impl Router for ByDomain {
    fn route<'a>(&'a self, recipient: &'a Address, _: &'a Address, _: mail::Purpose) -> Routing<'a> {
        let nexthop = recipient.domain_lower().into();
        Target { transport: "smtp".into(), nexthop, recipient: recipient.clone(), local: false }.into()
    }
}

fn bounce_settings() -> bounce::Settings {
    bounce::Settings::of_host("here.example")
}

/// The queue manager while a closure runs.
struct Running {
    agents: Rc<Agents>,
    orders: mpsc::Sender<Order>,
}

impl Running {
    async fn list(&self) -> Vec<Listed> {
        let (ask, answer) = oneshot::channel();
        self.orders.send(Order::List(ask)).await.unwrap();
        answer.await.unwrap()
    }
}

fn with_qmgr<F: Future<Output = ()>>(spool: &Path, body: impl FnOnce(Rc<Running>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let disk = Arc::new(RealDisk::new(spool).unwrap());
        let settings = StoreSettings::new(Arc::new(|report| panic!("{report}")));
        let (store, _) = Store::open(settings, disk, clock::now()).unwrap();
        let socket = spool.join("private/journal");
        let _ = std::fs::remove_file(&socket);
        let (orders, orders_out) = mpsc::channel(8);
        let (_reloads, reloads) = mpsc::channel(1);
        let (trigger, shutdown) = Shutdown::new();
        let agents = Rc::new(Agents::default());
        let tag = Tag::new("postfix", "qmgr", 1);
        let inputs = Inputs {
            spool: store,
            snapshot: Snapshot {
                settings: Arc::new(Settings::default()),
                router: Rc::new(ByDomain),
                bounce: Arc::new(bounce_settings()),
                verify: Arc::default(),
            },
            reloads,
            hand: agents.clone(),
            notices: UnixListener::bind(&socket).unwrap(),
            orders: orders_out,
            desk: verify::Desk::in_memory(verify::Settings::default()),
            probes: mpsc::channel(1).1,
            bounce_tag: tag.clone(),
            cleanup_tag: tag.clone(),
            tag,
            shutdown,
        };
        let running = tokio::task::spawn_local(run(inputs));
        body(Rc::new(Running { agents, orders })).await;
        trigger.request();
        running.await.unwrap().unwrap();
    });
}

fn intake(spool: &Path) -> Intake {
    let mut sender = NoticeSender::new(&spool.join("private/journal"));
    let hooks = Hooks { notice: Box::new(move |n| sender.send(n)), ..Hooks::none() };
    Intake::open(IntakeSettings::new(Role::Smtpd), Arc::new(RealDisk::new(spool).unwrap()), hooks).unwrap()
}

async fn send(intake: &Intake, sender: &str, recipients: &[&str]) -> QueueId {
    let now = clock::now();
    let mut draft = intake.draft(intake.new_id(now));
    draft.append(Bytes::from("Subject: x\r\n\r\nbody\r\n")).unwrap();
    let mut envelope = Envelope::new(Address::from(sender), now);
    envelope.recipients = recipients.iter().map(|r| Recipient::new(Address::from(*r))).collect();
    intake.commit(draft, envelope, ContentFlags::default()).await.unwrap().queue_id().clone()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never happens: {what}"));
}

#[test]
fn each_message_is_delivered_once_and_leaves_nothing_behind() {
    let spool = Spool::new("all");
    let path = spool.0.clone();
    with_qmgr(&spool.0, |q| async move {
        let intake = intake(&path);
        let names: Vec<String> = (0..300).map(|n| format!("r{n}@d{}.example", n % 7)).collect();
        for name in &names {
            send(&intake, "s@x.example", &[name]).await;
        }
        until("all are delivered", || q.agents.delivered.borrow().len() == 300).await;
        assert!(names.iter().all(|n| q.agents.count(n) == 1));
    });
    assert_eq!((spool.files("deferred"), spool.files("hold")), (vec![], vec![]));
}

#[test]
fn what_is_deferred_is_a_file_after_a_stop_and_is_delivered_by_the_next_one() {
    let spool = Spool::new("deferred");
    let path = spool.0.clone();
    with_qmgr(&spool.0, |q| async move {
        let intake = intake(&path);
        send(&intake, "s@x.example", &["a@later.example", "b@now.example"]).await;
        until("the other is delivered", || q.agents.count("b@now.example") == 1).await;
    });
    let waiting = spool.files("deferred");
    assert_eq!(waiting.len(), 1);
    assert_eq!(spool.files("defer"), waiting, "the reason stands beside it");
    with_qmgr(&spool.0, |q| async move {
        q.agents.later_is_now.set(true);
        // The directories are read in the background.
        while q.list().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        q.orders.send(Order::FlushAll).await.unwrap();
        until("the file is delivered", || q.agents.count("a@later.example") == 1).await;
        assert_eq!(q.agents.count("b@now.example"), 0, "done recipients are not tried again");
    });
    assert_eq!((spool.files("deferred"), spool.files("defer")), (vec![], vec![]));
}

#[test]
fn a_failure_goes_back_to_the_sender() {
    let spool = Spool::new("bounce");
    let path = spool.0.clone();
    with_qmgr(&spool.0, |q| async move {
        let intake = intake(&path);
        send(&intake, "sender@x.example", &["a@never.example"]).await;
        until("the report is delivered", || q.agents.count("sender@x.example") == 1).await;
        send(&intake, "", &["a@never.example"]).await;
        send(&intake, "s@x.example", &["last@now.example"]).await;
        until("the last is delivered", || q.agents.count("last@now.example") == 1).await;
    });
    assert_eq!(spool.files("deferred"), Vec::<String>::new());
}

#[test]
fn a_dead_destination_does_not_delay_a_live_one() {
    let spool = Spool::new("dead");
    let path = spool.0.clone();
    with_qmgr(&spool.0, |q| async move {
        let intake = intake(&path);
        for n in 0..200 {
            let dead = format!("r{n}@dead.example");
            send(&intake, "s@x.example", &[&dead]).await;
        }
        send(&intake, "s@x.example", &["a@live.example"]).await;
        until("the live one is delivered", || q.agents.count("a@live.example") == 1).await;
    });
    assert_eq!(spool.files("deferred").len(), 200);
}
