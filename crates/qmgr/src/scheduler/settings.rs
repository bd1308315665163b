//! What the scheduler is told by the configuration.

use super::feedback::{Feedback, WindowSettings};
use mail::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// The scheduler's settings; the names in backticks are Postfix's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `qmgr_message_active_limit`.
    pub active_limit: usize,
    /// `qmgr_message_recipient_limit`: a message becomes active only while fewer recipients are.
    pub recipient_limit: usize,
    /// `minimal_backoff_time`; also how long a dead destination is left alone.
    pub minimal_backoff: Duration,
    /// `maximal_backoff_time`.
    pub maximal_backoff: Duration,
    /// `maximal_queue_lifetime`.
    pub maximal_lifetime: Duration,
    /// `bounce_queue_lifetime`, for mail from the null sender.
    pub bounce_lifetime: Duration,
    /// `transport_retry_time`.
    pub transport_retry: Duration,
    /// `qmgr_clog_warn_time`: how often at most it is said of a destination that it fills the active queue; `None`
    /// where it is not said at all.
    pub clog_warn: Option<Duration>,
    /// `destination_concurrency_feedback_debug`.
    pub feedback_debug: bool,
    /// Jobs that may run at once over all transports: each may hold a descriptor.
    pub jobs_max: usize,
    /// What holds for a transport without settings of its own.
    pub default_transport: TransportSettings,
    /// Settings by transport name.
    pub transports: HashMap<String, TransportSettings>,
}

/// What holds for one transport, with its own parameters put over the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportSettings {
    /// `initial_destination_concurrency`.
    pub initial_concurrency: u32,
    /// `…_destination_concurrency_limit`; 0 means none.
    pub concurrency_limit: u32,
    /// `…_destination_recipient_limit`; 0 means none.
    pub recipient_limit: usize,
    /// `…_destination_concurrency_positive_feedback`.
    pub positive: Feedback,
    /// `…_destination_concurrency_negative_feedback`.
    pub negative: Feedback,
    /// `…_destination_concurrency_failed_cohort_limit`.
    pub failed_cohort_limit: u32,
    /// `…_destination_rate_delay`.
    pub destination_rate_delay: Duration,
    /// `…_transport_rate_delay`.
    pub transport_rate_delay: Duration,
    /// When a small message passes a large one.
    pub slots: SlotSettings,
    /// Sessions of this service (maxproc in master.cf), `None` for no limit of its own.
    pub jobs_max: Option<usize>,
}

/// How many delivery requests a message must have been served before smaller ones pass it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotSettings {
    /// `…_delivery_slot_cost`: requests of a large message for each one that passes it; below 2 none does.
    pub cost: u64,
    /// `…_delivery_slot_loan`: slots lent in advance.
    pub loan: u64,
    /// `…_delivery_slot_discount`: percent of the slots that need not be there yet.
    pub discount: u64,
    /// `…_minimum_delivery_slots`: slots that a message must be worth in all to be passed.
    pub minimum: u64,
}

impl Default for Settings {
    /// Postfix's defaults.
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Settings {
            active_limit: 20_000,
            recipient_limit: 20_000,
            minimal_backoff: Duration::from_secs(300),
            maximal_backoff: Duration::from_secs(4000),
            maximal_lifetime: Duration::from_secs(5 * DAY),
            bounce_lifetime: Duration::from_secs(5 * DAY),
            transport_retry: Duration::from_secs(60),
            clog_warn: Some(Duration::from_secs(300)),
            feedback_debug: false,
            jobs_max: 1000,
            default_transport: TransportSettings::default(),
            transports: HashMap::new(),
        }
    }
}

impl Default for TransportSettings {
    /// Postfix's defaults.
    fn default() -> Self {
        TransportSettings {
            initial_concurrency: 5,
            concurrency_limit: 20,
            recipient_limit: 50,
            positive: Feedback::Constant(1.0),
            negative: Feedback::Constant(1.0),
            failed_cohort_limit: 1,
            destination_rate_delay: Duration::ZERO,
            transport_rate_delay: Duration::ZERO,
            slots: SlotSettings::default(),
            jobs_max: None,
        }
    }
}

impl Default for SlotSettings {
    /// Postfix's defaults.
    fn default() -> Self {
        SlotSettings { cost: 5, loan: 3, discount: 50, minimum: 3 }
    }
}

impl SlotSettings {
    /// The cost for a signed account.
    pub(super) fn cost_signed(&self) -> i64 {
        i64::try_from(self.cost).unwrap_or(i64::MAX)
    }
}

impl Settings {
    /// The settings of a transport.
    pub fn transport(&self, name: &str) -> &TransportSettings {
        self.transports.get(name).unwrap_or(&self.default_transport)
    }

    /// When a message that could not be delivered is tried again: after as long as it waits already, within bounds.
    pub fn next_attempt(&self, now: Timestamp, created: Timestamp) -> Timestamp {
        // The upper bound first: `clamp` would panic where an administrator set them the wrong way round.
        let delay = now.since(created).min(self.maximal_backoff).max(self.minimal_backoff);
        now.after(delay)
    }

    /// Whether a message with recipients left is given up.
    pub fn expired(&self, now: Timestamp, created: Timestamp, null_sender: bool) -> bool {
        let lifetime = if null_sender { self.bounce_lifetime } else { self.maximal_lifetime };
        now >= created.after(lifetime)
    }
}

impl TransportSettings {
    /// The part that moves windows. A destination with a rate delay gets one delivery at a time.
    pub fn window(&self) -> WindowSettings {
        let limit = if self.destination_rate_delay.is_zero() { self.concurrency_limit } else { 1 };
        WindowSettings {
            initial: self.initial_concurrency,
            limit,
            positive: self.positive,
            negative: self.negative,
            failed_cohort_limit: self.failed_cohort_limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_is_the_age_between_its_bounds() {
        let s = Settings::default();
        let created = Timestamp::from_secs(1_000_000);
        for (age, delay) in [(0, 300), (299, 300), (301, 301), (600, 600), (3999, 3999), (100_000, 4000)] {
            let now = created.after(Duration::from_secs(age));
            assert_eq!(s.next_attempt(now, created), now.after(Duration::from_secs(delay)), "age {age}");
        }
        assert_eq!(
            s.next_attempt(Timestamp::from_secs(5), created),
            Timestamp::from_secs(305),
            "a clock that was set back"
        );
    }

    #[test]
    fn reports_expire_by_their_own_lifetime() {
        let s = Settings { bounce_lifetime: Duration::from_secs(10), ..Settings::default() };
        let created = Timestamp::from_secs(0);
        assert!(s.expired(Timestamp::from_secs(10), created, true));
        assert!(!s.expired(Timestamp::from_secs(10), created, false));
        assert!(s.expired(Timestamp::from_secs(432_000), created, false));
    }
}
