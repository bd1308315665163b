//! What the queue manager itself tells the log, and recipients that it deals with itself.

use super::Driver;
use crate::scheduler::Remark;
use crate::spool::Spool;
use mail::{Address, Dsn, Envelope, JobId, Outcome, Purpose, QueueId, Stamps, Status, Timestamp};
use observe::Tag;
use observe::events::delivery::DeliveryEnded;
use observe::events::qmgr::{ClogAdvice, DestinationClogged, WindowMoved, WindowStep};
use queue::{MessageKey, Record};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing more is said about a transport that nobody serves. Postfix: `transport_retry_time`.
const UNSERVED_PAUSE: Duration = Duration::from_secs(60);

/// Such transports remembered. Their names come from tables; with more of them some are named too often.
const UNSERVED_MAX: usize = 100;

/// A delivery that the queue manager counts as done, at the time when an agent would have got it.
pub(super) struct OwnDelivery {
    pub stamps: Stamps,
    pub purpose: Purpose,
    pub reason: &'static str,
}

/// What was set otherwise than it holds.
pub(super) fn warn_of_settings(tag: &Tag, warnings: &[impl Display]) {
    for warning in warnings {
        observe::warn(tag, format_args!("{warning}"));
    }
}

impl<S: Spool> Driver<S> {
    /// Logs what the scheduler has to say.
    pub(super) fn tell_remarks(&mut self) {
        while let Some(remark) = self.scheduler.remark() {
            match remark {
                Remark::Clogged { transport, nexthop, entries, active, at_limit } => {
                    observe::emit(&self.tag, &DestinationClogged { nexthop: &nexthop, entries, active });
                    observe::emit(&self.tag, &ClogAdvice { transport: &transport, at_limit });
                }
                Remark::Window { destination, succeeded, step, limit, size, counts } => {
                    if let Some(step) = step {
                        observe::emit(&self.tag, &WindowStep { succeeded, step });
                    }
                    let destination = &destination;
                    observe::emit(&self.tag, &WindowMoved { destination, succeeded, limit, size, counts });
                }
            }
        }
    }

    /// Mail to the address that notices to postmaster come from counts as delivered, so that nothing comes back.
    pub(super) fn drop_recipient(
        &mut self,
        key: MessageKey,
        queue_id: &QueueId,
        envelope: &Envelope,
        (index, recipient): (u32, &Address),
        now: Timestamp,
    ) {
        const REASON: &str = "undeliverable postmaster notification discarded";
        let stamps = Stamps { arrival: envelope.arrival, active: now, handed_off: now, connected: None };
        let original = &envelope.recipients[index as usize].original;
        let own = OwnDelivery { stamps, purpose: Purpose::Delivery, reason: REASON };
        self.log_own(&self.tag, queue_id, (recipient, original), own);
        self.record_dropped(key, index, REASON);
    }

    /// Logs a recipient, and what it was originally, that no agent gets.
    pub(super) fn log_own(
        &self,
        tag: &Tag,
        queue_id: &QueueId,
        (recipient, original): (&Address, &Address),
        OwnDelivery { stamps, purpose, reason }: OwnDelivery,
    ) {
        let (delay, delays) = stamps.delays(stamps.handed_off);
        observe::emit(
            tag,
            &DeliveryEnded {
                queue_id,
                recipient,
                original,
                relay: "none",
                conn_use: 1,
                delay,
                delays,
                delay_decimals: self.settings.delay_decimals,
                dsn: Dsn::new(2, 0, 0),
                purpose,
                status: Status::Sent,
                forgets_failures: false,
                soft_bounce: false,
                reason,
            },
        );
    }

    /// Writes down that a recipient is done without a delivery.
    pub(super) fn record_dropped(&mut self, key: MessageKey, index: u32, reason: &str) {
        let outcome = Outcome::new(JobId(0), index, Status::Sent, Dsn::new(2, 0, 0), reason);
        self.spool.record(Record::Outcome { key, outcome });
    }

    /// Postfix's words for a transport that master.cf does not have, at most once a pause for each.
    pub(super) fn warn_of_unserved(&mut self, names: BTreeSet<Arc<str>>, now: Timestamp) {
        for name in names {
            let warned = self.unserved_warned.get(&name);
            if warned.is_none_or(|at| now.since(*at) >= UNSERVED_PAUSE) {
                let text = format_args!("connect to transport private/{name}: No such file or directory");
                observe::warn(&self.tag, text);
                if self.unserved_warned.len() >= UNSERVED_MAX {
                    self.unserved_warned.clear();
                }
                self.unserved_warned.insert(name, now);
            }
        }
    }
}
