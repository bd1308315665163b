//! What was counted about one policy service since the process began.

use observe::Counter;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! figures {
    ($($(#[$doc:meta])* $figure:ident = $name:literal $(, $counter:ident)?;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Figure { $($(#[$doc])* $figure,)* }
        const NAMES: &[&str] = &[$($name,)*];
        /// The counter of the process that counts the same of all services.
        const COUNTERS: &[Option<Counter>] = &[$(figures!(@ $($counter)?),)*];
    };
    (@ $counter:ident) => { Some(Counter::$counter) };
    (@) => { None };
}

figures! {
    /// Questions; one for each time that a restriction asks.
    Questions = "questions", PolicyRequests;
    /// Answers that permit.
    Permits = "permits";
    /// Answers that refuse for good.
    Rejects = "rejects";
    /// Answers that put off, perhaps depending on what else is found.
    Defers = "defers";
    /// Answers that let the next restriction decide.
    Dunnos = "dunnos";
    /// Answers that do something with the message: `PREPEND`, `HOLD`, …
    Actions = "actions";
    /// Answers that name a restriction or are nonsense.
    Others = "others";
    /// Questions without an answer: the default action counts.
    Unanswered = "unanswered", PolicyUnanswered;
    /// Questions that were not sent, since the service is left in peace; they are unanswered as well.
    NotAsked = "not_asked", PolicyNotAsked;
    /// Tries whose answer did not come in time.
    Timeouts = "timeouts", PolicyTimeouts;
    /// Tries after a failed one.
    Retries = "retries", PolicyRetries;
    /// Connections that were made.
    Connections = "connections", PolicyConnections;
    /// Tries over a connection that was there already.
    Reused = "reused";
    /// How often it began to be left in peace.
    BreakerOpened = "breaker_opened", PolicyBreakerOpened;
    /// How often it answered again after that.
    BreakerClosed = "breaker_closed", PolicyBreakerClosed;
    /// How long all questions took together.
    Microseconds = "microseconds", PolicyMicroseconds;
}

/// The counts of one service.
#[derive(Debug, Default)]
pub(super) struct Figures([AtomicU64; NAMES.len()]);

impl Figures {
    pub(super) fn one(&self, figure: Figure) {
        self.add(figure, 1);
    }

    /// Counts it here, and for all services.
    pub(super) fn add(&self, figure: Figure, n: u64) {
        self.0[figure as usize].fetch_add(n, Ordering::Relaxed);
        if let Some(counter) = COUNTERS[figure as usize] {
            counter.add(n);
        }
    }

    /// All counts with their names.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        NAMES.iter().zip(&self.0).map(|(name, value)| (*name, value.load(Ordering::Relaxed))).collect()
    }
}

/// What kind of answer an action is.
pub(super) fn class(action: &str) -> Figure {
    let word = action.split_ascii_whitespace().next().unwrap_or_default();
    let upper = word.to_ascii_uppercase();
    let is_number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match upper.as_str() {
        "OK" | "RELAY" | "PERMIT" => Figure::Permits,
        "REJECT" => Figure::Rejects,
        "DEFER" | "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" => Figure::Defers,
        "" | "DUNNO" => Figure::Dunnos,
        "BCC" | "DISCARD" | "FILTER" | "HOLD" | "INFO" | "PREPEND" | "REDIRECT" | "WARN" => Figure::Actions,
        // As in access tables, a number alone permits.
        _ if is_number && action.trim() == word => Figure::Permits,
        _ if is_number && word.len() == 3 && word.starts_with('5') => Figure::Rejects,
        _ if is_number && word.len() == 3 && word.starts_with('4') => Figure::Defers,
        _ => Figure::Others,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_they_do() {
        for (action, figure) in [
            ("OK", Figure::Permits),
            ("550", Figure::Permits),
            ("reject no", Figure::Rejects),
            ("554 5.7.1 no", Figure::Rejects),
            ("450 later", Figure::Defers),
            ("DEFER_IF_PERMIT greylisted", Figure::Defers),
            ("DUNNO", Figure::Dunnos),
            ("PREPEND X-A: b", Figure::Actions),
            ("reject_unknown_client_hostname", Figure::Others),
        ] {
            assert_eq!(class(action), figure, "{action}");
        }
    }

    #[test]
    fn a_service_has_counts_of_its_own_beside_those_of_all() {
        let (one, before) = (Figures::default(), Counter::PolicyRetries.get());
        one.one(Figure::Retries);
        one.add(Figure::Retries, 2);
        let count = |name| one.all().into_iter().find(|(n, _)| *n == name).map(|(_, count)| count);
        assert_eq!((count("retries"), count("timeouts")), (Some(3), Some(0)));
        assert!(Counter::PolicyRetries.get() >= before + 3);
    }
}
