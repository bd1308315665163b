//! Delivery agents that answer when chance lets them, and destinations behind them.

use crate::ledger::Ledger;
use crate::rng::Rng;
use mail::{Address, Dsn, Job, JobRecipient, Outcome, SiteFailure, Status};
use qmgr::{Back, Hand, Router, Routing, Target};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Jobs that were handed out and are not over.
pub(crate) struct Agents {
    ledger: Rc<RefCell<Ledger>>,
    open: RefCell<Vec<Open>>,
}

struct Open {
    job: Job,
    back: Rc<dyn Back>,
    /// Recipients that were answered for.
    answered: usize,
}

impl Agents {
    pub(crate) fn new(ledger: Rc<RefCell<Ledger>>) -> Self {
        Agents { ledger, open: RefCell::default() }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Who had them is gone.
    pub(crate) fn forget(&self) {
        self.open.borrow_mut().clear();
    }

    /// Some job goes on, in part or to its end; with `at_last` everything is delivered.
    pub(crate) fn work(&self, rng: &mut Rng, at_last: bool) {
        let mut open = self.open.borrow_mut();
        if open.is_empty() {
            return;
        }
        let at = rng.below(open.len() as u64) as usize;
        let mut current = open.swap_remove(at);
        drop(open);
        let dead = current.job.transport.as_ref() == "smtp" && !at_last && rng.chance(8);
        let pause = !at_last && rng.chance(10);
        let until = match pause {
            true => {
                current.answered
                    + rng.below((current.job.recipients.len() - current.answered) as u64) as usize
            }
            false => current.job.recipients.len(),
        };
        for n in current.answered..until {
            let status = status(&current.job, dead, rng, at_last);
            let JobRecipient { index, .. } = current.job.recipients[n];
            self.ledger.borrow_mut().attempted(current.job.queue_id.as_str(), index as usize, status);
            current.back.outcome(outcome(&current.job, index, status));
        }
        current.answered = until;
        if pause {
            return self.open.borrow_mut().push(current);
        }
        let failure = SiteFailure { dsn: Dsn::new(4, 4, 1), reason: "connect: Connection refused".into() };
        current.back.done(current.job.id, dead.then_some(failure));
    }
}

impl Hand for Agents {
    fn knows(&self, _: &str) -> bool {
        true
    }

    fn deliver(&self, job: Job, back: Rc<dyn Back>) {
        let mut open = self.open.borrow_mut();
        let same = |other: &Open| {
            let unanswered = &other.job.recipients[other.answered..];
            other.job.queue_id == job.queue_id
                && unanswered.iter().any(|a| job.recipients.iter().any(|b| a.index == b.index))
        };
        if open.iter().any(same) {
            self.ledger
                .borrow_mut()
                .fail(format!("{}: a recipient is in two deliveries at once", job.queue_id));
        }
        open.push(Open { job, back, answered: 0 });
    }
}

/// Each domain is a destination of its own. Some ways are found only at a later turn, as if a server were asked.
#[derive(Default)]
pub(crate) struct ByDomain {
    asked: Cell<u32>,
}

impl Router for ByDomain {
    fn route<'a>(&'a self, recipient: &'a Address, _: &'a Address, _: mail::Purpose) -> Routing<'a> {
        let nexthop = recipient.domain_lower().into();
        let target = Target { transport: "smtp".into(), nexthop, recipient: recipient.clone(), local: false };
        let asked = self.asked.get();
        self.asked.set(asked.wrapping_add(1));
        if asked % 8 != 7 {
            return target.into();
        }
        let (mut target, mut polls) = (Some(target), asked % 5);
        Routing::Asking(Box::pin(poll_fn(move |_| match polls.checked_sub(1) {
            None => Poll::Ready(target.take().expect("a future is not polled after its end")),
            Some(left) => {
                polls = left;
                Poll::Pending
            }
        })))
    }
}

fn status(job: &Job, dead: bool, rng: &mut Rng, at_last: bool) -> Status {
    match &*job.transport {
        "retry" => Status::Deferred,
        "error" => Status::Bounced,
        _ if dead => Status::Deferred,
        _ if at_last => Status::Sent,
        _ => match rng.below(20) {
            0..12 => Status::Sent,
            12..17 => Status::Deferred,
            _ => Status::Bounced,
        },
    }
}

fn outcome(job: &Job, index: u32, status: Status) -> Outcome {
    let class = match status {
        Status::Sent => 2,
        Status::Deferred => 4,
        Status::Bounced => 5,
    };
    Outcome::new(job.id, index, status, Dsn::new(class, 0, 0), "the simulator said so")
}
