//! Hand-over ③ and ④ as the queue manager sees them: jobs go out by a `Hand`, results come back by a `Back`.

use mail::{Job, JobId, Outcome, SiteFailure};
use queue::Notice;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Gives jobs to delivery agents. Loop-local.
///
/// Contract: `deliver` never blocks; it may call back at once. Each recipient of the job gets one outcome, then the
/// job is done.
pub trait Hand {
    /// Whether there is an agent for this transport of master.cf.
    fn knows(&self, transport: &str) -> bool;

    /// Takes a job.
    fn deliver(&self, job: Job, back: Rc<dyn Back>);

    /// The process ends soon, and no job will follow: deliveries that may take long are to come to an end.
    fn hurry(&self) {}
}

/// Takes results. No call blocks or makes a system call.
pub trait Back {
    /// One recipient's result.
    fn outcome(&self, outcome: Outcome);

    /// The job is over; nothing of it follows.
    fn done(&self, job: JobId, site_failure: Option<SiteFailure>);

    /// The job is over because its transport as a whole cannot be used.
    fn transport_failed(&self, job: JobId, failure: SiteFailure);
}

/// Something that happened since the driver's last turn.
#[derive(Debug)]
pub(crate) enum News {
    /// A recipient's result.
    Outcome(Outcome),
    /// The end of a job.
    Done(JobId, Option<SiteFailure>),
    /// The end of a job and of its transport.
    TransportFailed(JobId, SiteFailure),
    /// A segment of the journal grew.
    Notice(Notice),
}

/// Collects news until the driver's turn and wakes it once; all on one event loop, so without system calls.
#[derive(Default)]
pub(crate) struct Inbox {
    news: RefCell<Vec<News>>,
    waker: RefCell<Option<Waker>>,
    woken: Cell<bool>,
}

impl Inbox {
    pub fn push(&self, news: News) {
        self.news.borrow_mut().push(news);
        self.wake();
    }

    /// Makes the driver take a turn.
    pub fn wake(&self) {
        if !self.woken.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    pub fn take(&self) -> Vec<News> {
        self.woken.set(false);
        std::mem::take(&mut self.news.borrow_mut())
    }

    /// Returns once there is news.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| {
            if self.woken.get() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Back for Inbox {
    fn outcome(&self, outcome: Outcome) {
        self.push(News::Outcome(outcome));
    }

    fn done(&self, job: JobId, site_failure: Option<SiteFailure>) {
        self.push(News::Done(job, site_failure));
    }

    fn transport_failed(&self, job: JobId, failure: SiteFailure) {
        self.push(News::TransportFailed(job, failure));
    }
}
