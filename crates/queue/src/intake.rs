//! How messages get into the queue: ids, drafts, and the commit thread.

use crate::{Disk, Draft, Hooks, IntakeSettings, MessageKey};
use mail::{ContentFlags, Envelope, QueueId, Timestamp};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The way into the queue for one process; clones share it, and each event loop may use one.
#[derive(Clone)]
pub struct Intake {
    _shared: Arc<()>,
}

/// Proof that a message is on stable storage. Only a commit makes one, so a `250` can be told from a promise.
#[derive(Debug)]
pub struct Committed {
    queue_id: QueueId,
    key: MessageKey,
    size: u64,
}

impl Committed {
    /// The message's id.
    pub fn queue_id(&self) -> &QueueId {
        &self.queue_id
    }

    /// Where it lies.
    pub fn key(&self) -> MessageKey {
        self.key
    }

    /// Bytes of content.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Why a message was not taken; it says whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The journal or the file system is full: 452 4.3.1.
    NoSpace,
    /// A write or a sync failed: 451 4.3.0. The text is the operating system's.
    Io(String),
    /// Too many messages wait for the disk: 452 4.3.1.
    Overload,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::NoSpace => write!(f, "no space left in the queue"),
            CommitError::Io(error) => write!(f, "queue file write error: {error}"),
            CommitError::Overload => write!(f, "too many messages wait for the disk"),
        }
    }
}

impl std::error::Error for CommitError {}

impl Intake {
    /// Opens a fresh segment in `journal/` and starts the commit thread.
    pub fn open(_settings: IntakeSettings, _disk: Arc<dyn Disk>, _hooks: Hooks) -> io::Result<Intake> {
        todo!()
    }

    /// A new queue id; it is never given out again, whether or not a message comes of it.
    pub fn new_id(&self, _now: Timestamp) -> QueueId {
        todo!()
    }

    /// Whether `MAIL` may be answered with 250: room on the file system (`queue_minfree`, 1.5 × `message_size_limit`)
    /// and in the journal. Asks the file system at most once a second.
    pub fn room(&self, _now: Timestamp) -> Result<(), CommitError> {
        todo!()
    }

    /// An empty draft of the message `id`.
    pub fn draft(&self, _id: QueueId) -> Draft {
        todo!()
    }

    /// Hands a message to the commit thread. It goes in also when the future is dropped.
    ///
    /// The future belongs to the event loop that made it: all that wait on one loop are woken with one wake a group.
    pub fn commit(&self, _draft: Draft, _envelope: Envelope, _flags: ContentFlags) -> CommitFuture {
        todo!()
    }

    /// [`Intake::commit`] for threads without an event loop: waits for the outcome.
    pub fn commit_blocking(
        &self,
        _draft: Draft,
        _envelope: Envelope,
        _flags: ContentFlags,
    ) -> Result<Committed, CommitError> {
        todo!()
    }

    /// Commits what waits and ends the thread; later commits fail with [`CommitError::Io`].
    pub fn close(&self) {
        todo!()
    }
}

/// Resolves when the message is on stable storage, or will never be.
pub struct CommitFuture {
    _loop_local: PhantomData<Rc<()>>,
}

impl Future for CommitFuture {
    type Output = Result<Committed, CommitError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
