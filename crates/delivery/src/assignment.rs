//! A job with the way back for its outcomes.

use crate::StatusFilter;
use mail::{Dsn, Job, JobId, Outcome, SiteFailure, Status};
use std::cell::Cell;
use std::rc::Rc;

/// A job and the way back. Loop-local.
pub struct Assignment {
    /// What is to be delivered.
    pub job: Job,
    /// Where its outcomes go.
    pub outcomes: OutcomeSender,
    /// What changes results on their way into the log and to `outcomes`.
    pub filter: Option<Rc<StatusFilter>>,
}

/// Takes outcomes in: the queue manager's end of the way back. No call may block.
pub trait OutcomeSink {
    /// One recipient's result.
    fn outcome(&self, outcome: Outcome);

    /// The job is over; nothing of it follows. `site_failure` says why the destination as a whole failed, if it did.
    fn done(&self, job: JobId, site_failure: Option<SiteFailure>);

    /// The job is over because its transport as a whole cannot be used; who does not tell transports from destinations
    /// takes it for a failed site.
    fn transport_failed(&self, job: JobId, failure: SiteFailure) {
        self.done(job, Some(failure));
    }
}

/// The way back for one job: one outcome for each recipient, then `done`.
///
/// What was not reported when it goes away is deferred with 4.3.0, and the destination counts as failed, so that
/// a panic costs one attempt and nothing else.
pub struct OutcomeSender {
    job: JobId,
    /// Recipients without an outcome yet.
    waiting: Vec<u32>,
    sink: Rc<dyn OutcomeSink>,
    done: bool,
    /// Set once a part of the job went to another transport.
    several: Option<Rc<Several>>,
}

/// The job is done when all who have a part of it are.
struct Several {
    sink: Rc<dyn OutcomeSink>,
    open: Cell<usize>,
}

impl OutcomeSink for Several {
    fn outcome(&self, outcome: Outcome) {
        self.sink.outcome(outcome);
    }

    /// What another transport says of its destination is not this one's fault.
    fn done(&self, job: JobId, _: Option<SiteFailure>) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.sink.done(job, None);
        }
    }
}

/// What Postfix reports for an agent that broke off.
pub(crate) const CRASH_REASON: &str = "unknown mail transport error";
pub(crate) const CRASH_DSN: Dsn = Dsn::new(4, 3, 0);

impl Assignment {
    /// A job whose outcomes go to `sink`.
    pub fn new(job: Job, sink: Rc<dyn OutcomeSink>) -> Self {
        let outcomes = OutcomeSender::new(&job, sink);
        Assignment { job, outcomes, filter: None }
    }

    /// The same with a filter, if there is one.
    pub fn filtered(self, filter: Option<Rc<StatusFilter>>) -> Self {
        Assignment { filter, ..self }
    }
}

impl OutcomeSender {
    /// The way back for `job`.
    pub fn new(job: &Job, sink: Rc<dyn OutcomeSink>) -> Self {
        let waiting = job.recipients.iter().map(|r| r.index).collect();
        OutcomeSender { job: job.id, waiting, sink, done: false, several: None }
    }

    /// The way back for a part of the job that another transport delivers; `None` where that has its outcomes.
    pub(crate) fn pass(&mut self, part: &Job) -> Option<OutcomeSender> {
        for recipient in &part.recipients {
            let place = self.waiting.iter().position(|index| *index == recipient.index)?;
            self.waiting.swap_remove(place);
        }
        let several = self.several.get_or_insert_with(|| {
            let several = Rc::new(Several { sink: Rc::clone(&self.sink), open: Cell::new(1) });
            self.sink = several.clone();
            several
        });
        several.open.set(several.open.get() + 1);
        Some(OutcomeSender::new(part, several.clone()))
    }

    /// The same where a success that no other server will report is one of the last station.
    pub(crate) fn at_the_last_station(mut self) -> Self {
        self.sink = Rc::new(LastStation(self.sink.clone()));
        self
    }

    /// Reports one recipient's result. The first for a recipient counts; later ones are dropped.
    pub fn outcome(&mut self, outcome: Outcome) {
        let place = self.waiting.iter().position(|index| *index == outcome.index);
        debug_assert!(place.is_some(), "each recipient of a job has exactly one outcome");
        if let Some(place) = place {
            self.waiting.swap_remove(place);
            self.sink.outcome(outcome);
        }
    }

    /// Whether a recipient still has no outcome.
    pub fn is_waiting(&self, index: u32) -> bool {
        self.waiting.contains(&index)
    }

    /// Ends the job; recipients without an outcome are deferred.
    pub fn done(mut self, site_failure: Option<SiteFailure>) {
        self.finish(site_failure);
    }

    /// Ends the job; its transport cannot be used. Recipients without an outcome are deferred.
    pub fn transport_failed(mut self, failure: SiteFailure) {
        if self.defer_rest() {
            self.sink.transport_failed(self.job, failure);
        }
    }

    fn finish(&mut self, site_failure: Option<SiteFailure>) {
        if self.defer_rest() {
            self.sink.done(self.job, site_failure);
        }
    }

    /// False where the job has ended already.
    fn defer_rest(&mut self) -> bool {
        if std::mem::replace(&mut self.done, true) {
            return false;
        }
        for index in std::mem::take(&mut self.waiting) {
            self.sink.outcome(Outcome::new(self.job, index, Status::Deferred, CRASH_DSN, CRASH_REASON));
        }
        true
    }
}

impl Drop for OutcomeSender {
    fn drop(&mut self) {
        if !self.done {
            self.finish(Some(SiteFailure { dsn: CRASH_DSN, reason: CRASH_REASON.to_string() }));
        }
    }
}

/// Nobody stands behind: what was relayed is delivered.
struct LastStation(Rc<dyn OutcomeSink>);

impl OutcomeSink for LastStation {
    fn outcome(&self, outcome: Outcome) {
        let relayed = outcome.relayed && outcome.next_hop_reports;
        self.0.outcome(Outcome { relayed, ..outcome });
    }

    fn done(&self, job: JobId, site_failure: Option<SiteFailure>) {
        self.0.done(job, site_failure);
    }

    fn transport_failed(&self, job: JobId, failure: SiteFailure) {
        self.0.transport_failed(job, failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Address, Content, ContentFlags, Encoding, JobRecipient, QueueId, Recipient, Stamps};
    use std::cell::RefCell;
    use std::sync::Arc;

    #[derive(Default)]
    struct Seen {
        outcomes: RefCell<Vec<(u32, Status)>>,
        done: RefCell<Vec<Option<SiteFailure>>>,
    }

    impl OutcomeSink for Seen {
        fn outcome(&self, outcome: Outcome) {
            self.outcomes.borrow_mut().push((outcome.index, outcome.status));
        }
        fn done(&self, _: JobId, site_failure: Option<SiteFailure>) {
            self.done.borrow_mut().push(site_failure);
        }
    }

    fn job() -> Job {
        let recipient =
            |index| JobRecipient { index, recipient: Recipient::new(Address::from("ann@example.org")) };
        Job {
            id: JobId(1),
            queue_id: QueueId::parse("4XyZ1").unwrap(),
            purpose: mail::Purpose::Delivery,
            sender: Address::null(),
            envid: String::new(),
            ret: None,
            encoding: Encoding::Unknown,
            smtputf8: 0,
            origin: Arc::default(),
            transport: "smtp".into(),
            nexthop: "example.org".into(),
            recipients: vec![recipient(3), recipient(5)],
            content: Content::in_memory(Vec::new(), ContentFlags::default()),
            stamps: Stamps::default(),
        }
    }

    fn sent(index: u32) -> Outcome {
        Outcome {
            job: JobId(1),
            index,
            status: Status::Sent,
            dsn: Dsn::new(2, 0, 0),
            reason: "250 Ok".into(),
            diagnostic: None,
            remote_mta: None,
            relay: None,
            relayed: true,
            next_hop_reports: false,
            parts: Vec::new(),
        }
    }

    #[test]
    fn an_assignment_that_is_dropped_defers_what_it_did_not_report() {
        let seen = Rc::new(Seen::default());
        let mut assignment = Assignment::new(job(), seen.clone());
        assignment.outcomes.outcome(sent(3));
        drop(assignment);
        assert_eq!(*seen.outcomes.borrow(), [(3, Status::Sent), (5, Status::Deferred)]);
        assert_eq!(seen.done.borrow().len(), 1);
        assert_eq!(seen.done.borrow()[0].as_ref().unwrap().dsn, CRASH_DSN);
    }

    #[test]
    fn a_job_that_is_done_reports_nothing_more() {
        let seen = Rc::new(Seen::default());
        let mut assignment = Assignment::new(job(), seen.clone());
        assignment.outcomes.outcome(sent(5));
        assignment.outcomes.outcome(sent(3));
        assignment.outcomes.done(None);
        assert_eq!(*seen.outcomes.borrow(), [(5, Status::Sent), (3, Status::Sent)]);
        assert_eq!(*seen.done.borrow(), [None]);
    }

    #[test]
    fn a_job_is_done_when_all_who_have_a_part_of_it_are() {
        let seen = Rc::new(Seen::default());
        let mut assignment = Assignment::new(job(), seen.clone());
        let mut part = job();
        part.recipients.truncate(1);
        let mut passed = assignment.outcomes.pass(&part).unwrap();
        assert!(assignment.outcomes.pass(&part).is_none(), "it went already");
        assignment.outcomes.outcome(sent(5));
        assignment.outcomes.done(None);
        assert_eq!(seen.done.borrow().len(), 0, "a part is still under way");
        passed.outcome(sent(3));
        passed.done(Some(SiteFailure { dsn: CRASH_DSN, reason: "x".into() }));
        assert_eq!(*seen.outcomes.borrow(), [(5, Status::Sent), (3, Status::Sent)]);
        assert_eq!(*seen.done.borrow(), [None], "another transport's site is not this one's");
    }
}
