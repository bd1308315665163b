//! How long is waited for a server.

use std::time::{Duration, Instant};

/// Time limits of single reads and writes, or of whole requests (`smtp_per_request_deadline`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// `smtp_min_data_rate`, bytes a second, where a limit is for a whole request: what is moved earns time.
    rate: Option<u64>,
    until: Option<Instant>,
}

impl Patience {
    /// `rate` is `None` where each read and write has its own limit.
    pub fn new(rate: Option<u64>) -> Self {
        Patience { rate, until: None }
    }

    /// How long the next read or write may take, where the limit of its stage is `limit`.
    pub fn left(&mut self, limit: Duration) -> Duration {
        if self.rate.is_none() { limit } else { self.left_at(limit, Instant::now()) }
    }

    fn left_at(&mut self, limit: Duration, now: Instant) -> Duration {
        self.until.get_or_insert(now + limit).saturating_duration_since(now)
    }

    /// So many bytes were moved.
    pub fn moved(&mut self, bytes: usize) {
        if let (Some(until), Some(rate)) = (&mut self.until, self.rate) {
            *until += Duration::from_millis(bytes as u64 * 1000 / rate.max(1));
        }
    }

    /// The request is over; the next has its own time.
    pub fn renew(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_limit_and_what_is_moved_extends_it() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut patience = Patience::new(Some(500));
        assert_eq!(patience.left_at(10 * second, start), 10 * second);
        assert_eq!(patience.left_at(10 * second, start + 4 * second), 6 * second);
        patience.moved(1000);
        assert_eq!(patience.left_at(10 * second, start + 4 * second), 8 * second);
        assert_eq!(patience.left_at(10 * second, start + 13 * second), Duration::ZERO);
        patience.renew();
        assert_eq!(patience.left_at(3 * second, start + 13 * second), 3 * second);
        assert_eq!(Patience::new(None).left(second), second);
    }
}
