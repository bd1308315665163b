//! Waiting no longer than a named limit.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

/// What was waited for in vain, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// What was waited for, as in `reply to RCPT TO`.
    pub what: &'static str,
    /// How long.
    pub limit: Duration,
}

/// Waits for `future`, but no longer than `limit`; `what` says what was waited for.
///
/// No system call: the runtime's timer wheel only shortens the next wait for events.
pub async fn deadline<F: Future>(
    limit: Duration,
    what: &'static str,
    future: F,
) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(limit, future).await.map_err(|_| TimedOut { what, limit })
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} within {} s", self.what, self.limit.as_secs_f64())
    }
}

impl std::error::Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}
