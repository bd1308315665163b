//! The driver with a queue in memory: what is recorded when, and in which order.

mod probes;
mod readers;
mod ways;

use super::*;
use crate::route::{Routing, Target};
use crate::scheduler;
use bounce::{Addressed, Heading};
use bytes::Bytes;
use mail::{ContentFlags, Dsn, Notify, Recipient};
use queue::{CommitError, Due, Listed, NewMessage, Notice, SegmentId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What the fake queue and the fake agents were told, in order.
type Log = Rc<RefCell<Vec<String>>>;

#[derive(Default)]
struct Kept {
    message: Option<NewMessage>,
    hold: bool,
}

/// A queue in memory.
struct Memory {
    log: Log,
    new: Vec<NewMessage>,
    kept: BTreeMap<MessageKey, Kept>,
    waiting: BTreeSet<(Timestamp, MessageKey)>,
    buffered: usize,
    broken: Rc<RefCell<bool>>,
    last: u64,
    ids: u64,
}

impl Memory {
    fn note(&self, text: String) {
        self.log.borrow_mut().push(text);
    }

    fn add(&mut self, mut message: NewMessage) -> NewMessage {
        self.last += 1;
        message.key = MessageKey { segment: SegmentId(1), index: self.last };
        self.kept.insert(message.key, Kept { message: Some(message.clone()), hold: false });
        message
    }
}

impl Spool for Rc<RefCell<Memory>> {
    fn take_notice(&mut self, _: Notice) {}
    fn poll_new(&mut self, _: Timestamp) -> io::Result<Vec<NewMessage>> {
        Ok(std::mem::take(&mut self.borrow_mut().new))
    }
    fn record(&mut self, record: Record) {
        let mut memory = self.borrow_mut();
        memory.buffered += 1;
        match record {
            Record::Attempt { key } => memory.note(format!("attempt {}", key.index)),
            Record::Outcome { key, outcome } => {
                memory.note(format!("{:?} {} #{}", outcome.status, key.index, outcome.index));
                let done = outcome.status != Status::Deferred;
                if let Some(message) = memory.kept.get_mut(&key).and_then(|k| k.message.as_mut()) {
                    message.done[outcome.index as usize] |= done;
                }
            }
            Record::Retry { key, at } => {
                memory.note(format!("retry {} at {}", key.index, at.secs()));
                memory.waiting.insert((at, key));
            }
            Record::Hold { key, .. } => {
                memory.kept.entry(key).or_default().hold = true;
                memory.note(format!("hold {}", key.index));
            }
            Record::Release { key } => memory.kept.entry(key).or_default().hold = false,
            Record::Warned { key } => memory.note(format!("warned {}", key.index)),
            Record::Remove { key } => {
                memory.kept.remove(&key);
                memory.note(format!("remove {}", key.index));
            }
        }
    }
    fn new_id(&mut self, _: Timestamp) -> QueueId {
        let mut memory = self.borrow_mut();
        memory.ids += 1;
        QueueId::parse(&format!("B{}", memory.ids)).unwrap()
    }
    fn bounce(
        &mut self,
        cause: Option<(MessageKey, &[Outcome])>,
        id: QueueId,
        envelope: Envelope,
        content: Vec<Bytes>,
        flags: ContentFlags,
    ) -> Result<NewMessage, CommitError> {
        let mut memory = self.borrow_mut();
        if let Some((key, outcomes)) = cause {
            let indexes: Vec<u32> = outcomes.iter().map(|o| o.index).collect();
            memory.note(format!("report {id} with {} {indexes:?}", key.index));
        } else {
            memory.note(format!("report {id}"));
        }
        let done = vec![false; envelope.recipients.len()];
        let content = Content::in_memory(content, flags);
        Ok(memory.add(message(id.as_str(), envelope, done, content)))
    }
    fn write_out(&mut self, _: Timestamp) -> io::Result<()> {
        let mut memory = self.borrow_mut();
        if *memory.broken.borrow() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if std::mem::take(&mut memory.buffered) > 0 {
            memory.note("written".into());
        }
        Ok(())
    }
    fn turn(&mut self, _: Timestamp) {}
    fn next_due(&self) -> Option<Timestamp> {
        self.borrow().waiting.first().map(|w| w.0)
    }
    fn due(&mut self, now: Timestamp, max: usize) -> Vec<Due> {
        let mut memory = self.borrow_mut();
        let mut due = vec![];
        while due.len() < max
            && let Some(&(at, key)) = memory.waiting.first()
            && at <= now
        {
            memory.waiting.pop_first();
            due.push(Due { key, queue_id: QueueId::parse("X").unwrap(), retry_at: at });
        }
        due
    }
    fn make_due(&mut self, _: Option<&QueueId>, at: Timestamp) {
        let mut memory = self.borrow_mut();
        memory.waiting = memory.waiting.iter().map(|(_, key)| (at, *key)).collect();
    }
    fn load(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>> {
        Ok(self.borrow().kept.get(&key).filter(|k| !k.hold).and_then(|k| k.message.clone()))
    }
    fn find(&self, id: &QueueId) -> Option<MessageKey> {
        let memory = self.borrow();
        memory
            .kept
            .iter()
            .find(|(_, k)| k.message.as_ref().is_some_and(|m| m.queue_id == *id))
            .map(|(k, _)| *k)
    }
    fn list(&self) -> Vec<Listed> {
        vec![]
    }
    fn stop(self, _: Timestamp) -> io::Result<()> {
        Ok(())
    }
}

fn message(id: &str, envelope: Envelope, done: Vec<bool>, content: Content) -> NewMessage {
    NewMessage {
        key: MessageKey { segment: SegmentId(1), index: 0 },
        queue_id: QueueId::parse(id).unwrap(),
        envelope,
        done,
        content,
        place: Place::Journal,
        retry_at: None,
        crashes: 0,
        deferrals: vec![],
    }
}

thread_local! {
    /// Whether the way to the domain `asked` is known.
    static WAYS_KNOWN: Cell<bool> = const { Cell::new(false) };
}

/// Domains are nexthops; `nobody` goes by a transport that nobody serves, `later` by one that is deferred.
struct ByDomain;

impl Router for ByDomain {
    fn route<'a>(&'a self, recipient: &'a Address, _: &'a Address, _: mail::Purpose) -> Routing<'a> {
        let domain = recipient.domain_lower();
        let transport = match &*domain {
            "nobody" => "uucp",
            "later" => "later",
            _ => "smtp",
        };
        let local = domain == "here";
        let target = Target {
            transport: transport.into(),
            nexthop: (*domain).into(),
            recipient: recipient.clone(),
            local,
        };
        match &*domain {
            "asked" => Routing::Asking(Box::pin(std::future::poll_fn(move |_| match WAYS_KNOWN.get() {
                true => std::task::Poll::Ready(target.clone()),
                false => std::task::Poll::Pending,
            }))),
            _ => target.into(),
        }
    }

    fn addressed(&self, heading: Heading) -> Option<crate::Addressing> {
        let domain = heading.recipient.domain_lower();
        let members = move || {
            let recipients = ["a@one", "b@two"].map(|a| mail::Recipient::new(Address::from(a))).to_vec();
            Some(Addressed { recipients, ..heading.as_written() })
        };
        match &*domain {
            "alias" => Some(Box::pin(std::future::ready(members()))),
            "lost" => Some(Box::pin(std::future::ready(None))),
            "asked" => Some(Box::pin(std::future::poll_fn(move |_| match WAYS_KNOWN.get() {
                true => std::task::Poll::Ready(members()),
                false => std::task::Poll::Pending,
            }))),
            _ => None,
        }
    }
}

fn bounce_settings() -> bounce::Settings {
    bounce::Settings::of_host("here")
}

/// Takes jobs and keeps them with the way back.
#[derive(Clone)]
struct Agents {
    log: Log,
    jobs: Rc<RefCell<Vec<HandedOut>>>,
}

type HandedOut = (Job, Rc<dyn crate::Back>);

impl Hand for Agents {
    fn knows(&self, transport: &str) -> bool {
        transport != "uucp"
    }
    fn deliver(&self, job: Job, back: Rc<dyn crate::Back>) {
        self.log.borrow_mut().push(format!("job {} {} {}", job.queue_id, job.transport, job.nexthop));
        self.jobs.borrow_mut().push((job, back));
    }
}

impl Agents {
    /// Answers all jobs that were handed out.
    fn answer(&self, status: Status, site: Option<SiteFailure>) {
        for (job, back) in self.jobs.take() {
            let class = [(Status::Sent, 2), (Status::Deferred, 4), (Status::Bounced, 5)];
            let class = class.iter().find(|c| c.0 == status).unwrap().1;
            for recipient in &job.recipients {
                back.outcome(Outcome {
                    job: job.id,
                    index: recipient.index,
                    status,
                    dsn: Dsn::new(class, 0, 0),
                    reason: "because".into(),
                    diagnostic: None,
                    remote_mta: None,
                    relay: None,
                    relayed: true,
                    next_hop_reports: false,
                    parts: Vec::new(),
                });
            }
            back.done(job.id, site.clone());
        }
    }
}

struct Bench {
    log: Log,
    memory: Rc<RefCell<Memory>>,
    agents: Agents,
    driver: Driver<Rc<RefCell<Memory>>>,
    broken: Rc<RefCell<bool>>,
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

impl Bench {
    fn new() -> Bench {
        let log = Log::default();
        let broken = Rc::default();
        let memory = Rc::new(RefCell::new(Memory {
            log: log.clone(),
            new: vec![],
            kept: BTreeMap::new(),
            waiting: BTreeSet::new(),
            buffered: 0,
            broken: Rc::clone(&broken),
            last: 0,
            ids: 0,
        }));
        let agents = Agents { log: log.clone(), jobs: Rc::default() };
        let tag = Tag::new("postfix", "qmgr", 1);
        let driver = Driver::new(Parts {
            spool: memory.clone(),
            settings: Arc::new(Settings {
                scheduler: Arc::new(scheduler::Settings::default()),
                double_bounce_user: "double-bounce".into(),
                defer_transports: vec!["later".into()],
                verp_delimiter_filter: "-=+".into(),
                probes_max: 1,
                ..Settings::default()
            }),
            router: Rc::new(ByDomain),
            bounce: Arc::new(bounce_settings()),
            hand: Rc::new(agents.clone()),
            desk: verify::Desk::in_memory(verify::Settings::default()),
            bounce_tag: tag.clone(),
            cleanup_tag: tag.clone(),
            tag,
        });
        Bench { log, memory, agents, driver, broken }
    }

    fn mail(&self, id: &str, sender: &str, recipients: &[&str]) -> NewMessage {
        let mut envelope = Envelope::new(Address::from(sender), at(0));
        envelope.recipients = recipients.iter().map(|r| Recipient::new(Address::from(*r))).collect();
        let content = Content::in_memory(vec![Bytes::from("Subject: x\r\n\r\n")], ContentFlags::default());
        message(id, envelope, vec![false; recipients.len()], content)
    }

    fn arrive(&self, message: NewMessage) {
        let mut memory = self.memory.borrow_mut();
        let message = memory.add(message);
        memory.new.push(message);
    }

    fn turn(&mut self, secs: i64) -> Vec<String> {
        while self.driver.turn(at(secs)) == After::More {}
        self.log.take()
    }
}

#[test]
fn an_attempt_is_written_down_before_the_agent_gets_the_job() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    assert_eq!(b.turn(0), ["attempt 1", "written", "job A smtp a"]);
    b.agents.answer(Status::Sent, None);
    assert_eq!(b.turn(1), ["Sent 1 #0", "written"]);
    assert!(b.driver.active.is_empty() && b.driver.jobs.is_empty() && b.driver.content_kept == 0);
}

#[test]
fn outcomes_and_the_next_attempts_are_written_with_one_call() {
    let mut b = Bench::new();
    for id in ["A", "C", "D", "E", "F", "G"] {
        b.arrive(b.mail(id, "s@x", &["r@a"]));
    }
    b.turn(0);
    b.agents.answer(Status::Sent, None);
    let log = b.turn(1);
    assert_eq!(log.iter().filter(|l| *l == "written").count(), 1);
    assert_eq!(&log[log.len() - 3..], ["attempt 6", "written", "job G smtp a"]);
}

#[test]
fn nothing_is_handed_out_while_the_queue_cannot_be_written() {
    let mut b = Bench::new();
    *b.broken.borrow_mut() = true;
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    assert_eq!(b.turn(0), ["attempt 1"]);
    assert_eq!(b.driver.turn(at(0)), After::Sleep(Some(at(1))));
    *b.broken.borrow_mut() = false;
    assert_eq!(b.turn(1), ["written", "job A smtp a"]);
}

#[test]
fn deferred_mail_is_tried_again_after_its_back_off() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    assert_eq!(b.turn(10), ["Deferred 1 #0", "retry 1 at 310", "written"]);
    assert_eq!(b.turn(309), [""; 0]);
    assert_eq!(b.turn(310), ["attempt 1", "written", "job A smtp a"]);
    b.agents.answer(Status::Deferred, None);
    assert_eq!(b.turn(1000), ["Deferred 1 #0", "retry 1 at 2000", "written"]);
}

#[test]
fn a_flush_tries_what_waits_at_once() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    b.turn(10);
    b.driver.order(Order::FlushAll, at(11));
    assert_eq!(b.turn(11), ["attempt 1", "written", "job A smtp a"]);
}

#[test]
fn a_failure_and_its_report_are_one_group_and_the_report_is_delivered() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a", "q@a"]));
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    let log = b.turn(1);
    assert_eq!(log, ["report B1 with 1 [0, 1]", "attempt 2", "written", "job B1 smtp x"]);
    // The report's own failure is recorded and nothing else.
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(2), ["Bounced 2 #0", "written"]);
}

#[test]
fn a_recipient_that_wants_no_report_gets_none() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.recipients[0].notify = Notify::NEVER;
    b.arrive(mail);
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(1), ["Bounced 1 #0", "written"]);
}

#[test]
fn mail_from_the_double_bounce_address_is_never_reported() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "double-bounce@here", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(1), ["Bounced 1 #0", "written"]);
}

#[test]
fn expired_mail_goes_back_to_its_sender() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    let log = b.turn(432_000);
    assert_eq!(log[..2], ["Deferred 1 #0", "report B1 with 1 [0]"]);
}

#[test]
fn a_delay_is_told_once() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.warn_at = Some(at(5));
    b.arrive(mail);
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    assert_eq!(b.turn(10)[..4], ["Deferred 1 #0", "report B1", "warned 1", "retry 1 at 310"]);
}

#[test]
fn the_end_of_a_delay_is_told_where_it_is_to_be_confirmed() {
    for (confirm, warn_at, notify, told) in [
        (Some(Duration::from_secs(5)), None, Notify::default(), true),
        (Some(Duration::from_secs(5)), Some(at(5)), Notify::default(), false),
        (Some(Duration::from_secs(5)), None, Notify::FAILURE, false),
        (Some(Duration::from_secs(50)), None, Notify::default(), false),
        (None, None, Notify::default(), false),
    ] {
        let mut b = Bench::new();
        let settings = Settings { confirm_after: confirm, ..(*b.driver.settings).clone() };
        b.driver.settings = Arc::new(settings);
        let mut mail = b.mail("A", "s@x", &["r@a"]);
        mail.envelope.warn_at = warn_at;
        mail.envelope.recipients[0].notify = notify;
        b.arrive(mail);
        b.turn(10);
        b.agents.answer(Status::Sent, None);
        let log = b.turn(11);
        assert_eq!(
            log.contains(&"report B1".to_string()),
            told,
            "{confirm:?} {warn_at:?} {notify:?}: {log:?}"
        );
    }
}

#[test]
fn success_is_reported_to_who_asked() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.recipients[0].notify = Notify::SUCCESS;
    b.arrive(mail);
    b.turn(0);
    b.agents.answer(Status::Sent, None);
    assert_eq!(b.turn(1)[..2], ["Sent 1 #0", "report B1"]);
}

#[test]
fn success_is_left_to_a_next_server_that_reports_it() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.recipients[0].notify = Notify::SUCCESS;
    b.arrive(mail);
    b.turn(0);
    let (job, back) = b.agents.jobs.take().pop().unwrap();
    back.outcome(Outcome {
        job: job.id,
        index: 0,
        status: Status::Sent,
        dsn: Dsn::new(2, 0, 0),
        reason: "250 Ok".into(),
        diagnostic: None,
        remote_mta: None,
        relay: None,
        relayed: true,
        next_hop_reports: true,
        parts: Vec::new(),
    });
    back.done(job.id, None);
    assert_eq!(b.turn(1), ["Sent 1 #0", "written"]);
}

#[test]
fn a_dead_destination_is_deferred_by_the_retry_agent() {
    let mut b = Bench::new();
    for id in ["A", "C", "D", "E", "F", "G"] {
        b.arrive(b.mail(id, "s@x", &["r@a"]));
    }
    b.turn(0);
    let site = SiteFailure { dsn: Dsn::new(4, 4, 1), reason: "connect to a[192.0.2.1]:25: timed out".into() };
    b.agents.answer(Status::Deferred, Some(site));
    let log = b.turn(1);
    let text = "job G retry 4.4.1 delivery temporarily suspended: connect to a[192.0.2.1]:25: timed out";
    assert!(log.iter().any(|l| l == text), "{log:?}");
    assert!(!log.contains(&"attempt 6".to_string()), "nobody tried");
}

#[test]
fn held_mail_is_not_tried_until_it_is_released() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    b.turn(1);
    let id = QueueId::parse("A").unwrap();
    b.driver.order(Order::Hold(id.clone()), at(2));
    assert_eq!(b.turn(1000), ["hold 1", "written"]);
    b.driver.order(Order::Release(id), at(1001));
    assert_eq!(b.turn(1001), ["retry 1 at 1001", "attempt 1", "written", "job A smtp a"]);
}

#[test]
fn deleted_mail_is_gone_but_what_is_delivered_meanwhile_counts() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.driver.order(Order::Delete(QueueId::parse("A").unwrap()), at(1));
    assert_eq!(b.turn(1), ["remove 1", "written"]);
    b.agents.answer(Status::Sent, None);
    assert_eq!(b.turn(2), ["Sent 1 #0", "written"]);
    assert!(!b.driver.busy());
}

#[test]
fn a_suspect_is_tried_alone() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    let mut suspect = b.mail("C", "s@x", &["r@b"]);
    suspect.crashes = 2;
    b.arrive(suspect);
    assert_eq!(b.turn(0).iter().filter(|l| l.starts_with("job")).count(), 1);
    b.agents.answer(Status::Sent, None);
    assert!(b.turn(1).iter().any(|l| l.starts_with("job")));
}

#[test]
fn postmaster_is_told_besides_where_notify_classes_says_so() {
    let mut b = Bench::new();
    let told =
        bounce::Settings { notify_classes: vec!["bounce".into(), "2bounce".into()], ..bounce_settings() };
    b.driver.bounce = Arc::new(told);
    b.arrive(b.mail("A", "s@x", &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(1)[..2], ["report B1 with 1 [0]", "report B2"]);
    // The report to the sender fails in turn: postmaster gets it as a double bounce.
    let to_sender = b.agents.jobs.borrow().iter().position(|(job, _)| &*job.nexthop == "x").unwrap();
    let other = b.agents.jobs.borrow_mut().remove(1 - to_sender);
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(2)[0], "report B3 with 2 [0]");
    drop(other);
}
