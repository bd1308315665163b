//! A named thread for what blocks, or the caller's own where a simulator wants everything in order.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// Runs jobs in order and keeps what they give until it is asked for.
///
/// Each kind of job is given again only when the one before came back, so the channels hold a handful.
pub(crate) struct Worker<T> {
    jobs: Option<Sender<Job<T>>>,
    done: Receiver<T>,
    give: Sender<T>,
    thread: Option<JoinHandle<()>>,
    outstanding: usize,
}

impl<T: Send + 'static> Worker<T> {
    /// A worker; `inline` runs each job at once on the caller's thread.
    pub(crate) fn new(name: &str, inline: bool) -> io::Result<Self> {
        let (give, done) = channel();
        if inline {
            return Ok(Worker { jobs: None, done, give, thread: None, outstanding: 0 });
        }
        let (jobs, take) = channel::<Job<T>>();
        let results = give.clone();
        let work = move || {
            for job in take {
                if results.send(job()).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Worker { jobs: Some(jobs), done, give, thread: Some(thread), outstanding: 0 })
    }

    pub(crate) fn submit(&mut self, job: impl FnOnce() -> T + Send + 'static) {
        self.outstanding += 1;
        match &self.jobs {
            // The receiver is ours, or the thread's, which ends with the sender only.
            None => drop(self.give.send(job())),
            Some(jobs) => {
                let sent = jobs.send(Box::new(job));
                assert!(sent.is_ok(), "a thread of the queue ended by a panic");
            }
        }
    }

    /// What jobs gave since the last call.
    pub(crate) fn collect(&mut self) -> Vec<T> {
        let collected: Vec<T> = self.done.try_iter().collect();
        self.outstanding -= collected.len();
        collected
    }

    /// Waits for the next result; `None` where no job is under way.
    pub(crate) fn wait(&mut self) -> Option<T> {
        if self.outstanding == 0 {
            return None;
        }
        let result = self.done.recv().ok();
        self.outstanding -= 1;
        result
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.outstanding > 0
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it was seen by the job that never came back.
            let _ = thread.join();
        }
    }
}
