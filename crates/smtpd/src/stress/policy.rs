//! When a service is under stress: pure, from what is used of what there is.

use std::fmt;
use std::time::{Duration, Instant};

/// What may run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Sessions of the service at once.
    Sessions,
    /// Sessions of all services of the process, each of which is a descriptor.
    Descriptors,
    /// Bytes of memory, of the host or of what the process may have of it.
    Memory,
    /// Messages that wait for the disk.
    Backlog,
}

/// How much of something is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Of what.
    pub measure: Measure,
    /// So much.
    pub used: u64,
    /// Of so much.
    pub of: u64,
}

/// The service changes its settings for new sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Stress begins, since this runs short.
    On(Reading),
    /// It ends, after so long; the reading is of what ran short.
    Off(Duration, Reading),
}

/// Whether a service is under stress, and since when nothing runs short any more.
#[derive(Clone, Debug)]
pub struct Policy {
    calm_time: Duration,
    stressed: Option<Stressed>,
}

#[derive(Clone, Copy, Debug)]
struct Stressed {
    since: Instant,
    why: Measure,
    /// When something was last above its lower mark.
    last_high: Instant,
}

impl Measure {
    /// The share, in percent, at which stress begins, and the one below which it may end.
    ///
    /// Sessions: ten of a hundred are left for those who come before it takes effect. Memory: what is left is needed for
    /// content under way. Backlog: at half of it (a fifth of a second of a fast disk) senders wait for the disk, not for us.
    const fn marks(self) -> (u64, u64) {
        match self {
            Measure::Sessions | Measure::Descriptors => (90, 70),
            Measure::Memory => (95, 90),
            Measure::Backlog => (50, 10),
        }
    }
}

impl Reading {
    /// Whether stress begins.
    pub fn is_short(&self) -> bool {
        self.reaches(self.measure.marks().0)
    }

    fn is_high(&self) -> bool {
        self.reaches(self.measure.marks().1)
    }

    fn reaches(&self, percent: u64) -> bool {
        self.of > 0 && self.used.saturating_mul(100) >= self.of.saturating_mul(percent)
    }
}

impl Policy {
    /// Calm at first. Stress ends once everything was below its lower mark for `calm_time`.
    pub fn new(calm_time: Duration) -> Self {
        Policy { calm_time, stressed: None }
    }

    /// Takes what is used now; tells whether that changes something.
    pub fn observe(&mut self, load: &[Reading], now: Instant) -> Option<Switch> {
        let Some(stressed) = &mut self.stressed else {
            let short = *load.iter().find(|reading| reading.is_short())?;
            self.stressed = Some(Stressed { since: now, why: short.measure, last_high: now });
            return Some(Switch::On(short));
        };
        if load.iter().any(Reading::is_high) {
            stressed.last_high = now;
            return None;
        }
        if now.saturating_duration_since(stressed.last_high) < self.calm_time {
            return None;
        }
        let lasted = now.saturating_duration_since(stressed.since);
        // What cannot be told any more is no reason to stay.
        let found = *load.iter().find(|reading| reading.measure == stressed.why).or(load.first())?;
        self.stressed = None;
        Some(Switch::Off(lasted, found))
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { used, of, .. } = self;
        match self.measure {
            Measure::Sessions => write!(f, "{used} of {of} sessions are in use"),
            Measure::Descriptors => write!(f, "{used} of {of} descriptors for sessions are in use"),
            Measure::Memory => write!(f, "{} of {} MB of memory are in use", used >> 20, of >> 20),
            Measure::Backlog => write!(f, "{used} of {of} messages that may wait for the disk do so"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Duration = Duration::from_secs(60);

    fn sessions(used: u64, of: u64) -> Reading {
        Reading { measure: Measure::Sessions, used, of }
    }

    #[test]
    fn stress_begins_at_nine_of_ten_sessions_and_at_all_of_few() {
        for (of, first) in [(1000, 900), (100, 90), (10, 9), (5, 5), (3, 3), (2, 2)] {
            assert!(!sessions(first - 1, of).is_short() && sessions(first, of).is_short(), "{first} of {of}");
        }
        assert!(!sessions(5, 0).is_short(), "nothing of nothing");
    }

    #[test]
    fn it_ends_once_all_was_below_the_lower_mark_for_the_calm_time() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut policy = Policy::new(CALM);
        assert_eq!(policy.observe(&[sessions(89, 100)], at(0)), None);
        assert_eq!(policy.observe(&[sessions(90, 100)], at(1)), Some(Switch::On(sessions(90, 100))));
        assert_eq!(policy.observe(&[sessions(95, 100)], at(2)), None, "told once");
        // Between the marks nothing changes, however long.
        assert_eq!(policy.observe(&[sessions(70, 100)], at(200)), None);
        assert_eq!(policy.observe(&[sessions(10, 100)], at(201)), None);
        // A wave in between begins the calm anew.
        assert_eq!(policy.observe(&[sessions(75, 100)], at(230)), None);
        assert_eq!(policy.observe(&[sessions(10, 100)], at(289)), None);
        let off = policy.observe(&[sessions(10, 100)], at(290));
        assert_eq!(off, Some(Switch::Off(Duration::from_secs(289), sessions(10, 100))));
        assert_eq!(policy.observe(&[sessions(10, 100)], at(400)), None);
        assert!(policy.observe(&[sessions(91, 100)], at(401)).is_some());
    }

    #[test]
    fn memory_or_the_disk_alone_make_stress_and_keep_it() {
        let start = Instant::now();
        let memory = |percent: u64| Reading { measure: Measure::Memory, used: percent << 20, of: 100 << 20 };
        let backlog = |used: u64| Reading { measure: Measure::Backlog, used, of: 4096 };
        let mut policy = Policy::new(CALM);
        let calm = [sessions(1, 100), memory(94), backlog(2047)];
        assert_eq!(policy.observe(&calm, start), None);
        let on = policy.observe(&[sessions(1, 100), memory(96), backlog(0)], start);
        assert_eq!(on, Some(Switch::On(memory(96))));
        assert_eq!(policy.observe(&[sessions(1, 100), memory(91), backlog(0)], start + 5 * CALM), None);
        assert_eq!(policy.observe(&[sessions(1, 100), memory(50), backlog(500)], start + 10 * CALM), None);
        let off = policy.observe(&[sessions(1, 100), memory(50), backlog(0)], start + 11 * CALM);
        assert_eq!(off, Some(Switch::Off(11 * CALM, memory(50))));
        assert_eq!(policy.observe(&[backlog(2048)], start), Some(Switch::On(backlog(2048))));
    }

    #[test]
    fn a_reading_says_how_much_of_what() {
        let memory = Reading { measure: Measure::Memory, used: 970 << 20, of: 1000 << 20 };
        assert_eq!(memory.to_string(), "970 of 1000 MB of memory are in use");
        assert_eq!(sessions(90, 100).to_string(), "90 of 100 sessions are in use");
        let descriptors = Reading { measure: Measure::Descriptors, used: 730, of: 800 };
        assert_eq!(descriptors.to_string(), "730 of 800 descriptors for sessions are in use");
        let backlog = Reading { measure: Measure::Backlog, used: 2100, of: 4096 };
        assert_eq!(backlog.to_string(), "2100 of 4096 messages that may wait for the disk do so");
    }
}
