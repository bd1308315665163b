//! What the queue manager and the store say to each other.

use crate::{MessageKey, Reporter};
use mail::{Content, Envelope, Outcome, QueueId, QueueIdForm, Timestamp};
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

impl Record {
    pub(crate) fn key(&self) -> MessageKey {
        match self {
            Record::Attempt { key }
            | Record::Outcome { key, .. }
            | Record::Retry { key, .. }
            | Record::Hold { key, .. }
            | Record::Release { key }
            | Record::Warned { key }
            | Record::Remove { key } => *key,
        }
    }
}
