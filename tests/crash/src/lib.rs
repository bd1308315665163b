//! A whole instance under load, to be killed: instance, load, sink and the count at the end.
//!
//! Everything runs on loopback, as an unprivileged user (`nobody` where the caller is root), in a directory of its
//! own. Loads are bounded in count and time.

mod instance;
mod load;
mod sink;
pub mod trace;

pub use instance::{Instance, Options, Role};
pub use load::{Acked, Load};
pub use sink::{Delivery, Sink};

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the count at the sink says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged with `250`, never seen at the sink.
    pub lost: Vec<u64>,
    /// Seen more than once although no kill of qmgr was near the first delivery.
    pub repeated: Vec<u64>,
    /// Seen more than once with a kill of qmgr right after the first delivery: these were in flight.
    pub in_flight: usize,
}

/// How long after the sink's `250` the outcome may not have been recorded yet.
///
/// qmgr reads the reply and writes the outcome in one turn of its loop; on a loaded machine that turn may be late.
const IN_FLIGHT: Duration = Duration::from_millis(500);

/// Compares what was acknowledged with what arrived; `kills` are the times at which qmgr was killed.
pub fn judge(acked: &[Acked], deliveries: &[Delivery], kills: &[Instant]) -> Verdict {
    let mut seen: HashMap<u64, Vec<Instant>> = HashMap::new();
    for delivery in deliveries {
        seen.entry(delivery.id).or_default().push(delivery.at);
    }
    let mut verdict = Verdict::default();
    for message in acked {
        if !seen.contains_key(&message.id) {
            verdict.lost.push(message.id);
        }
    }
    for (id, times) in seen {
        // Each repetition needs a kill of its own, after the delivery before it.
        for pair in times.windows(2) {
            let excused =
                kills.iter().any(|&k| k + Duration::from_millis(20) >= pair[0] && k <= pair[0] + IN_FLIGHT);
            if excused {
                verdict.in_flight += 1;
            } else {
                verdict.repeated.push(id);
            }
        }
    }
    verdict.lost.sort_unstable();
    verdict.repeated.sort_unstable();
    verdict
}

impl Verdict {
    /// Excuses repetitions of which the log shows that a delivery was in flight: the queue manager says `status=sent` of
    /// each delivery whose reply it has read. On a loaded machine it may be killed long after the sink answered and
    /// before it read that.
    pub fn excuse_unread(&mut self, deliveries: &[Delivery], log: &str) {
        let told = |id: u64| {
            log.lines().filter(move |l| l.contains(&format!("to=<r{id}@")) && l.contains("status=sent"))
        };
        let seen = |id: u64| deliveries.iter().filter(|d| d.id == id).count();
        let before = self.repeated.len();
        self.repeated.retain(|&id| told(id).count() >= seen(id));
        self.in_flight += before - self.repeated.len();
    }
}

/// A small generator with a seed, so that a failing run can be repeated as far as timing allows.
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: u64, at: Instant) -> Delivery {
        Delivery { id, at }
    }

    #[test]
    fn a_delivery_whose_reply_was_never_read_was_in_flight() {
        let now = Instant::now();
        let deliveries = [delivery(1, now), delivery(1, now), delivery(2, now), delivery(2, now)];
        let mut verdict = Verdict { repeated: vec![1, 2], ..Verdict::default() };
        let sent =
            |id| format!("postfix/smtp[1]: A: to=<r{id}@example.org>, relay=x, status=sent (250 ok)\n");
        verdict.excuse_unread(&deliveries, &[sent(1), sent(2), sent(2)].concat());
        assert_eq!((verdict.repeated, verdict.in_flight), (vec![2], 1));
    }

    #[test]
    fn a_message_that_never_arrives_is_lost() {
        let now = Instant::now();
        let verdict = judge(&[Acked { id: 1 }, Acked { id: 2 }], &[delivery(1, now)], &[]);
        assert_eq!(verdict.lost, [2]);
    }

    #[test]
    fn a_repetition_is_excused_only_by_a_kill_right_after_the_first_delivery() {
        let now = Instant::now();
        let twice = [delivery(1, now), delivery(1, now + Duration::from_secs(3))];
        let near = now + Duration::from_millis(100);
        let far = now + Duration::from_secs(2);
        assert_eq!(judge(&[Acked { id: 1 }], &twice, &[near]).in_flight, 1);
        assert_eq!(judge(&[Acked { id: 1 }], &twice, &[far]).repeated, [1]);
        assert_eq!(judge(&[Acked { id: 1 }], &twice, &[]).repeated, [1]);
    }
}
