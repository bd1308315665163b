//! Makes waiting messages durable in groups: the synchronous core that the commit thread calls.

use crate::{Disk, Draft, Notice, Reporter, Role, SpaceRule};
use mail::QueueIdForm;
use std::io;
use std::sync::Arc;

/// How a process writes its part of the journal.
#[derive(Clone)]
pub struct IntakeSettings {
    /// Who writes.
    pub role: Role,
    /// Size of a new segment.
    pub segment_bytes: u64,
    /// Most bytes of the whole journal on disk; beyond it clients get 452.
    pub journal_bytes_max: u64,
    /// Content from this size on goes to a file of its own.
    pub large_message_bytes: u64,
    /// Most bytes of content that is not committed yet, over all drafts; what goes beyond it goes to files.
    pub body_memory_max: u64,
    /// Form of new queue ids.
    pub id_form: QueueIdForm,
    /// `queue_minfree` and `message_size_limit`.
    pub space: SpaceRule,
}

impl IntakeSettings {
    /// Settings with defaults for everything else.
    pub fn new(role: Role) -> Self {
        IntakeSettings {
            role,
            segment_bytes: 8 << 20,
            journal_bytes_max: 512 << 20,
            large_message_bytes: 2 << 20,
            body_memory_max: 64 << 20,
            id_form: QueueIdForm::Short,
            space: SpaceRule::default(),
        }
    }
}

/// What the commit thread does behind each sync, before it wakes the sessions: log lines out, then notice ②.
pub struct Hooks {
    /// Writes out the log lines that are buffered, so that they stand in the log before the queue manager's.
    pub flush_log: Box<dyn FnMut() + Send>,
    /// Tells the queue manager, as [`crate::NoticeSender::send`] does.
    pub notice: Box<dyn FnMut(Notice) + Send>,
    /// Takes what an administrator should read.
    pub report: Reporter,
}

impl Hooks {
    /// Hooks that do nothing; for tests.
    pub fn none() -> Self {
        Hooks { flush_log: Box::new(|| ()), notice: Box::new(|_| ()), report: Arc::new(|_| ()) }
    }
}

/// The synchronous core of a group commit. [`crate::Intake`] runs it on its thread, the simulator by hand.
pub struct Committer {
    _draft: Option<Draft>,
}

impl Committer {
    /// Opens a fresh segment; a restarted process never writes to an older one.
    pub fn open(_settings: IntakeSettings, _disk: Arc<dyn Disk>, _hooks: Hooks) -> io::Result<Self> {
        todo!()
    }
}
