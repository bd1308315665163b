//! The queue manager's side: the journal's tail, the index, outcomes, and the files of what stays.

use crate::{Disk, MessageKey, Notice, Reporter};
use bytes::Bytes;
use mail::{Content, ContentFlags, Envelope, Outcome, QueueId, QueueIdForm, Timestamp};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How the queue manager keeps the queue.
#[derive(Clone)]
pub struct StoreSettings {
    /// Size of a new segment.
    pub segment_bytes: u64,
    /// Most bytes of the whole journal on disk; the same as [`crate::IntakeSettings::journal_bytes_max`].
    pub journal_bytes_max: u64,
    /// How old a segment gets before what is left in it becomes files. 60 s.
    pub spill_after: Duration,
    /// Form of new queue ids (bounces).
    pub id_form: QueueIdForm,
    /// Most bytes of content that is kept in memory for new messages; beyond it content is read when it is asked for.
    pub content_memory_max: u64,
    /// `hash_queue_names`.
    pub hash_queue_names: Vec<String>,
    /// `hash_queue_depth`.
    pub hash_queue_depth: u32,
    /// Run everything that blocks on the caller's thread, when it asks for it: for the simulator.
    pub inline: bool,
    /// Takes what an administrator should read.
    pub report: Reporter,
}

impl StoreSettings {
    /// Postfix's and our defaults.
    pub fn new(report: Reporter) -> Self {
        StoreSettings {
            segment_bytes: 8 << 20,
            journal_bytes_max: 512 << 20,
            spill_after: Duration::from_secs(60),
            id_form: QueueIdForm::Short,
            content_memory_max: 64 << 20,
            hash_queue_names: vec!["deferred".into(), "defer".into()],
            hash_queue_depth: 1,
            inline: false,
            report,
        }
    }
}

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the journal.
    Journal,
    /// A file in `deferred/` (or, of Postfix's, `incoming/` or `active/` before it is taken over).
    Deferred,
    /// On hold: a file in `hold/`, or in the journal on its way there.
    Hold,
}

/// A message for the scheduler.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Names it in every later call.
    pub key: MessageKey,
    /// Its name in the log.
    pub queue_id: QueueId,
    /// Its envelope; `recipients[i]` is the recipient `index` i of outcomes.
    pub envelope: Envelope,
    /// Which recipients need no delivery any more; as long as `envelope.recipients`.
    pub done: Vec<bool>,
    /// Its content.
    pub content: Content,
    /// Where it lies.
    pub place: Place,
    /// When it is to be tried; `None` for now.
    pub retry_at: Option<Timestamp>,
    /// At how many crashes in a row it was in flight; from 2 on it is to be tried alone. At 3 it is on hold already.
    pub crashes: u8,
    /// The last temporary failures that are known, by recipient.
    pub deferrals: Vec<Outcome>,
}

/// A message that waits in the index, without its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Names it.
    pub key: MessageKey,
    /// Its name in the log.
    pub queue_id: QueueId,
    /// When it was to be tried.
    pub retry_at: Timestamp,
}

/// A message as lists of the queue show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Names it.
    pub key: MessageKey,
    /// Its name in the log.
    pub queue_id: QueueId,
    /// Where it lies.
    pub place: Place,
    /// Being delivered: an attempt was noted, and no outcome yet.
    pub in_flight: bool,
    /// When it is to be tried.
    pub retry_at: Option<Timestamp>,
    /// When it arrived, where that is known without reading the file.
    pub arrival: Option<Timestamp>,
    /// Bytes of content, where that is known without reading the file.
    pub size: Option<u64>,
}

/// Something that happened to a message, to be remembered.
#[derive(Clone, Debug)]
pub enum Record {
    /// A delivery begins: before the agent gets the job.
    Attempt {
        /// The message.
        key: MessageKey,
    },
    /// A recipient's outcome. `Sent` and `Bounced` are final; a `Bounced` one with a report goes by [`Store::bounce`].
    /// The message is forgotten when its last recipient is final.
    Outcome {
        /// The message.
        key: MessageKey,
        /// Which recipient, and what became of it; `job` is not looked at.
        outcome: Outcome,
    },
    /// The attempt is over; what is left is to be tried again.
    Retry {
        /// The message.
        key: MessageKey,
        /// When.
        at: Timestamp,
    },
    /// Not to be tried until released.
    Hold {
        /// The message.
        key: MessageKey,
        /// Why, for the administrator.
        reason: String,
    },
    /// No longer on hold.
    Release {
        /// The message.
        key: MessageKey,
    },
    /// The delay warning was sent: no other is due.
    Warned {
        /// The message.
        key: MessageKey,
    },
    /// Removed by an administrator's order, whatever its recipients.
    Remove {
        /// The message.
        key: MessageKey,
    },
}

/// What was found on start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages in the journal that still have work to do; they come from [`Store::poll_new`].
    pub messages: usize,
    /// Segments read.
    pub segments: usize,
    /// Damaged ranges that were saved to `corrupt/`.
    pub damaged: usize,
}

/// The queue, as its one owner sees it.
///
/// One event loop calls it; what blocks for long (syncs, queue files, freeing) goes to its own named threads, and
/// [`Store::turn`] collects what they did. Every loop's turn: take notices, `poll_new`, deliveries, `record`…,
/// `write_out`, and `turn` at least whenever [`Store::next_due`] has come.
pub struct Store {
    _private: (),
}

impl Store {
    /// Recovers the journal and opens a segment for outcomes. Bounded by the journal's size; reads no other directory.
    pub fn open(
        _settings: StoreSettings,
        _disk: Arc<dyn Disk>,
        _now: Timestamp,
    ) -> io::Result<(Store, Recovered)> {
        todo!()
    }

    /// Notes how far a segment may be read.
    pub fn take_notice(&mut self, _notice: Notice) {
        todo!()
    }

    /// The next messages that are new (or were recovered), at most some hundreds; empty where there is none.
    pub fn poll_new(&mut self, _now: Timestamp) -> io::Result<Vec<NewMessage>> {
        todo!()
    }

    /// Remembers what happened. Buffered until [`Store::write_out`].
    pub fn record(&mut self, _record: Record) {
        todo!()
    }

    /// A new queue id, for a message that the queue manager writes.
    pub fn new_id(&mut self, _now: Timestamp) -> QueueId {
        todo!()
    }

    /// Remembers a report and the outcomes that caused it as one atomic group: after a crash all of it counts or
    /// nothing. `cause` is `None` for mail without one (postmaster notices). The message comes back as a new one.
    pub fn bounce(
        &mut self,
        _cause: Option<(MessageKey, &[Outcome])>,
        _id: QueueId,
        _envelope: Envelope,
        _content: Vec<Bytes>,
        _flags: ContentFlags,
    ) -> Result<NewMessage, crate::CommitError> {
        todo!()
    }

    /// Writes what was recorded since the last call, with one `pwrite`: before the loop's turn ends, and before any
    /// job whose attempt was recorded is handed to an agent. Synced by a thread within 50 ms.
    pub fn write_out(&mut self, _now: Timestamp) -> io::Result<()> {
        todo!()
    }

    /// Collects what the threads did, starts spills, frees segments, reconciles directories with the index.
    pub fn turn(&mut self, _now: Timestamp) {
        todo!()
    }

    /// When [`Store::turn`] has work again.
    pub fn next_due(&self) -> Option<Timestamp> {
        todo!()
    }

    /// Takes messages out of the waiting index whose time has come, at most `max`; [`Store::load`] then reads them.
    pub fn due(&mut self, _now: Timestamp, _max: usize) -> Vec<Due> {
        todo!()
    }

    /// Everything that waits counts as due now (`postqueue -f`), or only one message (`postqueue -i`).
    pub fn make_due(&mut self, _only: Option<&QueueId>, _now: Timestamp) {
        todo!()
    }

    /// Reads a message again; `None` where it is gone (other hands removed it).
    pub fn load(&mut self, _key: MessageKey) -> io::Result<Option<NewMessage>> {
        todo!()
    }

    /// Whether all of `deferred/`, `hold/`, `incoming/` and `active/` has been read since the start.
    pub fn scanned(&self) -> bool {
        todo!()
    }

    /// All that is queued, in no order.
    pub fn list(&self) -> Vec<Listed> {
        todo!()
    }

    /// The message with this id.
    pub fn find(&self, _id: &QueueId) -> Option<MessageKey> {
        todo!()
    }

    /// Orderly stop: all of the journal becomes files, so that Postfix may start next. The processes that take mail
    /// in must have ended.
    pub fn stop(self, _now: Timestamp) -> io::Result<()> {
        todo!()
    }
}
