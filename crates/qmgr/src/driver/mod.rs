//! The driver: one synchronous turn that joins queue, scheduler and agents. `run` calls it whenever there is news.

mod activate;
mod conclude;
mod finish;
mod probe;
mod tell;
#[cfg(test)]
mod tests;

use crate::hand::{Hand, Inbox, News};
use crate::route::Router;
use crate::scheduler::{Ended, Handout, Scheduler};
use crate::spool::Spool;
use crate::{Order, Settings, Snapshot};
use activate::{ROUTING_MAX, Routed};
use conclude::Concluding;
use mail::{Address, Content, Envelope, Job, JobId, JobRecipient, Origin, Outcome, Purpose, QueueId};
use mail::{SiteFailure, Stamps, Status, Timestamp, smtputf8, verp_sender};
use observe::Tag;
use probe::Probing;
use queue::{FLUSHED, MessageKey, NewMessage, Notice, Place, Record};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use verify::Desk;

/// Jobs handed out in one turn; then the agents get a chance to work.
const JOBS_A_TURN: usize = 500;

/// Reads of new messages in one turn; the queue gives some hundreds each.
const NEWS_A_TURN: usize = 4;

/// Messages made active in one turn.
const ACTIVATIONS_A_TURN: usize = 500;

/// How long nothing is handed out after the queue could not write down what happened.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// An active message.
struct Active {
    purpose: Purpose,
    queue_id: QueueId,
    envelope: Envelope,
    origin: Arc<Origin>,
    /// `None` where it was given up to save memory.
    content: Option<Content>,
    done: Vec<bool>,
    size: u64,
    active_at: Timestamp,
    /// The addresses that routing changed.
    rewritten: HashMap<u32, Address>,
    /// Its sender was told of a delay, and wants to know that it is over.
    was_late: bool,
    /// An attempt of this round was noted.
    attempted: bool,
    /// Results of this round that are not final or not written down yet.
    failed: Vec<Outcome>,
    deferred: HashMap<u32, Outcome>,
    /// Delivered, and the sender wants to know.
    reported: Vec<Outcome>,
    /// All results of this round, where the sender asked for them.
    told: Option<Vec<Outcome>>,
}

/// Whether `run` may sleep after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// There is more to do.
    More,
    /// Nothing until news comes, or until this time.
    Sleep(Option<Timestamp>),
}

/// Everything that the driver works with.
pub struct Parts<S> {
    /// The queue.
    pub spool: S,
    /// Settings.
    pub settings: Arc<Settings>,
    /// Tables and rules that say where mail goes.
    pub router: Rc<dyn Router>,
    /// How reports are written.
    pub bounce: Arc<bounce::Settings>,
    /// The delivery agents.
    pub hand: Rc<dyn Hand>,
    /// Who is told what probes find.
    pub desk: Desk,
    /// Lines of qmgr; bounce and cleanup lines take the same number.
    pub tag: Tag,
    /// Lines of bounce.
    pub bounce_tag: Tag,
    /// Lines of cleanup.
    pub cleanup_tag: Tag,
}

/// Joins queue, scheduler and agents, without a clock or an event loop of its own: [`crate::run`] is one around it, the
/// simulator another.
pub struct Driver<S> {
    spool: S,
    settings: Arc<Settings>,
    router: Rc<dyn Router>,
    bounce: Arc<bounce::Settings>,
    hand: Rc<dyn Hand>,
    desk: Desk,
    tag: Tag,
    bounce_tag: Tag,
    cleanup_tag: Tag,
    scheduler: Scheduler<MessageKey>,
    active: HashMap<MessageKey, Active>,
    /// Messages that came in this turn; whoever does not become active in it is read again later.
    fresh: HashMap<MessageKey, NewMessage>,
    /// What runs: of which message.
    jobs: HashMap<JobId, MessageKey>,
    /// Jobs whose attempt is not written down yet.
    outbox: VecDeque<Job>,
    /// Messages that become active once their ways are found.
    routing: Vec<Routed>,
    /// Messages that are due again while they are active.
    revisit: HashSet<MessageKey>,
    /// Messages whose round is over, while tables are asked whom reports go to.
    concluding: Vec<Concluding>,
    /// Addresses to be asked about, while tables are asked what becomes of them.
    probing: Vec<Probing>,
    /// Probes among the active messages.
    probes: usize,
    content_kept: u64,
    /// When it was last said that nobody serves a transport.
    unserved_warned: HashMap<Arc<str>, Timestamp>,
    stalled_until: Option<Timestamp>,
    /// Jobs are handed out no more: the process is to end.
    draining: bool,
    inbox: Rc<Inbox>,
}

impl<S: Spool> Driver<S> {
    /// A driver whose first turn is still to come.
    pub fn new(parts: Parts<S>) -> Self {
        tell::warn_of_settings(&parts.tag, &parts.settings.warnings);
        tell::warn_of_settings(&parts.bounce_tag, &parts.bounce.texts.warnings);
        Driver {
            scheduler: Scheduler::new(parts.settings.scheduler.clone()),
            spool: parts.spool,
            settings: parts.settings,
            router: parts.router,
            bounce: parts.bounce,
            hand: parts.hand,
            desk: parts.desk,
            tag: parts.tag,
            bounce_tag: parts.bounce_tag,
            cleanup_tag: parts.cleanup_tag,
            active: HashMap::new(),
            fresh: HashMap::new(),
            jobs: HashMap::new(),
            outbox: VecDeque::new(),
            routing: Vec::new(),
            revisit: HashSet::new(),
            concluding: Vec::new(),
            probing: Vec::new(),
            probes: 0,
            content_kept: 0,
            unserved_warned: HashMap::new(),
            stalled_until: None,
            draining: false,
            inbox: Rc::default(),
        }
    }

    pub(crate) fn inbox(&self) -> Rc<Inbox> {
        self.inbox.clone()
    }

    /// Hears how far a segment of the journal may be read.
    pub fn notice(&self, notice: Notice) {
        self.inbox.push(News::Notice(notice));
    }

    /// Puts new settings and tables in force; what is active keeps its routes, all else gets new ones.
    pub fn reload(&mut self, snapshot: Snapshot) {
        tell::warn_of_settings(&self.tag, &snapshot.settings.warnings);
        tell::warn_of_settings(&self.bounce_tag, &snapshot.bounce.texts.warnings);
        self.scheduler.set_settings(snapshot.settings.scheduler.clone());
        self.settings = snapshot.settings;
        self.router = snapshot.router;
        self.bounce = snapshot.bounce;
        self.desk.set_settings(snapshot.verify);
    }

    /// Hands out nothing any more.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Asks jobs that run to come to an end.
    pub fn hurry(&self) {
        self.hand.hurry();
    }

    /// Whether jobs run.
    pub fn busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Ends: what is in the journal becomes files.
    pub fn stop(mut self, now: Timestamp) -> std::io::Result<()> {
        self.turn(now);
        self.spool.stop(now)
    }

    /// Does what an administrator ordered.
    pub fn order(&mut self, order: Order, now: Timestamp) {
        match order {
            // The turn that follows polls the journal; `Spool::turn` looks into the directories.
            Order::Scan => {}
            Order::FlushAll => {
                self.spool.make_due(None, FLUSHED);
                self.scheduler.flush_all();
            }
            Order::Flush(id) => {
                self.spool.make_due(Some(&id), FLUSHED);
                if let Some(key) = self.spool.find(&id) {
                    self.scheduler.flush_one(key);
                }
            }
            Order::Hold(id) => self.remove(&id, |key| Record::Hold { key, reason: String::new() }),
            Order::Delete(id) => self.remove(&id, |key| Record::Remove { key }),
            Order::Release(id) => {
                if let Some(key) = self.spool.find(&id) {
                    self.spool.record(Record::Release { key });
                    self.spool.record(Record::Retry { key, at: now });
                }
            }
            // Whoever asked may be gone; then the answer is dropped.
            Order::List(answer) => drop(answer.send(self.spool.list())),
            Order::Show(id, answer) => {
                let key = self.spool.find(&id);
                drop(answer.send(key.and_then(|key| self.spool.load(key).ok().flatten())));
            }
        }
        self.inbox.wake();
    }

    fn remove(&mut self, id: &QueueId, record: impl FnOnce(MessageKey) -> Record) {
        if let Some(key) = self.spool.find(id) {
            self.scheduler.remove(key);
            self.routing.retain(|message| message.key() != key);
            self.concluding.retain(|message| message.key != key);
            self.forget(key);
            self.spool.record(record(key));
        }
    }

    /// One turn: takes the news in, moves mail along, writes down what happened, then hands jobs out.
    pub fn turn(&mut self, now: Timestamp) -> After {
        self.take_news(now);
        self.send_probes(now);
        self.scheduler.advance(now);
        self.spool.turn(now);
        self.finish_all(now);
        let mut more = false;
        if !self.draining {
            more |= self.admit(now);
            more |= self.hand_out(now);
        }
        self.tell_remarks();
        // A message without recipients is finished at once, and makes room.
        more |= self.finish_all(now);
        self.fresh.clear();
        match self.spool.write_out(now) {
            Ok(()) => {
                self.stalled_until = None;
                for job in std::mem::take(&mut self.outbox) {
                    self.hand.deliver(job, self.inbox.clone());
                }
            }
            // The queue reports why. Without the note of an attempt none may begin.
            Err(_) => {
                let until = now.after(WRITE_RETRY);
                self.stalled_until = Some(until);
                return After::Sleep(Some(until));
            }
        }
        if more {
            return After::More;
        }
        let times = [self.scheduler.next_timer(), self.spool.next_due(), self.stalled_until];
        After::Sleep(times.into_iter().flatten().min())
    }

    fn take_news(&mut self, now: Timestamp) {
        for news in self.inbox.take() {
            match news {
                News::Outcome(outcome) => self.outcome(outcome, now),
                News::Done(job, site_failure) => {
                    self.ended(job, site_failure.map_or(Ended::Reached, Ended::Site), now);
                }
                News::TransportFailed(job, failure) => self.ended(job, Ended::Transport(failure), now),
                News::Notice(notice) => self.spool.take_notice(notice),
            }
        }
    }

    fn outcome(&mut self, mut outcome: Outcome, now: Timestamp) {
        let Some(&key) = self.jobs.get(&outcome.job) else { return };
        let Some(message) = self.active.get_mut(&key) else {
            // The message went on hold or was deleted meanwhile; what was delivered all the same counts.
            if outcome.status == Status::Sent {
                self.spool.record(Record::Outcome { key, outcome });
            }
            return;
        };
        let Some(done) = message.done.get_mut(outcome.index as usize) else { return };
        if let Some(told) = &mut message.told {
            told.extend(probe::each(&outcome));
        }
        outcome.parts.retain(|part| part.status == Status::Bounced);
        if !message.purpose.delivers() {
            *done = true;
            return self.found_out(key, outcome, now);
        }
        match outcome.status {
            Status::Sent => {
                *done = true;
                message.deferred.remove(&outcome.index);
                let recipient = &message.envelope.recipients[outcome.index as usize];
                let asked = recipient.notify.has(mail::Notify::SUCCESS) && !outcome.next_hop_reports;
                if asked || (message.was_late && recipient.notify.on_delay()) {
                    message.reported.push(outcome.clone());
                }
                self.spool.record(Record::Outcome { key, outcome });
            }
            // Written down with the report, as one group.
            Status::Bounced => {
                *done = true;
                message.failed.push(outcome);
            }
            Status::Deferred => {
                self.spool.record(Record::Outcome { key, outcome: outcome.clone() });
                message.deferred.insert(outcome.index, outcome);
            }
        }
    }

    fn ended(&mut self, job: JobId, ended: Ended, now: Timestamp) {
        if self.jobs.remove(&job).is_some() {
            self.scheduler.done(now, job, ended);
        }
    }

    /// Makes messages active while there is room; gives whether a bound of the turn ended it.
    fn admit(&mut self, now: Timestamp) -> bool {
        let mut more = true;
        for _ in 0..NEWS_A_TURN {
            // What could not be read the queue reports and sets aside.
            let new = self.spool.poll_new(now).unwrap_or_default();
            if new.is_empty() {
                more = false;
                break;
            }
            for message in new {
                self.arrived(message, now);
            }
        }
        let room = ACTIVATIONS_A_TURN.saturating_sub(self.scheduler.counts().deferred);
        let due = self.spool.due(now, room);
        more |= !due.is_empty() && due.len() == room;
        for due in due {
            if self.is_busy(due.key) {
                // It went through other hands while a delivery of it runs on; looked at again behind that.
                self.revisit.insert(due.key);
                continue;
            }
            let flushed = due.retry_at == FLUSHED;
            self.scheduler.wait(due.key, due.retry_at.min(now));
            if flushed {
                self.scheduler.flush_one(due.key);
            }
        }
        self.activate_routed(now);
        for _ in 0..ACTIVATIONS_A_TURN {
            if self.routing.len() >= ROUTING_MAX {
                return more;
            }
            let Some(pulled) = self.scheduler.pull(now) else { return more };
            self.activate(pulled, now);
        }
        true
    }

    fn arrived(&mut self, message: NewMessage, now: Timestamp) {
        if message.place == Place::Hold {
            return;
        }
        // What waits for a time is in the queue's own index and comes back by `due`.
        if self.is_concluding(message.key) {
            self.revisit.insert(message.key);
        } else if message.retry_at.is_none_or(|at| at <= now) && !self.is_routing(message.key) {
            self.scheduler.arrived(message.key);
            self.fresh.insert(message.key, message);
        }
    }

    /// Takes jobs from the scheduler into the outbox.
    fn hand_out(&mut self, now: Timestamp) -> bool {
        if self.stalled_until.is_some_and(|until| until > now) {
            return false;
        }
        while self.outbox.len() < JOBS_A_TURN {
            let Some(handout) = self.scheduler.next(now) else { return false };
            let job = handout.job;
            match self.job(handout, now) {
                Some(job) => self.outbox.push_back(job),
                None => self.scheduler.done(now, job, Ended::Reached),
            }
        }
        true
    }

    /// The job that an agent gets; `None` where the message cannot be read, which leaves its recipients for later.
    fn job(&mut self, handout: Handout<MessageKey>, now: Timestamp) -> Option<Job> {
        let key = handout.key;
        let content = match self.active.get(&key)?.content.clone() {
            Some(content) => content,
            None => self.spool.load(key).ok()??.content.with_queue_size(self.active.get(&key)?.size),
        };
        let message = self.active.get_mut(&key)?;
        let (transport, nexthop) = match &handout.suspended {
            Some(failure) => ("retry".into(), suspended_text(failure).into()),
            None => (handout.transport, handout.nexthop),
        };
        if handout.suspended.is_none() && !std::mem::replace(&mut message.attempted, true) {
            self.spool.record(Record::Attempt { key });
        }
        self.jobs.insert(handout.job, key);
        let envelope = &message.envelope;
        let first = handout.recipients.first().map(|index| *index as usize);
        let sender = match (verp_delimiters(envelope), first) {
            (Some(delimiters), Some(first)) => {
                let address = message.rewritten.get(&(first as u32));
                let address = address.unwrap_or(&envelope.recipients[first].address);
                verp_sender(&envelope.sender, address, delimiters)
            }
            _ => envelope.sender.clone(),
        };
        let recipients = handout.recipients.into_iter().map(|index| {
            let mut recipient = envelope.recipients[index as usize].clone();
            if let Some(address) = message.rewritten.get(&index) {
                recipient.address = address.clone();
            }
            JobRecipient { index, recipient }
        });
        let recipients: Vec<_> = recipients.collect();
        let wide = recipients.iter().any(|r| r.recipient.address.needs_smtputf8());
        Some(Job {
            id: handout.job,
            queue_id: message.queue_id.clone(),
            purpose: message.purpose,
            sender,
            envid: envelope.envid.clone(),
            ret: envelope.ret,
            encoding: envelope.encoding,
            smtputf8: envelope.smtputf8 | if wide { smtputf8::RECIPIENT } else { 0 },
            origin: Arc::clone(&message.origin),
            transport,
            nexthop,
            recipients,
            content,
            stamps: Stamps {
                arrival: envelope.arrival,
                active: message.active_at,
                handed_off: now,
                connected: None,
            },
        })
    }

    /// Drops what is in memory of a message.
    fn forget(&mut self, key: MessageKey) -> Option<Active> {
        let message = self.active.remove(&key)?;
        self.probes -= usize::from(message.purpose == Purpose::Verification);
        if let Some(content) = message.content.as_ref().filter(|c| c.pieces().is_some()) {
            self.content_kept -= content.size;
        }
        Some(message)
    }
}

/// The delimiters with which each recipient is named in the sender (record `V`), where that was asked for.
fn verp_delimiters(envelope: &Envelope) -> Option<&[u8]> {
    envelope.attribute("V").filter(|delimiters| delimiters.len() == 2 && !envelope.sender.is_null())
}

/// What the retry agent is told: Postfix's text for mail to a dead destination.
fn suspended_text(failure: &SiteFailure) -> String {
    format!("{} delivery temporarily suspended: {}", failure.dsn.with_class(4), failure.reason)
}
