//! Workers that write mailboxes: a fixed number of threads, each with the rights of the recipient it serves.

use super::failure::Failure;
use super::maildir::{self, Written};
use super::mbox::{self, NotDelivered, Owner};
use super::replies::Replies;
use super::settings::{Mailbox, Settings};
use super::text::{Text, prefix};
use super::wire::{Answer, Head};
use mail::{Dsn, Status};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Into so many shares what waits for Maildirs is divided, so that several workers write while others sync.
const SHARES: usize = 4;

/// But so many go to one worker if there are no more: smaller shares cost a sync each.
const BATCH_MIN: usize = 16;

/// Deliveries that one worker makes together: so many mailboxes a crash of this process may fill twice.
const BATCH_MAX: usize = 64;

/// A job, shared by the deliveries to its recipients.
pub struct Job {
    /// Who sends to whom.
    pub head: Head,
    /// The content.
    pub text: Text,
}

/// One delivery to one mailbox.
pub struct Task {
    /// The job.
    pub job: Arc<Job>,
    /// The recipient's place in the job.
    pub place: usize,
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// The settings in force when the job came.
    pub settings: Arc<Settings>,
    /// Where the answer goes.
    pub replies: Arc<Replies>,
    /// How often the mailbox was found locked.
    pub attempts: u32,
}

/// Takes tasks.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
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
        let shared = Arc::new(Shared { state: Mutex::default(), ready: Condvar::new() });
        for number in 0..workers {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("mailbox-{number}")).spawn(move || shared.work())?;
        }
        Ok(Pool(shared))
    }

    /// Takes a task; its answer goes to its `replies`.
    pub fn add(&self, tasks: Vec<Task>) {
        let mut state = self.0.lock();
        // Each call wakes with a system call, and who is awake looks for more by himself; Maildirs go in batches.
        let all_maildirs = tasks.iter().all(|task| task.mailbox.is_maildir);
        let useful = if all_maildirs { tasks.len().min(SHARES) } else { tasks.len() };
        let wake = useful.min(state.idle);
        state.open += tasks.len();
        state.tasks.extend(tasks);
        drop(state);
        for _ in 0..wake {
            self.0.ready.notify_one();
        }
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

    fn work(&self) {
        let mut acting_as = None;
        loop {
            let tasks = self.next();
            let results = catch_unwind(AssertUnwindSafe(|| deliver_all(&tasks, &mut acting_as)));
            let results = results.unwrap_or_else(|_| {
                let crashed = || Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error");
                tasks.iter().map(|_| Err(NotDelivered::Failed(crashed()))).collect()
            });
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
    fn next(&self) -> Vec<Task> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(entry) = state.later.first_entry().filter(|e| e.key().0 <= now) {
                // Its mailbox is still ours; it goes before what came later.
                return vec![entry.remove()];
            }
            if let Some((task, waiting)) = state.freed.pop_front() {
                state.taken.insert(task.mailbox.path.clone(), waiting);
                return vec![task];
            }
            while let Some(task) = state.tasks.pop_front() {
                if task.mailbox.is_maildir {
                    let share = (state.tasks.len() / SHARES).clamp(BATCH_MIN, BATCH_MAX);
                    let mut batch = vec![task];
                    while batch.len() < share
                        && state.tasks.front().is_some_and(|next| next.mailbox.is_maildir)
                    {
                        batch.extend(state.tasks.pop_front());
                    }
                    return batch;
                }
                match state.taken.get_mut(&task.mailbox.path) {
                    Some(waiting) => waiting.push_back(task),
                    None => {
                        state.taken.insert(task.mailbox.path.clone(), VecDeque::new());
                        return vec![task];
                    }
                }
            }
            state.idle += 1;
            state = match state.later.first_key_value().map(|(key, _)| key.0) {
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
            && task.attempts + 1 < task.settings.locking.attempts
        {
            task.attempts += 1;
            state.counter += 1;
            let key = (Instant::now() + task.settings.locking.delay, state.counter);
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
            self.ready.notify_one();
        }
        drop(state);
        let answer = answer(&task, result);
        Some((task.replies, answer))
    }
}

fn answer(task: &Task, result: Result<(), NotDelivered>) -> Answer {
    let (job, index) = (task.job.head.job, task.job.head.recipients[task.place].index);
    match result {
        Ok(()) => Answer {
            job,
            index,
            status: Status::Sent,
            dsn: Dsn::new(2, 0, 0),
            reason: if task.mailbox.is_maildir { "delivered to maildir" } else { "delivered to mailbox" }
                .into(),
            diagnostic: None,
            notes: Vec::new(),
        },
        Err(NotDelivered::Failed(failure) | NotDelivered::Locked(failure)) => failed(job, index, failure),
    }
}

/// The answer for a delivery that failed.
pub fn failed(job: u64, index: u32, failure: Failure) -> Answer {
    let status = failure.status();
    Answer {
        job,
        index,
        status,
        dsn: failure.dsn,
        reason: failure.reason,
        diagnostic: failure.diagnostic,
        notes: failure.notes,
    }
}

/// Delivers a batch: what is for Maildirs is written, then synced together, then put in place.
fn deliver_all(tasks: &[Task], acting_as: &mut Option<(u32, u32)>) -> Vec<Result<(), NotDelivered>> {
    let mut written: Vec<Result<Written, NotDelivered>> = Vec::with_capacity(tasks.len());
    for task in tasks {
        if !task.mailbox.is_maildir {
            return tasks.iter().map(|task| append(task, acting_as)).collect();
        }
        written.push(act_as(task, acting_as).and_then(|()| {
            let (settings, lines) = (&task.settings, lines(task));
            maildir::write(&task.mailbox, &settings.hostname, &lines, &task.job.text, settings.mailbox_limit)
                .map_err(NotDelivered::Failed)
        }));
    }
    let to_sync: Vec<&Written> = written.iter().flatten().collect();
    let mut synced = maildir::sync(&to_sync).into_iter();
    let place = |(task, written): (&Task, Result<Written, NotDelivered>)| {
        let written = written?;
        // First the rights: a file that failed is taken away with them.
        act_as(task, acting_as)?;
        synced.next().unwrap_or(Ok(())).map_err(NotDelivered::Failed)?;
        written.place(&task.mailbox).map_err(NotDelivered::Failed)
    };
    tasks.iter().zip(written).map(place).collect()
}

/// Takes the recipient's rights on files.
fn act_as(task: &Task, acting_as: &mut Option<(u32, u32)>) -> Result<(), NotDelivered> {
    let who = (task.mailbox.uid, task.mailbox.gid);
    if !task.settings.as_caller && *acting_as != Some(who) {
        *acting_as = None;
        sys::act_as(who.0, who.1)
            .map_err(|e| NotDelivered::Failed(Failure::io("cannot act as the recipient", &e)))?;
        *acting_as = Some(who);
    }
    Ok(())
}

fn lines(task: &Task) -> Vec<u8> {
    let recipient = &task.job.head.recipients[task.place];
    match task.settings.original_recipient {
        true => prefix(&task.job.head, recipient),
        false => {
            let silent = super::wire::Recipient { original: mail::Address::null(), ..recipient.clone() };
            prefix(&task.job.head, &silent)
        }
    }
}

fn append(task: &Task, acting_as: &mut Option<(u32, u32)>) -> Result<(), NotDelivered> {
    act_as(task, acting_as)?;
    let (mailbox, settings) = (&task.mailbox, &task.settings);
    let owner = Owner { uid: (settings.strict_ownership && !settings.as_caller).then_some(mailbox.uid) };
    let entry = [mbox::from_line(&task.job.head.sender, net::clock::now()), lines(task)].concat();
    let limit = settings.mailbox_limit;
    let delivered = mbox::deliver(&mailbox.path, owner, &entry, &task.job.text, limit, &settings.locking);
    delivered.map_err(|error| match error {
        // The administrator is told whose mailbox is wrong.
        NotDelivered::Failed(mut failure) if failure.is_configuration() => {
            let recipient = &task.job.head.recipients[task.place].address;
            failure.notes.iter_mut().for_each(|note| note.put_before(&format!("recipient {recipient}: ")));
            NotDelivered::Failed(failure)
        }
        other => other,
    })
}
