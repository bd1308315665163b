//! Counters of the process: a closed list, so that a stranger cannot create one.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $metric:literal,)*) => {
        /// What is counted; `posthaste_<crate>_<what>_total` for metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$doc])* $name,)* }
        const NAMES: &[&str] = &[$($metric,)*];
    };
}

counters! {
    /// Connections accepted by the SMTP server.
    SmtpdSessions = "posthaste_smtpd_sessions_total",
    /// Messages answered with 250.
    SmtpdAccepted = "posthaste_smtpd_accepted_total",
    /// Commands answered with a rejection.
    SmtpdRejects = "posthaste_smtpd_rejects_total",
    /// Requests to policy services.
    PolicyRequests = "posthaste_smtpd_policy_requests_total",
    /// Requests that no answer came to, so that the default action counts.
    PolicyUnanswered = "posthaste_smtpd_policy_unanswered_total",
    /// Tries in which an answer did not come in time.
    PolicyTimeouts = "posthaste_smtpd_policy_timeouts_total",
    /// Tries after a failed one.
    PolicyRetries = "posthaste_smtpd_policy_retries_total",
    /// Connections to policy services.
    PolicyConnections = "posthaste_smtpd_policy_connections_total",
    /// Requests that were not sent, since the server is left in peace.
    PolicyNotAsked = "posthaste_smtpd_policy_not_asked_total",
    /// How often a server began to be left in peace.
    PolicyBreakerOpened = "posthaste_smtpd_policy_breaker_opened_total",
    /// How often one answered again; as often as opened where none is left in peace.
    PolicyBreakerClosed = "posthaste_smtpd_policy_breaker_closed_total",
    /// How long all requests took together.
    PolicyMicroseconds = "posthaste_smtpd_policy_microseconds_total",
    /// Recipients delivered or relayed.
    DeliverySent = "posthaste_delivery_sent_total",
    /// Recipients put off.
    DeliveryDeferred = "posthaste_delivery_deferred_total",
    /// Recipients failed for good.
    DeliveryBounced = "posthaste_delivery_bounced_total",
    /// Recipients that were asked about and not delivered to.
    DeliveryProbes = "posthaste_delivery_probes_total",
    /// Messages that left the queue.
    QmgrRemoved = "posthaste_qmgr_removed_total",
    /// Log lines that found no room or could not be written.
    LogDropped = "posthaste_observe_dropped_lines_total",
}

static VALUES: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

impl Counter {
    /// Counts one.
    pub fn one(self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(self, n: u64) {
        VALUES[self as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// The count since the process began.
    pub fn get(self) -> u64 {
        VALUES[self as usize].load(Ordering::Relaxed)
    }
}

/// All counters with the names of their metrics.
pub fn counters() -> impl Iterator<Item = (&'static str, u64)> {
    NAMES.iter().zip(&VALUES).map(|(name, value)| (*name, value.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_listed_under_its_metric() {
        Counter::QmgrRemoved.add(3);
        let listed = counters().find(|(name, _)| *name == "posthaste_qmgr_removed_total");
        assert!(listed.is_some_and(|(_, n)| n >= 3 && n == Counter::QmgrRemoved.get()));
    }
}
