//! What is known of addresses, and how long it counts.

use crate::entry::{Entry, Finding};
use crate::settings::{Settings, Times};
use tables::cache::Remembered;

/// What is known of addresses, shared with who keeps the file.
pub type Cache = tables::cache::Cache<Entry>;

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

impl Settings {
    /// Clears away what does not count any more, where it is time: how many entries stayed and went.
    pub fn clean(&self, cache: &Cache, now: u64) -> Option<(usize, usize)> {
        cache.clean(now, self.cleanup_interval, |entry| entry.is_valid(self, now))
    }
}

impl Remembered for Entry {
    type Key = String;

    /// What Postfix was just asking about when it ended is asked about anew.
    fn read(text: &str) -> Option<Entry> {
        Entry::parse(text).filter(|found| found.finding != Finding::Unknown)
    }

    /// Of two findings the later counts.
    fn join(&mut self, found: Entry) {
        if found.updated > self.updated {
            *self = found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::tests::settings;
    use tables::cache::CLEANED;
    use tables::keeper::Kept as _;

    #[test]
    fn what_a_file_says_is_joined_with_what_is_known() {
        let cache = Cache::default();
        cache.put("a@x.example".into(), Entry::parse("0:0:50:own").expect("an entry"));
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
        cache.put("a@x.example".into(), Entry::parse("0:0:1000:yes").expect("an entry"));
        cache.put("b@x.example".into(), Entry::parse("2:0:1000:no").expect("an entry"));
        let settings = Settings { cleanup_interval: 60, ..settings() };
        assert_eq!(settings.clean(&cache, 1_060), Some((1, 1)));
        assert_eq!(settings.clean(&cache, 1_119), None);
        assert_eq!(settings.clean(&cache, 1_120), Some((0, 1)));
        assert_eq!(Settings { cleanup_interval: 0, ..settings }.clean(&cache, 9_999), None);
    }
}
