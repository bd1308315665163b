//! Work that waits for a worker, where few workers are quicker than many: each that is woken costs, and what one takes
//! together shares its costs. More are called where the line gets long, or where those at work seem to hang.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much waits at most for who is at work already; beyond it another worker is called.
pub(super) const LONG: usize = 16;

/// So long without anybody who began or ended, and another worker takes over: a file system may hang.
const PATIENCE: Duration = Duration::from_millis(20);

/// A line.
pub(super) struct Line<T> {
    waiting: VecDeque<T>,
    at_work: usize,
    moved: Instant,
}

impl<T> Line<T> {
    /// An empty one.
    pub(super) fn new(now: Instant) -> Line<T> {
        Line { waiting: VecDeque::new(), at_work: 0, moved: now }
    }

    /// Adds work; true where a worker has to be woken, to take it or to see that it is taken.
    pub(super) fn push(&mut self, more: impl IntoIterator<Item = T>, now: Instant) -> bool {
        let was_empty = self.waiting.is_empty();
        self.waiting.extend(more);
        if was_empty && self.at_work == 0 {
            self.moved = now;
        }
        !self.waiting.is_empty() && (was_empty || self.needs_more(now))
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes up to `most`, unless it is left to those at work. Who got some says `end` afterwards.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Option<Vec<T>> {
        if self.waiting.is_empty() || !self.may_take(now) {
            return None;
        }
        self.at_work += 1;
        self.moved = now;
        Some(self.waiting.drain(..most.min(self.waiting.len())).collect())
    }

    /// A worker is through with what it took.
    pub(super) fn end(&mut self, now: Instant) {
        self.at_work -= 1;
        self.moved = now;
    }

    /// When somebody has to look again whether those at work hang.
    pub(super) fn look_again(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.moved + PATIENCE)
    }

    fn may_take(&self, now: Instant) -> bool {
        self.at_work == 0 || self.needs_more(now)
    }

    fn needs_more(&self, now: Instant) -> bool {
        self.waiting.len() >= LONG || now >= self.moved + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_one_is_at_work_waits_for_him() {
        let now = Instant::now();
        let mut line = Line::new(now);
        assert!(!line.push([], now));
        assert!(line.push([1], now));
        assert_eq!(line.take(9, now), Some(vec![1]));
        assert!(line.push([2], now), "somebody has to watch");
        assert_eq!((line.take(9, now), line.look_again()), (None, Some(now + PATIENCE)));
        assert!(!line.push([3], now), "somebody does");
        line.end(now);
        assert_eq!((line.take(9, now), line.look_again()), (Some(vec![2, 3]), None));
    }

    #[test]
    fn another_worker_helps_where_the_line_is_long_or_hangs() {
        let now = Instant::now();
        let mut line = Line::new(now);
        line.push([0], now);
        line.take(1, now);
        line.push(1..LONG, now);
        assert_eq!(line.take(LONG, now), None);
        assert!(line.push([LONG], now), "it is long");
        assert_eq!(line.take(2, now), Some(vec![1, 2]));
        assert_eq!(line.take(2, now), None);
        let later = now + PATIENCE;
        assert_eq!(line.take(2, later), Some(vec![3, 4]));
        assert_eq!(line.take(2, later), None, "each only after its time");
        assert_eq!(line.len(), LONG - 4);
    }
}
