//! The queue as the queue manager sees it, with somebody who listens.

use crate::disk::SimDisk;
use crate::ledger::Ledger;
use bytes::Bytes;
use mail::{ContentFlags, Envelope, Outcome, QueueId, Status, Timestamp};
use qmgr::Spool;
use queue::{CommitError, Due, Listed, MessageKey, NewMessage, Notice, Record, Report, Store};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// What the queue reported, not heard yet.
pub(crate) type Reports = Arc<Mutex<Vec<Report>>>;

/// The real queue; the ledger hears all that the queue manager does with it.
pub(crate) struct Watched {
    pub(crate) store: Store,
    pub(crate) disk: SimDisk,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) reports: Reports,
}

impl Watched {
    /// Does something with the queue, and lets the ledger hear of reports and failures.
    fn with<T>(&mut self, act: impl FnOnce(&mut Store) -> T) -> T {
        let done = act(&mut self.store);
        hear(&self.reports, &self.disk, &self.ledger);
        done
    }
}

/// Lets the ledger hear what happened to the queue.
pub(crate) fn hear(reports: &Reports, disk: &SimDisk, ledger: &RefCell<Ledger>) {
    let mut ledger = ledger.borrow_mut();
    ledger.failures(disk.failed());
    for report in std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner)) {
        ledger.heard(&report);
    }
}

impl Spool for Watched {
    fn take_notice(&mut self, notice: Notice) {
        self.with(|store| store.take_notice(notice));
    }

    fn poll_new(&mut self, now: Timestamp) -> io::Result<Vec<NewMessage>> {
        let new = self.with(|store| store.poll_new(now))?;
        new.iter().for_each(|message| self.ledger.borrow_mut().given(message));
        Ok(new)
    }

    fn record(&mut self, record: Record) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.say(|| format!("{record:?}"));
        match &record {
            Record::Attempt { key } => ledger.begins(*key),
            Record::Outcome { key, outcome } if outcome.status != Status::Deferred => {
                ledger.final_outcome(*key, outcome);
            }
            Record::Retry { key, at } => ledger.retries(*key, *at),
            Record::Warned { key } => ledger.warned(*key),
            Record::Outcome { .. } | Record::Hold { .. } | Record::Release { .. } | Record::Remove { .. } => {
            }
        }
        drop(ledger);
        self.with(|store| store.record(record));
    }

    fn new_id(&mut self, now: Timestamp) -> QueueId {
        self.store.new_id(now)
    }

    fn bounce(
        &mut self,
        cause: Option<(MessageKey, &[Outcome])>,
        id: QueueId,
        envelope: Envelope,
        content: Vec<Bytes>,
        flags: ContentFlags,
    ) -> Result<NewMessage, CommitError> {
        let mut ledger = self.ledger.borrow_mut();
        let addresses = envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        ledger.sent(id.as_str(), content.concat(), addresses, envelope.sender.is_null());
        if let Some((key, outcomes)) = cause {
            ledger.reports(key, outcomes, id.as_str());
        }
        drop(ledger);
        let report = self.with(|store| store.bounce(cause, id, envelope, content, flags))?;
        let mut ledger = self.ledger.borrow_mut();
        match cause {
            Some((key, outcomes)) => ledger.reported(key, outcomes, &report),
            None => ledger.given(&report),
        }
        drop(ledger);
        Ok(report)
    }

    fn write_out(&mut self, now: Timestamp) -> io::Result<()> {
        self.with(|store| store.write_out(now))?;
        if !self.disk.is_dead() {
            self.ledger.borrow_mut().written();
        }
        Ok(())
    }

    fn turn(&mut self, now: Timestamp) {
        self.with(|store| store.turn(now));
        self.ledger.borrow_mut().scanned = self.store.scanned();
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.store.next_due()
    }

    fn due(&mut self, now: Timestamp, max: usize) -> Vec<Due> {
        let due = self.store.due(now, max);
        for due in &due {
            self.ledger.borrow().say(|| format!("{} is due since {}", due.queue_id, due.retry_at.micros()));
        }
        due
    }

    fn make_due(&mut self, only: Option<&QueueId>, now: Timestamp) {
        self.ledger.borrow_mut().flushed();
        self.store.make_due(only, now);
    }

    fn load(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>> {
        let loaded = self.with(|store| store.load(key));
        let mut ledger = self.ledger.borrow_mut();
        match &loaded {
            Ok(Some(message)) => ledger.read(message),
            Ok(None) => {}
            Err(_) if self.disk.is_dead() || ledger.unsure() => {}
            Err(error) => ledger.fail(format!("a message cannot be loaded: {error}")),
        }
        drop(ledger);
        loaded
    }

    fn find(&self, id: &QueueId) -> Option<MessageKey> {
        self.store.find(id)
    }

    fn list(&self) -> Vec<Listed> {
        self.store.list()
    }

    fn stop(self, now: Timestamp) -> io::Result<()> {
        let stopped = self.store.stop(now);
        hear(&self.reports, &self.disk, &self.ledger);
        stopped
    }
}
