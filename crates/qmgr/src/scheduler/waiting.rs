//! Messages that are not active: three lists that take turns, and one small entry for each message.

use mail::Timestamp;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// A message that may become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled<K> {
    /// The message.
    pub key: K,
    /// An order said "now": dead destinations are tried and `defer_transports` does not hold.
    pub flushed: bool,
    /// Each recipient gets a delivery of its own; said by who activates it.
    pub single: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Fresh,
    Parked,
    Resumed,
    Deferred(Timestamp),
    Flushed(Timestamp),
}

/// Where each message waits. A message costs one map entry and one list or set entry, about 80 bytes.
#[derive(Debug)]
pub struct Waiting<K> {
    places: HashMap<K, Place>,
    fresh: VecDeque<K>,
    resumed: VecDeque<K>,
    deferred: BTreeSet<(Timestamp, K)>,
    flushed: BTreeSet<(Timestamp, K)>,
    turn: u8,
}

impl<K: Copy + Eq + Hash + Ord> Waiting<K> {
    /// Nothing waits.
    pub fn new() -> Self {
        Waiting {
            places: HashMap::new(),
            fresh: VecDeque::new(),
            resumed: VecDeque::new(),
            deferred: BTreeSet::new(),
            flushed: BTreeSet::new(),
            turn: 0,
        }
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How many of them wait for a time, or waited and were flushed.
    pub fn len_deferred(&self) -> usize {
        self.deferred.len() + self.flushed.len()
    }

    /// A message that came just now.
    pub fn fresh(&mut self, key: K) {
        if self.place(key, Place::Fresh) {
            self.fresh.push_back(key);
        }
    }

    /// A message whose next attempt is at `due`; one that waits already gets this time instead.
    pub fn deferred(&mut self, key: K, due: Timestamp) {
        self.remove(key);
        self.places.insert(key, Place::Deferred(due));
        self.deferred.insert((due, key));
    }

    /// A message that waits in a destination's own list.
    pub fn parked(&mut self, key: K) {
        self.remove(key);
        self.places.insert(key, Place::Parked);
    }

    /// A parked message whose destination has room; false if it is gone.
    pub fn resume(&mut self, key: K) -> bool {
        let parked = self.places.get(&key) == Some(&Place::Parked);
        if parked {
            self.places.insert(key, Place::Resumed);
            self.resumed.push_back(key);
        }
        parked
    }

    /// Whether messages that were parked wait to be read.
    pub fn resumes(&self) -> bool {
        !self.resumed.is_empty()
    }

    /// Forgets a message; false if it does not wait.
    pub fn remove(&mut self, key: K) -> bool {
        match self.places.remove(&key) {
            Some(Place::Deferred(due)) => self.deferred.remove(&(due, key)),
            Some(Place::Flushed(due)) => self.flushed.remove(&(due, key)),
            // The lists are cleaned as they are read.
            Some(Place::Fresh | Place::Parked | Place::Resumed) => true,
            None => false,
        }
    }

    /// All deferred messages are due now, the one that waits longest first.
    pub fn flush_all(&mut self) {
        for &(due, key) in &self.deferred {
            self.places.insert(key, Place::Flushed(due));
        }
        self.flushed.append(&mut self.deferred);
    }

    /// One message is due now; false if it does not wait.
    pub fn flush_one(&mut self, key: K) -> bool {
        if !self.remove(key) {
            return false;
        }
        self.places.insert(key, Place::Flushed(Timestamp::default()));
        self.flushed.insert((Timestamp::default(), key));
        true
    }

    /// The next message to become active. New mail, mail that a destination has room for again and mail
    /// whose time has come take turns, so that neither a backlog nor a flood holds up the others.
    pub fn pull(&mut self, now: Timestamp) -> Option<Pulled<K>> {
        for _ in 0..4 {
            self.turn = (self.turn + 1) % 4;
            let pulled = match self.turn {
                0 => pop_listed(&mut self.fresh, &mut self.places, Place::Fresh),
                1 => pop_listed(&mut self.resumed, &mut self.places, Place::Resumed),
                2 => self.pop_due(now),
                _ => self.pop_flushed(),
            };
            if pulled.is_some() {
                return pulled;
            }
        }
        None
    }

    /// When the next deferred message is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.deferred.first().map(|&(due, _)| due)
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<Pulled<K>> {
        let &(due, key) = self.deferred.first()?;
        if due > now {
            return None;
        }
        self.deferred.pop_first();
        self.places.remove(&key);
        Some(Pulled { key, flushed: false, single: false })
    }

    fn pop_flushed(&mut self) -> Option<Pulled<K>> {
        let (_, key) = self.flushed.pop_first()?;
        self.places.remove(&key);
        Some(Pulled { key, flushed: true, single: false })
    }

    fn place(&mut self, key: K, place: Place) -> bool {
        match self.places.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(v) => {
                v.insert(place);
                true
            }
        }
    }
}

fn pop_listed<K: Copy + Eq + Hash>(
    list: &mut VecDeque<K>,
    places: &mut HashMap<K, Place>,
    expected: Place,
) -> Option<Pulled<K>> {
    while let Some(key) = list.pop_front() {
        if places.get(&key) == Some(&expected) {
            places.remove(&key);
            return Some(Pulled { key, flushed: false, single: false });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn new_mail_and_mail_that_is_due_take_turns() {
        let mut w = Waiting::new();
        for key in 0..3 {
            w.fresh(key);
            w.deferred(10 + key, at(1));
        }
        let order: Vec<i32> = std::iter::from_fn(|| w.pull(at(1))).map(|p| p.key).collect();
        assert_eq!(order, [10, 0, 11, 1, 12, 2]);
        assert_eq!(w.len(), 0);
    }

    #[test]
    fn a_message_waits_until_its_time_unless_flushed() {
        let mut w = Waiting::new();
        w.deferred(1, at(100));
        w.deferred(2, at(50));
        assert_eq!((w.pull(at(49)), w.next_due()), (None, Some(at(50))));
        assert_eq!(w.pull(at(50)), Some(Pulled { key: 2, flushed: false, single: false }));
        w.flush_all();
        assert_eq!(w.pull(at(50)), Some(Pulled { key: 1, flushed: true, single: false }));
        w.deferred(3, at(100));
        assert!(w.flush_one(3));
        assert!(!w.flush_one(4));
        assert_eq!(w.pull(at(50)), Some(Pulled { key: 3, flushed: true, single: false }));
    }

    #[test]
    fn a_message_that_was_removed_or_came_twice_is_pulled_at_most_once() {
        let mut w = Waiting::new();
        w.fresh(1);
        w.fresh(1);
        w.fresh(2);
        assert!(w.remove(2));
        w.parked(3);
        assert!(w.remove(3));
        assert!(!w.resume(3));
        w.deferred(4, at(1));
        w.deferred(4, at(2));
        let order: Vec<i32> = std::iter::from_fn(|| w.pull(at(9))).map(|p| p.key).collect();
        assert_eq!(order, [4, 1]);
    }
}
