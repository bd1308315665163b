//! Commands under way: a thread for each, since it waits for the command as long as that takes.

use super::failure::Failure;
use super::pipe;
use super::pool::{Job, failed};
use super::replies::Replies;
use mail::Dsn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a thread that only waits needs; the default is for threads that compute.
const STACK_BYTES: usize = 256 * 1024;

/// Counts the commands that are not over, those that wait for their turn included.
#[derive(Clone, Default)]
pub struct Commands(Arc<AtomicUsize>);

impl Commands {
    /// How many are not over.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Runs a job's command once the service has a place for it. Must be called in a `LocalSet`.
    pub fn start(&self, job: Job, settings: Arc<pipe::Settings>, replies: &Arc<Replies>) {
        let (open, replies) = (Open::new(&self.0), replies.clone());
        tokio::task::spawn_local(async move {
            let place = settings.places.clone().acquire_owned().await;
            let (shared, crashed) = (Arc::new(job), replies.clone());
            let job = shared.clone();
            let run = move || {
                let _held = (open, place);
                let answers = catch_unwind(AssertUnwindSafe(|| pipe::deliver(&job, &settings)));
                replies.send(&answers.unwrap_or_else(|_| failures(&job, "unknown mail transport error")));
            };
            let thread = std::thread::Builder::new().name("command".into()).stack_size(STACK_BYTES);
            if let Err(error) = thread.spawn(run) {
                let why = format!("command execution failed: {}", super::failure::words(&error));
                crashed.send(&failures(&shared, &why));
            }
        });
    }
}

/// The same temporary failure for all recipients.
fn failures(job: &Job, reason: &str) -> Vec<super::wire::Answer> {
    let failure = Failure::new(Dsn::new(4, 3, 0), reason);
    job.head.recipients.iter().map(|r| failed(job.head.job, r.index, failure.clone())).collect()
}

/// Counts a command as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Open {
        count.fetch_add(1, Ordering::AcqRel);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
