//! The thread on which the clients of servers live: a lookup works from any executor, and from none.
//!
//! A connection belongs to the runtime that opened it, and our processes have one event loop per core. So all
//! connections of tables live on one thread of their own, started at the first lookup; whoever looks up sends a
//! future there and awaits the answer, with whatever executor he has. What blocks (SQLite) has a thread for itself.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Questions under way at once in a process, over all tables. A session asks one at a time; beyond it questions wait.
const RUNNING_MAX: usize = 1024;

/// Questions that wait for their turn; beyond it they fail at once, so that mail waits rather than memory grows.
const WAITING_MAX: usize = 4096;

/// Questions that wait for a thread that blocks, as [`WAITING_MAX`].
const BLOCKING_MAX: usize = 256;

/// Threads that ask the system's resolver for names of servers; it blocks, and there are few servers.
const NAMES_MAX: usize = 4;

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Too many wait already.
    Busy,
    /// The answer was given up: its code panicked, or the process ends.
    Lost,
    /// There is no thread to ask on.
    NoThread(String),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gone::Busy => write!(f, "too many lookups are waiting"),
            Gone::Lost => write!(f, "the lookup ended without an answer"),
            Gone::NoThread(error) => write!(f, "the thread for lookups cannot be started: {error}"),
        }
    }
}

/// Runs `question` on the thread for servers, with a Tokio runtime around it, and gives its answer.
///
/// It runs to its end also when the answer is no longer awaited, so it bounds its own time ([`within`]).
pub(crate) fn ask<T: Send + 'static>(
    question: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Result<T, Gone>> + Send {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::pin(async move {
        // Nobody waits any more: what was not begun need not be.
        if !answer.is_closed() {
            let _ = answer.send(question.await);
        }
    });
    let sent = jobs().and_then(|jobs| {
        jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Gone::Busy,
            mpsc::error::TrySendError::Closed(_) => Gone::Lost,
        })
    });
    async move {
        sent?;
        answered.await.map_err(|_| Gone::Lost)
    }
}

/// Waits for `future` on the thread for servers, but no longer than `limit`; `what` says what was waited for.
pub(crate) async fn within<F: Future>(limit: Duration, what: &str, future: F) -> Result<F::Output, String> {
    let limited = tokio::time::timeout(limit, future).await;
    limited.map_err(|_| format!("no {what} within {} s", limit.as_secs_f64()))
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The way to the thread, which is started with the first question.
fn jobs() -> Result<&'static mpsc::Sender<Job>, Gone> {
    static JOBS: OnceLock<Result<mpsc::Sender<Job>, String>> = OnceLock::new();
    let started = JOBS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(NAMES_MAX)
            .thread_name("tables-names")
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let thread = thread::Builder::new().name("tables-servers".to_owned());
        let spawned = thread.spawn(move || runtime.block_on(serve(receiver)));
        spawned.map(|_| sender).map_err(|error| error.to_string())
    });
    started.as_ref().map_err(|error| Gone::NoThread(error.clone()))
}

/// Runs the questions side by side; a panic costs the one that panics.
async fn serve(mut jobs: mpsc::Receiver<Job>) {
    let running = Arc::new(Semaphore::new(RUNNING_MAX));
    while let Some(job) = jobs.recv().await {
        let permit = running.clone().acquire_owned().await.expect("nobody closes the semaphore");
        // Whoever asked joins it: it holds the other end of the answer.
        tokio::spawn(async move {
            job.await;
            drop(permit);
        });
    }
}

/// A named thread that owns something that blocks, started with the first question and gone when this is dropped.
pub(crate) struct Worker<S> {
    name: String,
    make: Arc<dyn Fn() -> S + Send + Sync>,
    tasks: Mutex<Option<blocking::SyncSender<Task<S>>>>,
}

type Task<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S: 'static> Worker<S> {
    /// A worker whose thread has this name (at most 15 bytes show) and owns what `make` makes there.
    pub(crate) fn new(name: impl Into<String>, make: impl Fn() -> S + Send + Sync + 'static) -> Worker<S> {
        Worker { name: name.into(), make: Arc::new(make), tasks: Mutex::new(None) }
    }

    /// Runs `question` on the thread and gives its answer; the question bounds its own time.
    pub(crate) fn ask<T: Send + 'static, F: FnOnce(&mut S) -> T + Send + 'static>(
        &self,
        question: F,
    ) -> impl Future<Output = Result<T, Gone>> + Send + use<T, F, S> {
        let (answer, answered) = oneshot::channel();
        let task: Task<S> = Box::new(move |owned| {
            if !answer.is_closed() {
                let _ = answer.send(question(owned));
            }
        });
        let sent = self.tasks().and_then(|tasks| {
            tasks.try_send(task).map_err(|error| match error {
                blocking::TrySendError::Full(_) => Gone::Busy,
                blocking::TrySendError::Disconnected(_) => Gone::Lost,
            })
        });
        async move {
            sent?;
            answered.await.map_err(|_| Gone::Lost)
        }
    }

    fn tasks(&self) -> Result<blocking::SyncSender<Task<S>>, Gone> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = &*tasks {
            return Ok(tasks.clone());
        }
        let (sender, receiver) = blocking::sync_channel(BLOCKING_MAX);
        let make = self.make.clone();
        let spawned = thread::Builder::new().name(self.name.clone()).spawn(move || work(&*make, &receiver));
        spawned.map_err(|error| Gone::NoThread(error.to_string()))?;
        *tasks = Some(sender.clone());
        Ok(sender)
    }
}

/// Does the tasks one by one; what a panic may have left half done is made anew.
fn work<S>(make: &dyn Fn() -> S, tasks: &blocking::Receiver<Task<S>>) {
    let mut owned = None;
    while let Ok(task) = tasks.recv() {
        let done = catch_unwind(AssertUnwindSafe(|| task(owned.get_or_insert_with(make))));
        if done.is_err() {
            owned = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::wait;

    #[test]
    fn a_question_is_answered_without_an_executor_and_on_the_thread_for_servers() {
        let name = wait(ask(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            thread::current().name().map(str::to_owned)
        }));
        assert_eq!(name, Ok(Some("tables-servers".to_owned())));
    }

    #[test]
    fn a_question_is_answered_within_the_executor_of_whoever_asks() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(ask(async { 7 })), Ok(7));
    }

    #[test]
    fn a_panic_costs_the_question_alone() {
        assert_eq!(
            wait(ask(async {
                if true {
                    panic!("a test's own panic")
                }
            })),
            Err(Gone::Lost)
        );
        assert_eq!(wait(ask(async { 7 })), Ok(7));
    }

    #[test]
    fn what_does_not_come_in_time_is_named() {
        let waited = wait(ask(within(Duration::from_millis(10), "answer", std::future::pending::<()>())));
        assert_eq!(waited, Ok(Err("no answer within 0.01 s".to_owned())));
    }

    #[test]
    fn a_worker_keeps_what_it_owns_on_a_thread_of_that_name() {
        let worker = Worker::new("tables-test", || (0, thread::current().name().map(str::to_owned)));
        let count = |owned: &mut (i32, Option<String>)| {
            owned.0 += 1;
            owned.clone()
        };
        assert_eq!(wait(worker.ask(count)), Ok((1, Some("tables-test".to_owned()))));
        assert_eq!(wait(worker.ask(count)), Ok((2, Some("tables-test".to_owned()))));
    }

    #[test]
    fn a_worker_makes_anew_what_a_panic_left() {
        let worker = Worker::new("tables-test", || 0);
        let add = |owned: &mut i32| {
            *owned += 1;
            *owned
        };
        assert_eq!(wait(worker.ask(add)), Ok(1));
        assert_eq!(
            wait(worker.ask(|_| if true {
                panic!("a test's own panic")
            })),
            Err(Gone::Lost)
        );
        assert_eq!(wait(worker.ask(add)), Ok(1));
    }

    #[test]
    fn a_worker_with_too_many_waiting_says_so_at_once() {
        let worker = Worker::new("tables-test", || ());
        let (go, gate) = blocking::sync_channel::<()>(0);
        let (begun, begins) = blocking::sync_channel::<()>(0);
        let mut answers = vec![worker.ask(move |_| {
            let _ = begun.send(());
            let _ = gate.recv();
            0
        })];
        begins.recv().unwrap();
        let mut more = Vec::new();
        more.extend((0..BLOCKING_MAX + 1).map(|n| worker.ask(move |_| n)));
        assert_eq!(wait(more.pop().unwrap()), Err(Gone::Busy));
        go.send(()).unwrap();
        assert_eq!(wait(answers.pop().unwrap()), Ok(0));
        assert_eq!(wait(more.pop().unwrap()), Ok(BLOCKING_MAX - 1));
    }
}
