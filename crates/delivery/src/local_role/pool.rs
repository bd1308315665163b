//! Workers that write mailboxes: a fixed number of threads, each with the rights of the recipient it serves.

use super::delivered::delivered_to;
use super::failure::Failure;
use super::halt::Halt;
use super::line::{LONG, Line};
use super::maildir::{self, Written};
use super::mbox::{self, NotDelivered, Place};
use super::replies::Replies;
use super::rights::Rights;
use super::settings::Mailbox;
use super::text::Text;
use super::wire::{Answer, Head};
use super::writing::Writing;
use mail::{Dsn, Status};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// Into so many shares what waits for Maildirs is divided, so that several workers write while others sync.
const SHARES: usize = 4;

/// Deliveries that one worker makes together: so many mailboxes a crash of this process may fill twice.
const BATCH_MAX: usize = 64;

/// A job, shared by the deliveries to its recipients.
pub struct Job {
    /// Who sends to whom.
    pub head: Head,
    /// The content.
    pub text: Text,
    /// The same as it came, with CRLF, from an offset in the memory file on.
    pub content: (File, u64),
    /// When its commands are to end.
    pub halt: Arc<Halt>,
    /// What its `Delivered-To` headers say, once somebody asked.
    pub delivered: OnceLock<HashSet<String>>,
}

impl Job {
    /// Where the message has been already: the values of `Delivered-To`, in lower case.
    pub fn delivered_to(&self) -> &HashSet<String> {
        self.delivered.get_or_init(|| delivered_to(&self.text))
    }
}

/// One delivery to one mailbox.
pub struct Task {
    /// The job.
    pub job: Arc<Job>,
    /// The recipient's place in the job.
    pub place: usize,
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// What stands before the content: `From_` line (of a file), Return-Path and so on.
    pub entry: Vec<u8>,
    /// The settings in force when the job came.
    pub writing: Arc<Writing>,
    /// Where the result goes.
    pub back: Back,
    /// How often the mailbox was found locked.
    pub attempts: u32,
}

/// Who is told of a result.
pub enum Back {
    /// The queue manager: it is the recipient's.
    Replies(Arc<Replies>),
    /// A delivery that consists of several.
    Waiter(oneshot::Sender<Result<(), Failure>>),
}

/// Something else that takes a user's rights and may block: reading a file of his.
pub type Errand = Box<dyn FnOnce(&mut Rights) + Send>;

/// What a worker does next.
enum Work {
    Deliver(Vec<Task>),
    Run(Errand),
}

/// Takes tasks.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

struct State {
    /// Tasks for mailbox files.
    files: VecDeque<Task>,
    /// Tasks for Maildirs: those that are taken together share a sync.
    maildirs: Line<Task>,
    errands: Line<Errand>,
    /// Tasks whose mailbox another program has locked.
    later: BTreeMap<(Instant, u64), Task>,
    /// Mailboxes that a worker of ours has, with who waits for them: fcntl locks do not part threads.
    taken: HashMap<PathBuf, VecDeque<Task>>,
    /// Tasks whose mailbox became free, with who waits behind them.
    freed: VecDeque<(Task, VecDeque<Task>)>,
    counter: u64,
    /// Tasks that are not answered.
    open: usize,
    /// Workers that wait for tasks.
    idle: usize,
}

impl Pool {
    /// Starts the workers. They end with the process.
    pub fn start(workers: usize) -> io::Result<Pool> {
        let now = Instant::now();
        let state = State {
            files: VecDeque::new(),
            maildirs: Line::new(now),
            errands: Line::new(now),
            later: BTreeMap::new(),
            taken: HashMap::new(),
            freed: VecDeque::new(),
            counter: 0,
            open: 0,
            idle: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), ready: Condvar::new() });
        for number in 0..workers {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("mailbox-{number}")).spawn(move || shared.work())?;
        }
        Ok(Pool(shared))
    }

    /// Takes a task; its answer goes to its `replies`.
    pub fn add(&self, tasks: Vec<Task>) {
        let mut state = self.0.lock();
        state.open += tasks.len();
        let (maildirs, files): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| task.mailbox.is_maildir);
        // Each that is woken costs a system call, and who is awake looks for more by himself.
        let mut useful = files.len();
        state.files.extend(files);
        let shares = maildirs.len().div_ceil(LONG).min(SHARES);
        if state.maildirs.push(maildirs, Instant::now()) {
            useful += shares;
        }
        let wake = useful.min(state.idle);
        drop(state);
        for _ in 0..wake {
            self.0.ready.notify_one();
        }
    }

    /// Runs something on a worker; its result comes back, or nothing where it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Rights) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        // Who waited for it may have gone.
        let errand = move |rights: &mut Rights| drop(sender.send(work(rights)));
        self.0.push_errand(Box::new(errand));
        receiver.await.ok()
    }

    /// How many tasks are not answered.
    pub fn open(&self) -> usize {
        self.0.lock().open
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves lists that are whole: each change is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_errand(&self, errand: Errand) {
        let mut state = self.lock();
        let wakes = state.errands.push([errand], Instant::now()) && state.idle > 0;
        drop(state);
        if wakes {
            self.ready.notify_one();
        }
    }

    fn work(&self) {
        let mut rights = Rights::default();
        loop {
            let tasks = match self.next() {
                Work::Deliver(tasks) => tasks,
                Work::Run(errand) => {
                    // Its waiter sees that the sender is gone.
                    let _ = catch_unwind(AssertUnwindSafe(|| errand(&mut rights)));
                    self.lock().errands.end(Instant::now());
                    continue;
                }
            };
            let is_batch = tasks.iter().any(|task| task.mailbox.is_maildir);
            let results = catch_unwind(AssertUnwindSafe(|| deliver_all(&tasks, &mut rights)));
            let results = results.unwrap_or_else(|_| {
                let crashed = || Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error");
                tasks.iter().map(|_| Err(NotDelivered::Failed(crashed()))).collect()
            });
            if is_batch {
                self.lock().maildirs.end(Instant::now());
            }
            // The answers of a batch that go the same way go with one write.
            let mut answers = Vec::with_capacity(tasks.len());
            for (task, result) in tasks.into_iter().zip(results) {
                answers.extend(self.over(task, result));
            }
            for same in answers.chunk_by(|a, b| Arc::ptr_eq(&a.0, &b.0)) {
                same[0].0.send(same.iter().map(|(_, answer)| answer));
            }
        }
    }

    /// The next task whose mailbox no other worker has; of those for Maildirs several, a worker's share of all.
    fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(entry) = state.later.first_entry().filter(|e| e.key().0 <= now) {
                // Its mailbox is still ours; it goes before what came later.
                return Work::Deliver(vec![entry.remove()]);
            }
            if let Some((task, waiting)) = state.freed.pop_front() {
                state.taken.insert(task.mailbox.path.clone(), waiting);
                return Work::Deliver(vec![task]);
            }
            if let Some(errand) = state.errands.take(1, now).and_then(|mut one| one.pop()) {
                return Work::Run(errand);
            }
            let share = (state.maildirs.len() / SHARES).clamp(LONG, BATCH_MAX);
            if let Some(batch) = state.maildirs.take(share, now) {
                return Work::Deliver(batch);
            }
            while let Some(task) = state.files.pop_front() {
                match state.taken.get_mut(&task.mailbox.path) {
                    Some(waiting) => waiting.push_back(task),
                    None => {
                        state.taken.insert(task.mailbox.path.clone(), VecDeque::new());
                        return Work::Deliver(vec![task]);
                    }
                }
            }
            let locked = state.later.first_key_value().map(|(key, _)| key.0);
            let looks = [locked, state.maildirs.look_again(), state.errands.look_again()];
            state.idle += 1;
            state = match looks.into_iter().flatten().min() {
                Some(at) => {
                    let wait = self.ready.wait_timeout(state, at.saturating_duration_since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.idle -= 1;
        }
    }

    /// What follows a delivery: an answer, or another try.
    fn over(&self, mut task: Task, result: Result<(), NotDelivered>) -> Option<(Arc<Replies>, Answer)> {
        let mut state = self.lock();
        if let Err(NotDelivered::Locked(_)) = &result
            && task.attempts + 1 < task.writing.locking.attempts
        {
            task.attempts += 1;
            state.counter += 1;
            let key = (Instant::now() + task.writing.locking.delay, state.counter);
            state.later.insert(key, task);
            return None;
        }
        state.open -= 1;
        if !task.mailbox.is_maildir
            && let Some(mut waiting) = state.taken.remove(&task.mailbox.path)
            && let Some(next) = waiting.pop_front()
        {
            // Whoever takes `next` takes the mailbox; the others go on waiting for it.
            state.freed.push_back((next, waiting));
            if state.idle > 0 {
                self.ready.notify_one();
            }
        }
        drop(state);
        let (job, index) = (task.job.head.job, task.job.head.recipients[task.place].index);
        match task.back {
            Back::Replies(replies) => Some((replies, answer(job, index, task.mailbox.is_maildir, result))),
            Back::Waiter(waiter) => {
                let result = result.map_err(|(NotDelivered::Failed(f) | NotDelivered::Locked(f))| f);
                // Where nobody waits any more, the connection to the queue manager is gone: it repeats the job.
                let _ = waiter.send(result);
                None
            }
        }
    }
}

fn answer(job: u64, index: u32, is_maildir: bool, result: Result<(), NotDelivered>) -> Answer {
    match result {
        Ok(()) => {
            let reason = if is_maildir { "delivered to maildir" } else { "delivered to mailbox" };
            Answer::plain(job, index, Status::Sent, Dsn::new(2, 0, 0), reason.into())
        }
        Err(NotDelivered::Failed(failure) | NotDelivered::Locked(failure)) => failed(job, index, failure),
    }
}

/// The answer for a delivery that failed.
pub fn failed(job: u64, index: u32, failure: Failure) -> Answer {
    let status = failure.status();
    Answer {
        diagnostic: failure.diagnostic,
        notes: failure.notes,
        ..Answer::plain(job, index, status, failure.dsn, failure.reason)
    }
}

/// Delivers a batch: what is for Maildirs is written, then synced together, then put in place.
fn deliver_all(tasks: &[Task], rights: &mut Rights) -> Vec<Result<(), NotDelivered>> {
    let mut written: Vec<Result<Written, NotDelivered>> = Vec::with_capacity(tasks.len());
    for task in tasks {
        rights.set_as_caller(task.writing.as_caller);
        if !task.mailbox.is_maildir {
            return tasks.iter().map(|task| append(task, rights)).collect();
        }
        written.push(act_as(task, rights).and_then(|()| {
            let Writing { hostname, size_max, .. } = &*task.writing;
            maildir::write(&task.mailbox, hostname, &task.entry, &task.job.text, *size_max)
                .map_err(NotDelivered::Failed)
        }));
    }
    let to_sync: Vec<&Written> = written.iter().flatten().collect();
    let mut synced = maildir::sync(&to_sync).into_iter();
    let place = |(task, written): (&Task, Result<Written, NotDelivered>)| {
        let written = written?;
        // First the rights: a file that failed is taken away with them.
        act_as(task, rights)?;
        synced.next().unwrap_or(Ok(())).map_err(NotDelivered::Failed)?;
        written.place(&task.mailbox).map_err(NotDelivered::Failed)
    };
    tasks.iter().zip(written).map(place).collect()
}

/// Takes the recipient's rights on files.
fn act_as(task: &Task, rights: &mut Rights) -> Result<(), NotDelivered> {
    let Mailbox { uid, gid, otherwise, .. } = task.mailbox;
    let failed = |e| NotDelivered::Failed(Failure::io(otherwise, "cannot act as the recipient", &e));
    rights.take(uid, gid).map_err(failed)
}

fn append(task: &Task, rights: &mut Rights) -> Result<(), NotDelivered> {
    let place = Place { mailbox: &task.mailbox, writing: &task.writing };
    mbox::deliver(&place, rights, &task.entry, &task.job.text).map_err(|error| match error {
        // The administrator is told whose mailbox is wrong.
        NotDelivered::Failed(mut failure) if failure.is_configuration() => {
            let recipient = &task.job.head.recipients[task.place].address;
            failure.notes.iter_mut().for_each(|note| note.put_before(&format!("recipient {recipient}: ")));
            NotDelivered::Failed(failure)
        }
        other => other,
    })
}
