//! How messages get into the queue: ids, drafts, and the commit thread.

use crate::committer::{Committer, Counter, Waiting, next_id};
use crate::draft::Budget;
use crate::space::enough_space;
use crate::{Disk, Draft, Hooks, IntakeSettings, MessageKey, SpaceRule};
use mail::{ContentFlags, Envelope, QueueId, QueueIdForm, Timestamp};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

mod completion;

pub(crate) use completion::Back;
pub use completion::CommitFuture;

/// Messages that wait for the disk. At 10,000 messages a second this is almost half a second; beyond it smtpd answers 452.
const COMMIT_BACKLOG: usize = 4096;

/// How long what was learnt about free space is good for.
const ROOM_MICROS: i64 = 1_000_000;

/// The way into the queue for one process; clones share it, and each event loop may use one.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    counter: Arc<Mutex<Counter>>,
    budget: Arc<Budget>,
    disk: Arc<dyn Disk>,
    id_form: QueueIdForm,
    space: SpaceRule,
    room_asked: AtomicI64,
    /// Free bytes on the file system, where they were too few; otherwise `u64::MAX`.
    too_few_bytes: AtomicU64,
    /// The last commit found no room in the journal.
    full: Arc<AtomicBool>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// The thread sleeps and has to be woken.
    idle: bool,
    closing: bool,
}

/// Proof that a message is on stable storage. Only a commit makes one, so a `250` can be told from a promise.
#[derive(Debug)]
pub struct Committed {
    queue_id: QueueId,
    key: MessageKey,
    size: u64,
}

impl Committed {
    pub(crate) fn new(queue_id: QueueId, key: MessageKey, size: u64) -> Self {
        Committed { queue_id, key, size }
    }

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

/// No message is taken for now: 452 4.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The file system is too full; so many bytes are free.
    FileSystem(u64),
    /// The journal has reached its size.
    Journal,
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
    pub fn open(settings: IntakeSettings, disk: Arc<dyn Disk>, hooks: Hooks) -> io::Result<Intake> {
        let committer = Committer::open(&settings, disk.clone(), hooks, now())?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            thread: Mutex::new(None),
            counter: committer.counter(),
            budget: committer.budget(),
            disk,
            id_form: settings.id_form,
            space: settings.space,
            room_asked: AtomicI64::new(i64::MIN),
            too_few_bytes: AtomicU64::new(u64::MAX),
            full: Arc::new(AtomicBool::new(false)),
        });
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            // Sessions would wait for ever for a thread that is gone, and what it had written is unknown.
            let abort = AbortOnPanic;
            run(committer, &for_thread);
            std::mem::forget(abort);
        })?;
        *lock(&shared.thread) = Some(thread);
        Ok(Intake { shared })
    }

    /// A new queue id; it is never given out again, whether or not a message comes of it.
    pub fn new_id(&self, now: Timestamp) -> QueueId {
        next_id(&self.shared.counter, self.shared.id_form, now)
    }

    /// Whether `MAIL` may be answered with 250: room on the file system (`queue_minfree`, 1.5 × `message_size_limit`)
    /// and in the journal. Asks the file system at most once a second.
    pub fn room(&self, now: Timestamp) -> Result<(), NoRoom> {
        let shared = &self.shared;
        let asked = shared.room_asked.load(Ordering::Relaxed);
        if asked > now.micros() || now.micros().saturating_sub(asked) >= ROOM_MICROS {
            shared.room_asked.store(now.micros(), Ordering::Relaxed);
            // A file system that does not answer is tried by the commit, which says what is wrong.
            let space = shared.disk.space().ok().filter(|space| !enough_space(shared.space, *space));
            shared.too_few_bytes.store(space.map_or(u64::MAX, |space| space.free_bytes), Ordering::Relaxed);
            shared.full.store(false, Ordering::Relaxed);
        }
        match shared.too_few_bytes.load(Ordering::Relaxed) {
            u64::MAX if shared.full.load(Ordering::Relaxed) => Err(NoRoom::Journal),
            u64::MAX => Ok(()),
            free => Err(NoRoom::FileSystem(free)),
        }
    }

    /// How many messages wait for the disk, and how many may.
    pub fn backlog(&self) -> (usize, usize) {
        (lock(&self.shared.queue).waiting.len(), COMMIT_BACKLOG)
    }

    /// An empty draft of the message `id`.
    pub fn draft(&self, id: QueueId) -> Draft {
        Draft::new(id, self.shared.budget.clone())
    }

    /// Hands a message to the commit thread. It goes in also when the future is dropped.
    ///
    /// The future belongs to the event loop that made it: all that wait on one loop are woken with one wake a group.
    pub fn commit(&self, draft: Draft, envelope: Envelope, flags: ContentFlags) -> CommitFuture {
        let (future, back) = CommitFuture::new();
        if let Err(refused) = self.push(Waiting::new(draft, envelope, flags, back)) {
            refused.0.back.answer(Err(refused.1));
        }
        future
    }

    /// [`Intake::commit`] for threads without an event loop: waits for the outcome.
    pub fn commit_blocking(
        &self,
        draft: Draft,
        envelope: Envelope,
        flags: ContentFlags,
    ) -> Result<Committed, CommitError> {
        let answer = Arc::new((Mutex::new(None), Condvar::new()));
        let waiting = Waiting::new(draft, envelope, flags, Back::Thread(answer.clone()));
        self.push(waiting).map_err(|refused| refused.1)?;
        let (slot, filled) = &*answer;
        let mut slot = lock(slot);
        loop {
            match slot.take() {
                Some(answer) => return answer,
                None => slot = filled.wait(slot).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Commits what waits and ends the thread; later commits fail with [`CommitError::Io`].
    pub fn close(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.filled.notify_one();
        let thread = lock(&self.shared.thread).take();
        if let Some(thread) = thread {
            // It cannot have panicked: that aborts the process.
            let _ = thread.join();
        }
    }

    fn push(&self, waiting: Waiting) -> Result<(), Box<(Waiting, CommitError)>> {
        let mut queue = lock(&self.shared.queue);
        if queue.closing {
            return Err(Box::new((waiting, CommitError::Io("the queue is closed".into()))));
        }
        if queue.waiting.len() >= COMMIT_BACKLOG {
            return Err(Box::new((waiting, CommitError::Overload)));
        }
        queue.waiting.push(waiting);
        let wake = std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.shared.filled.notify_one();
        }
        Ok(())
    }
}

/// The commit thread: idle, it takes what comes at once; busy, it then takes all who wait.
fn run(mut committer: Committer, shared: &Shared) {
    loop {
        let mut queue = lock(&shared.queue);
        while queue.waiting.is_empty() {
            if queue.closing {
                return;
            }
            queue.idle = true;
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.idle = false;
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        committer.commit(waiting, now(), &mut |group| {
            let full = group.iter().any(|(_, answer)| matches!(answer, Err(CommitError::NoSpace)));
            if full {
                shared.full.store(true, Ordering::Relaxed);
            }
            completion::answer_all(group);
        });
    }
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host's clock, for the headers of segments.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
