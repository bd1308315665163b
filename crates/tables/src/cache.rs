//! A cache whose memory is the cache; [`crate::keeper`] keeps a file of it, in the format of Postfix's.

use crate::keeper::Kept;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries at once; with 100 to 200 bytes each that is 50 to 100 MB. Beyond it nothing new is remembered until the old is
/// cleared away: it is found out again, and that is all.
const ENTRIES_MAX: usize = 500_000;

/// The key under which Postfix notes when it last cleared away.
pub const CLEANED: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";

/// What is remembered of a key. As text it is Postfix's value.
pub trait Remembered: Clone + Debug + PartialEq + Display + Send {
    /// What it is remembered of. As text it is Postfix's key.
    type Key: Clone + Debug + Eq + Hash + Display + FromStr + Send;

    /// Reads a value of a file; nothing where it is none, or is not worth remembering.
    fn read(text: &str) -> Option<Self>;

    /// Takes in what a file says, where that is newer.
    fn join(&mut self, found: Self);
}

/// What is known, shared with who keeps the file.
#[derive(Debug)]
pub struct Cache<E: Remembered>(Mutex<Inner<E>>);

#[derive(Debug)]
struct Inner<E: Remembered> {
    entries: HashMap<E::Key, E>,
    /// When old entries were last cleared away, in seconds.
    cleaned: u64,
    /// Something is new since it was last taken.
    changed: bool,
}

impl<E: Remembered> Default for Cache<E> {
    fn default() -> Self {
        Cache(Mutex::new(Inner { entries: HashMap::new(), cleaned: 0, changed: false }))
    }
}

impl<E: Remembered> Cache<E> {
    fn inner(&self) -> MutexGuard<'_, Inner<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<E>
    where
        E::Key: Borrow<Q>,
    {
        self.inner().entries.get(key).cloned()
    }

    /// Remembers what is known of a key, where there is room.
    pub fn put(&self, key: E::Key, entry: E) {
        let mut inner = self.inner();
        if inner.entries.len() < ENTRIES_MAX || inner.entries.contains_key(&key) {
            inner.changed |= inner.entries.insert(key, entry.clone()) != Some(entry);
        }
    }

    /// Clears away what need not stay, where the last time was `interval` seconds ago (0: never): how many entries stayed
    /// and went.
    pub fn clean(&self, now: u64, interval: u64, stays: impl Fn(&E) -> bool) -> Option<(usize, usize)> {
        let mut inner = self.inner();
        if interval == 0 || now < inner.cleaned.saturating_add(interval) {
            return None;
        }
        let before = inner.entries.len();
        inner.entries.retain(|_, entry| stays(entry));
        (inner.cleaned, inner.changed) = (now, true);
        let after = inner.entries.len();
        Some((after, before - after))
    }
}

impl<E: Remembered> Kept for Cache<E> {
    fn absorb(&self, key: &[u8], value: &[u8]) {
        let text = |bytes| std::str::from_utf8(bytes).ok().map(|t: &str| t.trim_end_matches('\0'));
        let (Some(key), Some(value)) = (text(key), text(value)) else { return };
        let mut inner = self.inner();
        if key == CLEANED {
            inner.cleaned = inner.cleaned.max(value.parse().unwrap_or_default());
            return;
        }
        let (Ok(key), Some(found)) = (key.parse(), E::read(value)) else { return };
        let is_full = inner.entries.len() >= ENTRIES_MAX;
        match inner.entries.get_mut(&key) {
            Some(own) => own.join(found),
            None if is_full => {}
            None => drop(inner.entries.insert(key, found)),
        }
    }

    fn is_changed(&self) -> bool {
        self.inner().changed
    }

    fn take_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        // Others wait for the lock, so text is made of it without.
        let mut inner = self.inner();
        inner.changed = false;
        let cleaned = inner.cleaned;
        let entries: Vec<_> = inner.entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
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

    fn len(&self) -> usize {
        self.inner().entries.len()
    }
}
