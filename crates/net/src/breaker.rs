//! When a server that fails is left in peace: after some failures in a row it is not asked for a while.
//!
//! While it is left in peace questions fail at once with the reason instead of waiting for a time-out each. Then one
//! is let through; when that fails as well, the server is left in peace for twice as long. Pure: time comes in.

use std::fmt;
use std::time::{Duration, Instant};

/// Failures in a row after which a server is left in peace; one or two may be the chance of a restart.
const FAILURES_MAX: u32 = 3;

/// For how long at first.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// For how long at most where nothing else is set, so that mail moves within a minute of the server's return.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What is known of the health of one server.
#[derive(Debug)]
pub struct Breaker {
    server: String,
    pause_max: Duration,
    failures: u32,
    /// Why the server is left in peace, and until when; nothing while it is asked freely.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    until: Instant,
    pause: Duration,
    /// Whether one was let through and has not reported yet.
    trying: bool,
    reason: String,
}

/// Why a server is not asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftInPeace {
    server: String,
    failures: u32,
    for_seconds: u64,
    again_in_seconds: u64,
    reason: String,
}

impl Breaker {
    /// The breaker of a server that has not failed yet; its name is for the reader of errors. It is left in peace for
    /// `pause_max` at most, but for a second at least.
    pub fn new(server: impl Into<String>, pause_max: Duration) -> Breaker {
        Breaker { server: server.into(), pause_max: pause_max.max(PAUSE_MIN), failures: 0, open: None }
    }

    /// Whether the server is left in peace, or on trial.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the server may be asked now. Whoever asks says how it went: [`Breaker::succeeded`], [`Breaker::failed`].
    pub fn may_ask(&mut self, now: Instant) -> Result<(), LeftInPeace> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if now >= open.until {
            // This one is let through alone. The next may follow after another pause, should the first never report.
            open.until = now + open.pause;
            open.trying = true;
            return Ok(());
        }
        Err(LeftInPeace {
            server: self.server.clone(),
            failures: self.failures,
            for_seconds: now.saturating_duration_since(open.since).as_secs(),
            again_in_seconds: (open.until - now).as_secs() + 1,
            reason: open.reason.clone(),
        })
    }

    /// The server answered.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.open = None;
    }

    /// The server did not answer, for this reason.
    pub fn failed(&mut self, reason: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX {
            return;
        }
        let (since, pause) = match &self.open {
            None => (now, PAUSE_MIN),
            Some(open) if open.trying => (open.since, (open.pause * 2).min(self.pause_max)),
            // One of several that were under way together; the first of them has opened the breaker.
            Some(_) => return,
        };
        self.open = Some(Open { since, until: now + pause, pause, trying: false, reason: reason.to_owned() });
    }
}

impl fmt::Display for LeftInPeace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has failed {} times in a row and has been left in peace for {} s; it is asked again in {} s; \
             last failure: {}",
            self.server, self.failures, self.for_seconds, self.again_in_seconds, self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(now: Instant) -> Breaker {
        let mut breaker = Breaker::new("inet:127.0.0.1:389", PAUSE_MAX);
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.may_ask(now), Ok(()));
            breaker.failed("connection refused", now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_its_text_says_which_server_why_and_how_long() {
        let start = Instant::now();
        let mut breaker = failing(start);
        let error = breaker.may_ask(start + Duration::from_millis(400)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inet:127.0.0.1:389 has failed 3 times in a row and has been left in peace for 0 s; \
             it is asked again in 1 s; last failure: connection refused"
        );
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::new("a", PAUSE_MAX);
        for _ in 0..10 {
            breaker.failed("x", now);
            breaker.failed("x", now);
            breaker.succeeded();
        }
        assert_eq!(breaker.may_ask(now), Ok(()));
    }

    #[test]
    fn after_the_pause_one_is_let_through_and_its_answer_closes_it() {
        let start = Instant::now();
        let mut breaker = failing(start);
        let later = start + PAUSE_MIN;
        assert_eq!(breaker.may_ask(later), Ok(()));
        assert!(breaker.may_ask(later).is_err(), "only one is let through");
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert_eq!(breaker.may_ask(later), Ok(()));
        assert_eq!(breaker.may_ask(later), Ok(()));
    }

    #[test]
    fn each_failed_try_doubles_the_pause_up_to_its_bound() {
        let mut now = Instant::now();
        let mut breaker = failing(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let mut pause = 0;
            while breaker.may_ask(now + Duration::from_secs(pause)).is_err() {
                pause += 1;
            }
            pauses.push(pause);
            now += Duration::from_secs(pause);
            breaker.failed("x", now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn failures_that_were_under_way_together_do_not_lengthen_the_pause() {
        let start = Instant::now();
        let mut breaker = failing(start);
        for _ in 0..20 {
            breaker.failed("x", start);
        }
        assert_eq!(breaker.may_ask(start + PAUSE_MIN), Ok(()));
    }

    #[test]
    fn a_try_that_never_reports_lets_another_through_after_the_pause() {
        let start = Instant::now();
        let mut breaker = failing(start);
        assert_eq!(breaker.may_ask(start + PAUSE_MIN), Ok(()));
        assert_eq!(breaker.may_ask(start + PAUSE_MIN * 2), Ok(()));
    }
}
