//! One destination: what waits for it, in two lanes, and whether it may be given more.

use super::feedback::Window;
use mail::{SiteFailure, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// The first so many delivery requests of a message at a transport travel in the small lane: Postfix's
/// `default_minimum_delivery_slots` × `default_delivery_slot_cost`, below which a message is never held up for another.
pub const SMALL_ENTRIES: usize = 15;

/// One delivery request that waits.
#[derive(Clone, Debug)]
pub struct Entry<K> {
    /// The message.
    pub key: K,
    /// Places of the recipients in its envelope.
    pub recipients: Vec<u32>,
}

/// Which of a destination's two lists an entry waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The first entries of each message, in the order of arrival.
    Small,
    /// The rest of large messages, one entry a message in turn.
    Bulk,
}

/// Whether a destination may be given work.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// As far as its window goes.
    Live,
    /// It failed as a whole; tried again at this time.
    Dead { until: Timestamp, failure: SiteFailure },
    /// Its rate delay runs.
    Paused { until: Timestamp },
}

/// A transport and nexthop.
#[derive(Debug)]
pub struct Destination<K> {
    pub transport: usize,
    /// The name in the index: the nexthop in lower case, or one recipient.
    pub name: Arc<str>,
    pub nexthop: Arc<str>,
    pub window: Window,
    pub health: Health,
    /// Jobs that run.
    pub busy: u32,
    /// Entries and recipients in both lanes.
    pub queued: usize,
    pub queued_recipients: usize,
    small: VecDeque<Entry<K>>,
    bulk: VecDeque<(K, VecDeque<Vec<u32>>)>,
    /// Whether it stands in its transport's ring of this lane.
    pub in_small_ring: bool,
    pub in_bulk_ring: bool,
    /// Messages that stay out of the active queue until there is room here.
    pub parked: VecDeque<K>,
}

impl<K: Copy + Eq> Destination<K> {
    pub fn new(transport: usize, name: Arc<str>, nexthop: Arc<str>, window: Window) -> Self {
        Destination {
            transport,
            name,
            nexthop,
            window,
            health: Health::Live,
            busy: 0,
            queued: 0,
            queued_recipients: 0,
            small: VecDeque::new(),
            bulk: VecDeque::new(),
            in_small_ring: false,
            in_bulk_ring: false,
            parked: VecDeque::new(),
        }
    }

    pub fn push(&mut self, lane: Lane, entry: Entry<K>) {
        self.queued += 1;
        self.queued_recipients += entry.recipients.len();
        match lane {
            Lane::Small => self.small.push_back(entry),
            // The entries of one message come in one go, so only the last one in the rotation can be its own.
            Lane::Bulk => match self.bulk.back_mut() {
                Some((key, more)) if *key == entry.key => more.push_back(entry.recipients),
                _ => self.bulk.push_back((entry.key, VecDeque::from([entry.recipients]))),
            },
        }
    }

    pub fn pop(&mut self, lane: Lane) -> Option<Entry<K>> {
        let entry = match lane {
            Lane::Small => self.small.pop_front()?,
            Lane::Bulk => {
                let (key, mut more) = self.bulk.pop_front()?;
                let recipients = more.pop_front().unwrap_or_default();
                if !more.is_empty() {
                    self.bulk.push_back((key, more));
                }
                Entry { key, recipients }
            }
        };
        self.queued -= 1;
        self.queued_recipients -= entry.recipients.len();
        Some(entry)
    }

    pub fn has(&self, lane: Lane) -> bool {
        match lane {
            Lane::Small => !self.small.is_empty(),
            Lane::Bulk => !self.bulk.is_empty(),
        }
    }

    /// Whether one more job may start.
    pub fn open(&self) -> bool {
        self.health == Health::Live && self.busy < self.window.size()
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn idle(&self) -> bool {
        self.queued == 0 && self.busy == 0 && self.parked.is_empty()
    }

    /// Takes everything that waits.
    pub fn drain(&mut self) -> Vec<Entry<K>> {
        let mut all = Vec::with_capacity(self.queued);
        for lane in [Lane::Small, Lane::Bulk] {
            while let Some(entry) = self.pop(lane) {
                all.push(entry);
            }
        }
        all
    }
}
