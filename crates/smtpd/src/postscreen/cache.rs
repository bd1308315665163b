//! Who passed which tests until when. The memory is the cache; [`tables::keeper`] keeps a file of it.
//!
//! Key and value are Postfix's: the address, and five times of seconds with `;` between them.

use super::kinds::Test;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tables::keeper::Kept;

/// Clients remembered at once; with a hundred bytes each that is 50 MB. Beyond it nothing new is remembered until the
/// old is cleared away: a client is tested again, and that is all.
const ENTRIES_MAX: usize = 500_000;

/// The key under which Postfix notes when it last cleared away.
const CLEANED: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";

/// Until when the results of one client count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry([u64; 5]);

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
    pub fn stamp(&self, test: Test) -> u64 {
        self.0[test as usize]
    }

    /// Sets until when a test counts.
    pub fn set(&mut self, test: Test, stamp: u64) {
        self.0[test as usize] = stamp;
    }

    /// Whether a test counts still.
    pub fn is_fresh(&self, test: Test, now: u64) -> bool {
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
#[derive(Debug, Default)]
pub struct Cache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<IpAddr, Entry>,
    /// When old entries were last cleared away, in seconds.
    cleaned: u64,
    /// Something is new since it was last taken.
    changed: bool,
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a client.
    pub(super) fn get(&self, client: IpAddr) -> Entry {
        self.inner().entries.get(&client).cloned().unwrap_or_default()
    }

    /// Remembers a client, where there is room.
    pub(super) fn put(&self, client: IpAddr, entry: Entry) {
        let mut inner = self.inner();
        if inner.entries.len() < ENTRIES_MAX || inner.entries.contains_key(&client) {
            inner.changed |= inner.entries.insert(client, entry.clone()) != Some(entry);
        }
    }

    /// Clears away what expired long ago, where the last time is long ago: how many entries stayed and went.
    pub fn clean(&self, now: u64, cleaning: Cleaning) -> Option<(usize, usize)> {
        let (interval, retention) = (cleaning.interval.as_secs(), cleaning.retention.as_secs());
        let mut inner = self.inner();
        if interval == 0 || now < inner.cleaned.saturating_add(interval) {
            return None;
        }
        let before = inner.entries.len();
        inner.entries.retain(|_, entry| entry.last().saturating_add(retention) > now);
        (inner.cleaned, inner.changed) = (now, true);
        let after = inner.entries.len();
        Some((after, before - after))
    }
}

impl Kept for Cache {
    fn len(&self) -> usize {
        self.inner().entries.len()
    }

    /// Of two results the later counts.
    fn absorb(&self, key: &[u8], value: &[u8]) {
        let text = |bytes| std::str::from_utf8(bytes).ok().map(|t: &str| t.trim_end_matches('\0'));
        let (Some(key), Some(value)) = (text(key), text(value)) else { return };
        let mut inner = self.inner();
        if key == CLEANED {
            inner.cleaned = inner.cleaned.max(value.parse().unwrap_or_default());
            return;
        }
        let (Ok(address), Some(found)) = (key.parse::<IpAddr>(), Entry::parse(value)) else { return };
        if inner.entries.len() >= ENTRIES_MAX && !inner.entries.contains_key(&address) {
            return;
        }
        let entry = inner.entries.entry(address).or_default();
        for (own, found) in entry.0.iter_mut().zip(found.0) {
            *own = (*own).max(found);
        }
    }

    fn is_changed(&self) -> bool {
        self.inner().changed
    }

    fn take_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        // Sessions wait for the lock, so text is made of it without.
        let mut inner = self.inner();
        inner.changed = false;
        let cleaned = inner.cleaned;
        let entries: Vec<(IpAddr, Entry)> = inner.entries.iter().map(|(k, v)| (*k, v.clone())).collect();
        drop(inner);
        let bytes = |text: String| text.into_bytes();
        let mut all: Vec<_> =
            entries.iter().map(|(k, v)| (bytes(k.to_string()), bytes(v.to_string()))).collect();
        all.push((CLEANED.into(), bytes(cleaned.to_string())));
        all.sort_unstable();
        all
    }

    fn not_written(&self) {
        self.inner().changed = true;
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let (cache, client) = (Cache::default(), "2001:db8::5".parse().unwrap());
        cache.put(client, Entry([50, 1, 1, 1, 1]));
        cache.absorb(b"2001:db8::5\0", b"40;60;1;1;1\0");
        cache.absorb(b"192.0.2.1", b"7;7;7;7;7");
        cache.absorb(b"nonsense", b"7");
        assert_eq!(cache.get(client), Entry([50, 60, 1, 1, 1]));
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
            cache.clean(now, Cleaning { interval, retention })
        };
        assert_eq!(clean(1_000, 60, 850), Some((1, 1)));
        assert_eq!(clean(1_059, 60, 0), None);
        assert_eq!(clean(1_060, 60, 0), Some((0, 1)));
        assert_eq!(clean(9_999, 0, 0), None);
    }
}
