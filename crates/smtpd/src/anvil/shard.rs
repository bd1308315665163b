//! A part of the table: networks in a row of slots, found by an index, the idle ones in the order of their last use.
//!
//! A network with an open session keeps its slot, so an event inside a session needs no search.

use super::network::Key;
use hashbrown::HashTable;
use std::mem::size_of;

/// What is counted for a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session began.
    Connection,
    /// MAIL.
    Message,
    /// RCPT or VRFY.
    Recipient,
    /// A TLS session was made anew, not resumed.
    NewTlsSession,
    /// AUTH.
    Auth,
}

/// How many kinds of events there are.
pub(super) const EVENTS: usize = 5;

/// No slot.
const NONE: u32 = u32::MAX;

/// A network and what it did. 60 bytes, since there are a million.
#[derive(Debug)]
struct Slot {
    key: Key,
    /// Open sessions.
    sessions: u32,
    /// The second in which the time began that the rates are for.
    since: u32,
    rates: [u32; EVENTS],
    /// The second of its last use, while it is idle.
    idle_since: u32,
    /// Neighbours in the order of idle slots; `older` of a free slot is the next free one.
    older: u32,
    newer: u32,
}

/// Networks of one shard.
#[derive(Debug)]
pub(super) struct Shard {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    networks_max: usize,
    free: u32,
    /// Ends of the order of idle slots.
    oldest: u32,
    newest: u32,
    maxima: Maxima,
}

/// What [`Shard::connect`] found.
pub(super) struct Connected {
    pub(super) slot: u32,
    pub(super) sessions: u32,
    pub(super) rate: u32,
    /// The network was not known.
    pub(super) is_new: bool,
    /// How many others were forgotten for it.
    pub(super) forgotten: usize,
}

/// The highest counts since they were logged, each with when it was reached first, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Maxima {
    pub(super) rates: [Maximum; EVENTS],
    pub(super) sessions: Maximum,
    pub(super) networks: Maximum,
}

/// One of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Maximum {
    pub(super) value: u32,
    pub(super) at: u64,
    /// Whose it is.
    pub(super) key: Option<Key>,
}

/// Idle networks that are looked at for each new one: more are forgotten than come, however many come.
const FORGOTTEN_AT_ONCE: usize = 2;

impl Shard {
    pub(super) fn new(networks_max: usize) -> Self {
        Shard {
            index: HashTable::new(),
            slots: Vec::new(),
            networks_max,
            free: NONE,
            oldest: NONE,
            newest: NONE,
            maxima: Maxima::default(),
        }
    }

    /// Counts a session. `hash` is the key's, `hash_of` makes those of other keys.
    pub(super) fn connect(
        &mut self,
        hash: u64,
        key: Key,
        now: u64,
        unit: u32,
        hash_of: &dyn Fn(&Key) -> u64,
    ) -> Connected {
        let known = self.index.find(hash, |&at| self.slots[at as usize].key == key).copied();
        let mut forgotten = 0;
        let slot = match known {
            Some(slot) => slot,
            None => {
                forgotten = self.make_room(now, unit, hash_of);
                self.insert(hash, key, now, hash_of)
            }
        };
        if known.is_some() && self.slots[slot as usize].sessions == 0 {
            self.unlink(slot);
        }
        let sessions = &mut self.slots[slot as usize].sessions;
        *sessions += 1;
        let sessions = *sessions;
        self.maxima.sessions.reach(sessions, now, key);
        let rate = self.count(slot, Event::Connection, now, unit);
        Connected { slot, sessions, rate, is_new: known.is_none(), forgotten }
    }

    /// Uncounts a session.
    pub(super) fn disconnect(&mut self, slot: u32, now: u64) {
        let found = &mut self.slots[slot as usize];
        found.sessions -= 1;
        if found.sessions == 0 {
            found.idle_since = seconds(now);
            self.link_newest(slot);
        }
    }

    /// Counts an event of a network with an open session.
    pub(super) fn count(&mut self, slot: u32, event: Event, now: u64, unit: u32) -> u32 {
        let slot = &mut self.slots[slot as usize];
        slot.begin_again(now, unit);
        let rate = &mut slot.rates[event as usize];
        *rate = rate.saturating_add(1);
        self.maxima.rates[event as usize].reach(*rate, now, slot.key);
        *rate
    }

    /// How many such events there were.
    pub(super) fn rate(&mut self, slot: u32, event: Event, now: u64, unit: u32) -> u32 {
        let slot = &mut self.slots[slot as usize];
        slot.begin_again(now, unit);
        slot.rates[event as usize]
    }

    /// Notes that the table holds so many networks now.
    pub(super) fn grew(&mut self, networks: usize, now: u64) {
        let networks = u32::try_from(networks).unwrap_or(u32::MAX);
        self.maxima.networks.raise(networks, now, None);
    }

    pub(super) fn take_maxima(&mut self) -> Maxima {
        std::mem::take(&mut self.maxima)
    }

    /// Forgets up to `at_most` networks that were idle for the whole time unit; how many they were.
    pub(super) fn forget_idle(
        &mut self,
        now: u64,
        unit: u32,
        at_most: usize,
        hash_of: &dyn Fn(&Key) -> u64,
    ) -> usize {
        let mut forgotten = 0;
        while forgotten < at_most && self.oldest != NONE {
            let slot = &self.slots[self.oldest as usize];
            if seconds(now).saturating_sub(slot.idle_since) < unit {
                break;
            }
            self.forget(self.oldest, hash_of);
            forgotten += 1;
        }
        if self.index.is_empty() {
            // After a flood the memory goes back.
            (self.slots, self.index, self.free) = (Vec::new(), HashTable::new(), NONE);
        }
        forgotten
    }

    /// Bytes of slots and index.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.index.allocation_size()
    }

    /// Before a new network comes: who was idle long enough goes, and where the shard is full the one idle longest.
    fn make_room(&mut self, now: u64, unit: u32, hash_of: &dyn Fn(&Key) -> u64) -> usize {
        let mut forgotten = self.forget_idle(now, unit, FORGOTTEN_AT_ONCE, hash_of);
        // Where all have sessions open, these bound their number: each is a descriptor.
        if self.index.len() >= self.networks_max && self.oldest != NONE {
            self.forget(self.oldest, hash_of);
            forgotten += 1;
        }
        forgotten
    }

    fn insert(&mut self, hash: u64, key: Key, now: u64, hash_of: &dyn Fn(&Key) -> u64) -> u32 {
        let new = Slot {
            key,
            sessions: 0,
            since: seconds(now),
            rates: [0; EVENTS],
            idle_since: 0,
            older: NONE,
            newer: NONE,
        };
        let at = match self.free {
            NONE => {
                self.grow();
                self.slots.push(new);
                u32::try_from(self.slots.len() - 1).expect("slots are bounded by memory long before")
            }
            at => {
                self.free = std::mem::replace(&mut self.slots[at as usize], new).older;
                at
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |&at| hash_of(&slots[at as usize].key));
        at
    }

    /// Room for further slots in steps of a half, and at the bound for exactly that many.
    fn grow(&mut self) {
        let have = self.slots.len();
        if have == self.slots.capacity() {
            let more = (have / 2).max(16);
            let more = if have < self.networks_max { more.min(self.networks_max - have) } else { more };
            self.slots.reserve_exact(more);
        }
    }

    fn forget(&mut self, at: u32, hash_of: &dyn Fn(&Key) -> u64) {
        self.unlink(at);
        let hash = hash_of(&self.slots[at as usize].key);
        if let Ok(entry) = self.index.find_entry(hash, |&found| found == at) {
            entry.remove();
        }
        self.slots[at as usize].older = self.free;
        self.free = at;
    }

    fn link_newest(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        let slot = &mut self.slots[at as usize];
        (slot.older, slot.newer) = (before, NONE);
        match before {
            NONE => self.oldest = at,
            before => self.slots[before as usize].newer = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { older, newer, .. } = self.slots[at as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
    }
}

impl Slot {
    /// As anvil(8): the time that rates are for begins with the first event behind the last time's end, in whole
    /// seconds, and for all rates of a client at once.
    fn begin_again(&mut self, now: u64, unit: u32) {
        let now = seconds(now);
        if now.saturating_sub(self.since) > unit {
            self.since = now;
            self.rates = [0; EVENTS];
        }
    }
}

impl Maxima {
    /// The higher ones of two; of equal ones the earlier.
    pub(super) fn merge(mut self, other: Maxima) -> Maxima {
        for (own, other) in self.rates.iter_mut().zip(other.rates) {
            own.merge(other);
        }
        self.sessions.merge(other.sessions);
        self.networks.merge(other.networks);
        self
    }
}

impl Maximum {
    fn reach(&mut self, value: u32, at: u64, key: Key) {
        self.raise(value, at, Some(key));
    }

    fn raise(&mut self, value: u32, at: u64, key: Option<Key>) {
        if value > self.value {
            *self = Maximum { value, at, key };
        }
    }

    fn merge(&mut self, other: Maximum) {
        if other.value > self.value || (other.value == self.value && other.at < self.at) {
            *self = other;
        }
    }
}

fn seconds(micros: u64) -> u32 {
    u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Bits, Network, ServiceNumber};
    use super::*;
    use std::net::Ipv4Addr;

    const UNIT: u32 = 5;

    fn key(n: u32) -> Key {
        let network = Network::of(Ipv4Addr::from_bits(n).into(), Bits { v4: 32, v6: 84 });
        Key { network, service: ServiceNumber(0) }
    }

    /// All keys share few hashes, so that the index has to tell them apart.
    fn hash_of(key: &Key) -> u64 {
        u64::from(key.network.to_string().len() as u32)
    }

    fn at(second: u64) -> u64 {
        (1_000 + second) * 1_000_000
    }

    fn connect(shard: &mut Shard, n: u32, second: u64) -> Connected {
        shard.connect(hash_of(&key(n)), key(n), at(second), UNIT, &hash_of)
    }

    /// A session that ends at once.
    fn visit(shard: &mut Shard, n: u32, second: u64) -> Connected {
        let connected = connect(shard, n, second);
        shard.disconnect(connected.slot, at(second));
        connected
    }

    #[test]
    fn a_slot_is_as_small_as_the_stated_bound_needs() {
        assert_eq!(size_of::<Slot>(), 60);
    }

    #[test]
    fn rates_begin_again_once_more_than_the_time_unit_has_gone_by() {
        let mut shard = Shard::new(10);
        let open = connect(&mut shard, 1, 0);
        // As Debian's anvil counted sessions at these seconds.
        let rates: Vec<u32> =
            [1, 2, 5, 6, 7, 10, 11, 11, 12].iter().map(|&second| visit(&mut shard, 1, second).rate).collect();
        assert_eq!(rates, [2, 3, 4, 1, 2, 3, 4, 5, 1]);
        shard.count(open.slot, Event::Message, at(12), UNIT);
        assert_eq!(shard.rate(open.slot, Event::Message, at(17), UNIT), 1);
        assert_eq!(shard.rate(open.slot, Event::Message, at(18), UNIT), 0);
    }

    #[test]
    fn who_was_idle_for_the_time_unit_is_forgotten_and_who_has_a_session_is_not() {
        let mut shard = Shard::new(10);
        let open = connect(&mut shard, 1, 0);
        for n in 2..5 {
            visit(&mut shard, n, u64::from(n));
        }
        assert_eq!(shard.forget_idle(at(6), UNIT, usize::MAX, &hash_of), 0);
        assert_eq!(shard.forget_idle(at(8), UNIT, usize::MAX, &hash_of), 2);
        assert_eq!(shard.forget_idle(at(100), UNIT, usize::MAX, &hash_of), 1);
        assert_eq!(connect(&mut shard, 1, 100).sessions, 2);
        shard.disconnect(open.slot, at(100));
        shard.disconnect(open.slot, at(100));
        assert_eq!(shard.forget_idle(at(105), UNIT, usize::MAX, &hash_of), 1);
        assert_eq!(shard.bytes(), 0);
    }

    #[test]
    fn a_full_shard_forgets_the_one_that_was_idle_longest() {
        let mut shard = Shard::new(4);
        let open = connect(&mut shard, 1, 0);
        for n in 2..5 {
            visit(&mut shard, n, 0);
        }
        // Used once more, so that 3 is the oldest now.
        visit(&mut shard, 2, 1);
        let new = visit(&mut shard, 9, 2);
        assert!(new.is_new && new.forgotten == 1);
        assert_eq!(visit(&mut shard, 2, 2).rate, 3);
        assert_eq!(visit(&mut shard, 4, 2).rate, 2);
        let back = visit(&mut shard, 3, 2);
        assert!(back.is_new && back.rate == 1);
        assert_eq!(connect(&mut shard, 1, 2).slot, open.slot);
        // Where all have sessions, one more is taken.
        let opened: Vec<u32> = (20..30).map(|n| connect(&mut shard, n, 2).slot).collect();
        assert_eq!(connect(&mut shard, 29, 2).sessions, 2);
        opened.iter().for_each(|&slot| shard.disconnect(slot, at(2)));
    }

    #[test]
    fn the_highest_counts_are_kept_with_who_reached_them_first() {
        let mut shard = Shard::new(10);
        let one = connect(&mut shard, 1, 0);
        visit(&mut shard, 2, 1);
        visit(&mut shard, 2, 2);
        visit(&mut shard, 1, 3);
        shard.grew(2, at(1));
        let maxima = shard.take_maxima();
        let rate = &maxima.rates[Event::Connection as usize];
        assert_eq!((rate.value, rate.at, rate.key), (2, at(2), Some(key(2))));
        assert_eq!((maxima.sessions.value, maxima.sessions.at), (2, at(3)));
        assert_eq!((maxima.networks.value, maxima.rates[Event::Auth as usize].value), (2, 0));
        shard.count(one.slot, Event::Auth, at(4), UNIT);
        let mut other = Shard::new(10);
        visit(&mut other, 7, 0);
        let merged = shard.take_maxima().merge(other.take_maxima());
        assert_eq!(
            (merged.rates[0].key, merged.rates[Event::Auth as usize].key),
            (Some(key(7)), Some(key(1)))
        );
    }
}
