//! What the scheduler has to say to the administrator: a destination that fills the queue, a window that moved.

use super::*;

/// Something to be logged.
#[derive(Clone, Debug, PartialEq)]
pub enum Remark {
    /// A destination holds more than a fifth of the active queue (`qmgr_clog_warn_time`).
    Clogged {
        /// Its transport.
        transport: Arc<str>,
        /// Where its mail goes.
        nexthop: Arc<str>,
        /// Its delivery requests, waiting and running.
        entries: usize,
        /// Active messages.
        active: usize,
        /// Its concurrency limit, where it is that which holds it back.
        at_limit: Option<u32>,
    },
    /// A result moved, or could have moved, a window (`destination_concurrency_feedback_debug`).
    Window {
        /// Its name.
        destination: Arc<str>,
        /// The result was a good one.
        succeeded: bool,
        /// The step that the result made; `None` where it made none.
        step: Option<f64>,
        /// `…_destination_concurrency_limit`.
        limit: u32,
        /// The window, 0 where the destination is dead.
        size: u32,
        /// Successes, failures and failed cohorts that count toward the next step.
        counts: [f64; 3],
    },
}

impl<K: Copy + Eq + Hash + Ord> Scheduler<K> {
    /// The next remark.
    pub fn remark(&mut self) -> Option<Remark> {
        self.remarks.pop_front()
    }

    /// Notes, once in a while, that a destination fills the active queue.
    pub(super) fn note_clog(&mut self, id: DestinationId, now: Timestamp) {
        let Some(pause) = self.settings.clog_warn else { return };
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let entries = destination.queued() + destination.busy as usize;
        if entries <= self.settings.active_limit / 5 || destination.warn_from > now {
            return;
        }
        destination.warn_from = now.after(pause);
        let transport = &self.transports[destination.transport];
        let limit = transport.settings.window().limit;
        self.remarks.push_back(Remark::Clogged {
            transport: transport.name.clone(),
            nexthop: destination.nexthop.clone(),
            entries,
            // The message that brought this about becomes active right after.
            active: self.active.len() + 1,
            at_limit: (limit > 0 && destination.window.size() >= limit).then_some(limit),
        });
    }

    /// Notes how a window stands after a result, where that is asked for.
    pub(super) fn note_window(&mut self, id: DestinationId, succeeded: bool, step: Option<f64>) {
        if !self.settings.feedback_debug {
            return;
        }
        let Some(destination) = self.destinations.get(&id) else { return };
        let dead = matches!(destination.health, Health::Dead { .. });
        self.remarks.push_back(Remark::Window {
            destination: destination.name.clone(),
            succeeded,
            step,
            limit: self.transports[destination.transport].settings.window().limit,
            size: if dead { 0 } else { destination.window.size() },
            counts: destination.window.counts(),
        });
    }
}
