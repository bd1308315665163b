//! What the driver asks of the queue; a trait, so that tests can keep a queue in memory.

use bytes::Bytes;
use mail::{ContentFlags, Envelope, Outcome, QueueId, Timestamp};
use queue::{CommitError, Due, Listed, MessageKey, NewMessage, Notice, Record, Store};
use std::io;

/// The queue as its one owner sees it; see [`queue::Store`], whose methods these are.
#[allow(missing_docs, reason = "documented where they are implemented")]
pub trait Spool {
    fn take_notice(&mut self, notice: Notice);
    fn poll_new(&mut self, now: Timestamp) -> io::Result<Vec<NewMessage>>;
    fn record(&mut self, record: Record);
    fn new_id(&mut self, now: Timestamp) -> QueueId;
    fn bounce(
        &mut self,
        cause: Option<(MessageKey, &[Outcome])>,
        id: QueueId,
        envelope: Envelope,
        content: Vec<Bytes>,
        flags: ContentFlags,
    ) -> Result<NewMessage, CommitError>;
    fn write_out(&mut self, now: Timestamp) -> io::Result<()>;
    fn turn(&mut self, now: Timestamp);
    fn next_due(&self) -> Option<Timestamp>;
    fn due(&mut self, now: Timestamp, max: usize) -> Vec<Due>;
    fn make_due(&mut self, only: Option<&QueueId>, now: Timestamp);
    fn load(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>>;
    fn find(&self, id: &QueueId) -> Option<MessageKey>;
    fn list(&self) -> Vec<Listed>;
    fn stop(self, now: Timestamp) -> io::Result<()>;
}

impl Spool for Store {
    fn take_notice(&mut self, notice: Notice) {
        Store::take_notice(self, notice);
    }
    fn poll_new(&mut self, now: Timestamp) -> io::Result<Vec<NewMessage>> {
        Store::poll_new(self, now)
    }
    fn record(&mut self, record: Record) {
        Store::record(self, record);
    }
    fn new_id(&mut self, now: Timestamp) -> QueueId {
        Store::new_id(self, now)
    }
    fn bounce(
        &mut self,
        cause: Option<(MessageKey, &[Outcome])>,
        id: QueueId,
        envelope: Envelope,
        content: Vec<Bytes>,
        flags: ContentFlags,
    ) -> Result<NewMessage, CommitError> {
        Store::bounce(self, cause, id, envelope, content, flags)
    }
    fn write_out(&mut self, now: Timestamp) -> io::Result<()> {
        Store::write_out(self, now)
    }
    fn turn(&mut self, now: Timestamp) {
        Store::turn(self, now);
    }
    fn next_due(&self) -> Option<Timestamp> {
        Store::next_due(self)
    }
    fn due(&mut self, now: Timestamp, max: usize) -> Vec<Due> {
        Store::due(self, now, max)
    }
    fn make_due(&mut self, only: Option<&QueueId>, now: Timestamp) {
        Store::make_due(self, only, now);
    }
    fn load(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>> {
        Store::load(self, key)
    }
    fn find(&self, id: &QueueId) -> Option<MessageKey> {
        Store::find(self, id)
    }
    fn list(&self) -> Vec<Listed> {
        Store::list(self)
    }
    fn stop(self, now: Timestamp) -> io::Result<()> {
        Store::stop(self, now)
    }
}
