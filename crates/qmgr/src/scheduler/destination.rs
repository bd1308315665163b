//! One destination: what waits for it, in the order of its transport's line, and whether it may be given more.

use super::feedback::Window;
use super::line::Place;
use mail::{SiteFailure, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One delivery request that waits.
#[derive(Clone, Debug)]
pub struct Entry<K> {
    /// The message.
    pub key: K,
    /// Places of the recipients in its envelope.
    pub recipients: Vec<u32>,
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
    /// Recipients of what waits.
    pub queued_recipients: usize,
    /// What waits: a message's requests in the order in which they came.
    waiting: BTreeMap<(Place, u64), Vec<u32>>,
    last: u64,
    /// How it stands among the ready ones of its transport's line.
    pub listed: Option<Place>,
    /// Whether it stands in its transport's ring.
    pub in_ring: bool,
    /// When it may be said again that it fills the queue.
    pub warn_from: Timestamp,
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
            queued_recipients: 0,
            waiting: BTreeMap::new(),
            last: 0,
            listed: None,
            in_ring: false,
            warn_from: Timestamp::default(),
            parked: VecDeque::new(),
        }
    }

    pub fn push(&mut self, place: Place, recipients: Vec<u32>) {
        self.queued_recipients += recipients.len();
        self.last += 1;
        self.waiting.insert((place, self.last), recipients);
    }

    pub fn pop(&mut self) -> Option<(Place, Vec<u32>)> {
        let ((place, _), recipients) = self.waiting.pop_first()?;
        self.queued_recipients -= recipients.len();
        Some((place, recipients))
    }

    /// The place of the message that is served next.
    pub fn first(&self) -> Option<Place> {
        self.waiting.first_key_value().map(|((place, _), _)| *place)
    }

    /// Entries that wait.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    pub fn has(&self, place: Place) -> bool {
        self.waiting.range((place, 0)..=(place, u64::MAX)).next().is_some()
    }

    /// A message has another place.
    pub fn replace(&mut self, from: Place, to: Place) {
        let numbers: Vec<u64> =
            self.waiting.range((from, 0)..=(from, u64::MAX)).map(|((_, number), _)| *number).collect();
        for number in numbers {
            if let Some(recipients) = self.waiting.remove(&(from, number)) {
                self.waiting.insert((to, number), recipients);
            }
        }
    }

    /// Whether one more job may start.
    pub fn open(&self) -> bool {
        self.health == Health::Live && self.busy < self.window.size()
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty() && self.busy == 0 && self.parked.is_empty()
    }
}
