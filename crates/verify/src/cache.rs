//! What is known of addresses. The memory is the cache; [`tables::keeper`] keeps a file of it, in Postfix's format.

use crate::entry::{Entry, Finding};
use crate::settings::{Settings, Times};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tables::keeper::Kept;

/// Addresses remembered at once; with 200 bytes each that is 100 MB. Beyond it nothing new is remembered until the old is
/// cleared away: an address is asked about again, and that is all.
const ENTRIES_MAX: usize = 500_000;

/// The key under which Postfix notes when it last cleared away.
const CLEANED: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";

/// What is known, shared with who keeps the file.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    /// When old entries were last cleared away, in seconds.
    cleaned: u64,
    /// Something is new since it was last taken.
    changed: bool,
}

impl Entry {
    /// Whether it counts.
    pub(crate) fn is_valid(&self, settings: &Settings, now: u64) -> bool {
        self.finding != Finding::Unknown && self.updated.saturating_add(self.times(settings).expire) >= now
    }

    /// How long it counts.
    pub(crate) fn times(&self, settings: &Settings) -> Times {
        if self.finding == Finding::Deliverable { settings.positive } else { settings.negative }
    }
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an address.
    pub fn get(&self, address: &str) -> Option<Entry> {
        self.inner().entries.get(address).cloned()
    }

    /// Remembers what is known of an address, where there is room.
    pub(crate) fn put(&self, address: &str, entry: Entry) {
        let mut inner = self.inner();
        if inner.entries.len() < ENTRIES_MAX || inner.entries.contains_key(address) {
            inner.entries.insert(address.to_owned(), entry);
            inner.changed = true;
        }
    }

    /// Clears away what does not count any more, where the last time is long ago: how many entries stayed and went.
    pub fn clean(&self, settings: &Settings, now: u64) -> Option<(usize, usize)> {
        let mut inner = self.inner();
        let interval = settings.cleanup_interval;
        if interval == 0 || now < inner.cleaned.saturating_add(interval) {
            return None;
        }
        let before = inner.entries.len();
        inner.entries.retain(|_, entry| entry.is_valid(settings, now));
        (inner.cleaned, inner.changed) = (now, true);
        let after = inner.entries.len();
        Some((after, before - after))
    }
}

impl Kept for Cache {
    /// Of two findings the later counts.
    fn absorb(&self, key: &[u8], value: &[u8]) {
        let text = |bytes| std::str::from_utf8(bytes).ok().map(|t: &str| t.trim_end_matches('\0'));
        let (Some(key), Some(value)) = (text(key), text(value)) else { return };
        let mut inner = self.inner();
        if key == CLEANED {
            inner.cleaned = inner.cleaned.max(value.parse().unwrap_or_default());
            return;
        }
        // What Postfix was just asking about when it ended is asked about anew.
        let Some(found) = Entry::parse(value).filter(|found| found.finding != Finding::Unknown) else {
            return;
        };
        let is_full = inner.entries.len() >= ENTRIES_MAX;
        match inner.entries.get_mut(key) {
            Some(own) if own.updated >= found.updated => {}
            Some(own) => *own = found,
            None if is_full => {}
            None => drop(inner.entries.insert(key.to_owned(), found)),
        }
    }

    fn is_changed(&self) -> bool {
        self.inner().changed
    }

    fn take_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        // The queue manager waits for the lock, so text is made of it without.
        let mut inner = self.inner();
        inner.changed = false;
        let cleaned = inner.cleaned;
        let entries: Vec<_> = inner.entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        drop(inner);
        let bytes = |(key, entry): (String, Entry)| (key.into_bytes(), entry.to_string().into_bytes());
        let mut all: Vec<_> = entries.into_iter().map(bytes).collect();
        all.push((CLEANED.into(), cleaned.to_string().into_bytes()));
        all.sort_unstable();
        all
    }

    fn not_written(&self) {
        self.inner().changed = true;
    }

    fn len(&self) -> usize {
        self.inner().entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::tests::settings;

    #[test]
    fn what_a_file_says_is_joined_with_what_is_known() {
        let cache = Cache::default();
        cache.put("a@x.example", Entry::parse("0:0:50:own").expect("an entry"));
        cache.absorb(b"a@x.example\0", b"2:0:40:older\0");
        cache.absorb(b"b@x.example", b"2:0:40:found");
        cache.absorb(b"c@x.example", b"3:40:0:Address verification in progress");
        cache.absorb(b"d@x.example", b"nonsense");
        cache.absorb(CLEANED.as_bytes(), b"30");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let all: Vec<_> =
            cache.take_all().into_iter().map(|(k, v)| format!("{} {}", text(k), text(v))).collect();
        assert_eq!(all, [&format!("{CLEANED} 30"), "a@x.example 0:0:50:own", "b@x.example 2:0:40:found"]);
        cache.absorb(b"a@x.example", b"1:0:60:newer");
        assert_eq!(cache.get("a@x.example").map(|entry| entry.text), Some("newer".into()));
    }

    #[test]
    fn what_does_not_count_any_more_is_cleared_away_at_intervals() {
        let cache = Cache::default();
        cache.put("a@x.example", Entry::parse("0:0:1000:yes").expect("an entry"));
        cache.put("b@x.example", Entry::parse("2:0:1000:no").expect("an entry"));
        let settings = Settings { cleanup_interval: 60, ..settings() };
        assert_eq!(cache.clean(&settings, 1_060), Some((1, 1)));
        assert_eq!(cache.clean(&settings, 1_119), None);
        assert_eq!(cache.clean(&settings, 1_120), Some((0, 1)));
        assert_eq!(cache.clean(&Settings { cleanup_interval: 0, ..settings }, 9_999), None);
    }
}
