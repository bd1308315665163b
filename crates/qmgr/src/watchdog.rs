//! Ends a process whose event loop does not move, so that its master starts another.
//!
//! Postfix: `qmgr_daemon_timeout`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The longest pause between two looks; a timeout is noticed late by at most so much.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(10);

/// Watches until it is dropped.
pub(crate) struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    /// Starts a named thread that calls `expired` once no beat has come for `timeout`.
    pub fn start(timeout: Duration, expired: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let beats = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&beats);
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            if is_stuck(&watched, timeout) {
                expired();
            }
        })?;
        Ok(Watchdog(beats))
    }

    /// The event loop moves.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for the timeout, or for the end of what is watched, which gives false.
fn is_stuck(watched: &Weak<AtomicU64>, timeout: Duration) -> bool {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep((timeout / 4).min(LOOK_EVERY_MAX));
        let Some(beats) = watched.upgrade() else { return false };
        let now = beats.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= timeout {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const TIMEOUT: Duration = Duration::from_millis(400);

    #[test]
    fn a_loop_that_stands_still_is_ended_and_one_that_moves_is_not() {
        let (tell, told) = mpsc::sync_channel(1);
        let watchdog = Watchdog::start(TIMEOUT, move || assert!(tell.try_send(()).is_ok())).unwrap();
        let began = Instant::now();
        while began.elapsed() < 3 * TIMEOUT {
            watchdog.beat();
            assert!(told.try_recv().is_err(), "it moves");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(told.recv_timeout(10 * TIMEOUT).is_ok(), "it stands still");
    }

    #[test]
    fn an_orderly_end_is_not_mistaken_for_standing_still() {
        let (tell, told) = mpsc::sync_channel::<()>(1);
        drop(Watchdog::start(TIMEOUT, move || assert!(tell.try_send(()).is_ok())).unwrap());
        assert_eq!(told.recv_timeout(10 * TIMEOUT), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
