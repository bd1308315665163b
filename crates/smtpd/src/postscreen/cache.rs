//! Who passed which tests until when.
//!
//! Key and value are Postfix's: the address, and five times of seconds with `;` between them.

use super::kinds::Test;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tables::cache::Remembered;

/// Until when the results of one client count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry([u64; 5]);

impl Entry {
    /// The stamp of a test that was never passed.
    pub const NEVER: u64 = 0;
    /// The stamp of a test that was not made because it was turned off.
    pub const DISABLED: u64 = 1;

    /// Reads a value; what is missing was never passed, as in files of older releases.
    pub fn parse(text: &str) -> Option<Entry> {
        let mut entry = Entry::default();
        for (at, word) in text.split(';').enumerate() {
            *entry.0.get_mut(at)? = word.parse().ok()?;
        }
        Some(entry)
    }

    /// Until when a test counts.
    pub(super) fn stamp(&self, test: Test) -> u64 {
        self.0[test as usize]
    }

    /// Sets until when a test counts.
    pub(super) fn set(&mut self, test: Test, stamp: u64) {
        self.0[test as usize] = stamp;
    }

    /// Whether a test counts still.
    pub(super) fn is_fresh(&self, test: Test, now: u64) -> bool {
        self.stamp(test) > now
    }

    fn last(&self) -> u64 {
        self.0.into_iter().max().unwrap_or_default()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = self.0;
        write!(f, "{a};{b};{c};{d};{e}")
    }
}

/// The clients of a process; shared by its event loops and by the services with the same `postscreen_cache_map`.
pub type Cache = tables::cache::Cache<Entry>;

impl Remembered for Entry {
    type Key = IpAddr;

    fn read(text: &str) -> Option<Entry> {
        Entry::parse(text)
    }

    /// Of two results the later counts.
    fn join(&mut self, found: Entry) {
        for (own, found) in self.0.iter_mut().zip(found.0) {
            *own = (*own).max(found);
        }
    }
}

/// When old entries go: `postscreen_cache_cleanup_interval`, `postscreen_cache_retention_time`.
#[derive(Clone, Copy, Debug)]
pub struct Cleaning {
    /// How often.
    pub interval: Duration,
    /// How long an expired entry stays.
    pub retention: Duration,
}

impl Cleaning {
    /// Clears away what expired long ago, where it is time: how many entries stayed and went.
    pub fn clean(self, cache: &Cache, now: u64) -> Option<(usize, usize)> {
        let (interval, retention) = (self.interval.as_secs(), self.retention.as_secs());
        cache.clean(now, interval, |entry| entry.last().saturating_add(retention) > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::cache::CLEANED;
    use tables::keeper::Kept as _;

    #[test]
    fn values_of_any_release_are_read() {
        let entry = Entry::parse("1795803312;1;1;0;7").unwrap();
        assert_eq!(entry.to_string(), "1795803312;1;1;0;7");
        assert_eq!(Entry::parse("5;6").unwrap().to_string(), "5;6;0;0;0");
        assert_eq!(Entry::parse("5;x"), None);
        assert_eq!(Entry::parse("1;2;3;4;5;6"), None);
    }

    #[test]
    fn what_a_file_says_is_joined_with_what_is_known() {
        let (cache, client) = (Cache::default(), "2001:db8::5".parse::<IpAddr>().unwrap());
        cache.put(client, Entry([50, 1, 1, 1, 1]));
        cache.absorb(b"2001:db8::5\0", b"40;60;1;1;1\0");
        cache.absorb(b"192.0.2.1", b"7;7;7;7;7");
        cache.absorb(b"nonsense", b"7");
        assert_eq!(cache.get(&client), Some(Entry([50, 60, 1, 1, 1])));
        let all: Vec<String> =
            cache.take_all().into_iter().map(|(k, _)| String::from_utf8(k).unwrap()).collect();
        assert_eq!(all, ["192.0.2.1", "2001:db8::5", CLEANED]);
        assert!(!cache.is_changed());
    }

    #[test]
    fn what_expired_long_ago_is_cleared_away_at_intervals() {
        let cache = Cache::default();
        cache.put("192.0.2.1".parse().unwrap(), Entry([100, 1, 1, 1, 1]));
        cache.put("192.0.2.2".parse().unwrap(), Entry([200, 1, 1, 1, 1]));
        let clean = |now, interval, retention| {
            let (interval, retention) = (Duration::from_secs(interval), Duration::from_secs(retention));
            Cleaning { interval, retention }.clean(&cache, now)
        };
        assert_eq!(clean(1_000, 60, 850), Some((1, 1)));
        assert_eq!(clean(1_059, 60, 0), None);
        assert_eq!(clean(1_060, 60, 0), Some((0, 1)));
        assert_eq!(clean(9_999, 0, 0), None);
    }
}
