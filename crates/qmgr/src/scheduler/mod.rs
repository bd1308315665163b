//! Which message is tried when, and who gets the next delivery: pure, time comes in and jobs go out.
//!
//! The driver's turn, in this order: tell what happened (`arrived`, `wait`, `done`, `flush_all`, …), `advance` the
//! time, `pull` messages and `activate` them with their routes, take jobs by `next`, and deal with the messages
//! that are `finished`. No call costs more than O(log n) of what waits, except where its documentation says so.
//!
//! What differs from Postfix: retry times are exact, so `queue_run_delay` (how often Postfix looks into its
//! directory) has no effect; every second delivery of a transport goes to the destination that waits longest for its
//! turn, whatever the message's place in line; and a destination that fills the active queue has its further
//! messages parked, so that others always find room.

mod destination;
mod dispatch;
mod feedback;
mod health;
mod line;
mod preempt;
mod remarks;
mod settings;
#[cfg(test)]
mod tests;
mod waiting;

pub use feedback::{AfterFailure, Feedback, Window, WindowSettings};
pub use remarks::Remark;
pub use settings::{Settings, SlotSettings, TransportSettings};
pub use waiting::Pulled;

use destination::{Destination, Entry, Health};
use line::{Line, Place, Task};
use mail::{Dsn, JobId, SiteFailure, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use waiting::Waiting;

/// Where one recipient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The recipient's place in the envelope.
    pub index: u32,
    /// Name of the transport in master.cf.
    pub transport: Arc<str>,
    /// Where it goes next, in the transport's own notation.
    pub nexthop: Arc<str>,
    /// What counts as one destination: the nexthop in lower case, or the recipient where the transport
    /// takes one recipient a delivery.
    pub queue: Arc<str>,
}

/// One job to be handed out.
#[derive(Clone, Debug)]
pub struct Handout<K> {
    /// Names the job.
    pub job: JobId,
    /// The message.
    pub key: K,
    /// The transport.
    pub transport: Arc<str>,
    /// The nexthop.
    pub nexthop: Arc<str>,
    /// Places of the recipients in the envelope.
    pub recipients: Vec<u32>,
    /// The destination is dead: defer with `delivery temporarily suspended: REASON` instead of trying.
    pub suspended: Option<SiteFailure>,
}

/// How a job ended, as far as others are concerned.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The site was reached, whatever became of the recipients.
    Reached,
    /// The site failed as a whole.
    Site(SiteFailure),
    /// The agent itself failed or is not there: nothing of this transport can be delivered now.
    Transport(SiteFailure),
}

/// What became of a message that was activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activated {
    /// Its recipients wait for delivery, or there are none: it will be among the `finished`.
    Active,
    /// Its destinations have more than their share already; it is pulled again when there is room.
    Parked,
}

/// What waits and runs, for status pages and warnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that wait.
    pub waiting: usize,
    /// Of these, how many wait for a time, or were flushed while they did.
    pub deferred: usize,
    /// Messages that are active.
    pub active: usize,
    /// Jobs that run.
    pub running: usize,
    /// Destinations that are known.
    pub destinations: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct DestinationId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A dead destination is tried again, or its rate delay is over.
    Destination(DestinationId),
    /// A dead transport is tried again.
    Transport(usize),
    /// A transport's rate delay is over.
    TransportPause(usize),
}

#[derive(Debug)]
struct Transport<K> {
    name: Arc<str>,
    settings: TransportSettings,
    busy: usize,
    line: Line<K>,
    dead: Option<(Timestamp, SiteFailure)>,
    /// Its rate delay runs.
    paused: bool,
}

#[derive(Debug)]
struct Message {
    /// Entries that wait and jobs that run.
    pending: usize,
    recipients: usize,
    /// Its jobs run when nothing else does.
    alone: bool,
    /// It was removed from the queue: what waits of it is dropped.
    removed: bool,
}

/// How a message comes in.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    place: Place,
    flushed: bool,
    alone: bool,
    now: Timestamp,
}

#[derive(Debug)]
struct Running<K> {
    key: K,
    destination: Option<DestinationId>,
    transport: Option<usize>,
    alone: bool,
}

/// The scheduler; `K` names messages.
#[derive(Debug)]
pub struct Scheduler<K> {
    settings: Arc<Settings>,
    waiting: Waiting<K>,
    active: HashMap<K, Message>,
    active_recipients: usize,
    transports: Vec<Transport<K>>,
    transport_by_name: HashMap<Arc<str>, usize>,
    destinations: BTreeMap<DestinationId, Destination<K>>,
    destination_by_name: HashMap<(usize, Arc<str>), DestinationId>,
    running: HashMap<JobId, Running<K>>,
    /// Entries whose destination or transport died.
    suspended: VecDeque<(Entry<K>, usize, Arc<str>, SiteFailure)>,
    /// Entries of messages that were in flight at two crashes.
    alone: VecDeque<(Entry<K>, usize, Arc<str>)>,
    alone_running: bool,
    finished: VecDeque<K>,
    remarks: VecDeque<Remark>,
    timers: BTreeSet<(Timestamp, Timer)>,
    /// Whose turn it is among the transports.
    transport_turn: usize,
    last_destination: u64,
    last_job: u64,
}

impl<K: Copy + Eq + Hash + Ord> Scheduler<K> {
    /// An empty scheduler.
    pub fn new(settings: Arc<Settings>) -> Self {
        Scheduler {
            settings,
            waiting: Waiting::new(),
            active: HashMap::new(),
            active_recipients: 0,
            transports: Vec::new(),
            transport_by_name: HashMap::new(),
            destinations: BTreeMap::new(),
            destination_by_name: HashMap::new(),
            running: HashMap::new(),
            suspended: VecDeque::new(),
            alone: VecDeque::new(),
            alone_running: false,
            finished: VecDeque::new(),
            remarks: VecDeque::new(),
            timers: BTreeSet::new(),
            transport_turn: 0,
            last_destination: 0,
            last_job: 0,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Puts new settings in force, for what is queued too. Costs a pass over the destinations.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        for transport in &mut self.transports {
            transport.settings = settings.transport(&transport.name).clone();
        }
        for destination in self.destinations.values_mut() {
            destination.window.cap(&self.transports[destination.transport].settings.window());
        }
        self.settings = settings;
        let ids: Vec<DestinationId> = self.destinations.keys().copied().collect();
        for id in ids {
            self.offer(id);
        }
    }

    /// A new message, to be tried at once. Nothing happens if it is known already.
    pub fn arrived(&mut self, key: K) {
        if !self.active.contains_key(&key) {
            self.waiting.fresh(key);
        }
    }

    /// A message that is to be tried at `due`. Nothing happens if it is active.
    pub fn wait(&mut self, key: K, due: Timestamp) {
        if !self.active.contains_key(&key) {
            self.waiting.deferred(key, due);
        }
    }

    /// A message left the queue by other hands. Jobs that run go on; when they are done it is `finished`.
    /// Gives whether it is active.
    pub fn remove(&mut self, key: K) -> bool {
        self.waiting.remove(key);
        match self.active.get_mut(&key) {
            Some(message) => {
                message.removed = true;
                true
            }
            None => false,
        }
    }

    /// Whether a message is active.
    pub fn is_active(&self, key: K) -> bool {
        self.active.contains_key(&key)
    }

    /// All that waits is due, and what is dead is tried once more. Costs a pass over what waits.
    pub fn flush_all(&mut self) {
        self.waiting.flush_all();
        for t in 0..self.transports.len() {
            self.revive_transport(t);
        }
        let ids: Vec<DestinationId> = self.destinations.keys().copied().collect();
        for id in ids {
            self.revive_destination(id);
        }
    }

    /// One message is due now; false if it does not wait.
    pub fn flush_one(&mut self, key: K) -> bool {
        self.waiting.flush_one(key)
    }

    /// The next message to become active, while there is room. It must come back by `activate`, or by
    /// `wait` or `remove` where it cannot be read.
    pub fn pull(&mut self, now: Timestamp) -> Option<Pulled<K>> {
        let room = self.active.len() < self.settings.active_limit
            && self.active_recipients < self.settings.recipient_limit;
        if room { self.waiting.pull(now) } else { None }
    }

    /// Puts the recipients of a pulled message into the lists of their destinations.
    ///
    /// `routes` come sorted by transport and queue; neighbours share a job up to the recipient limit.
    pub fn activate(
        &mut self,
        message: Pulled<K>,
        routes: &[Route],
        alone: bool,
        now: Timestamp,
    ) -> Activated {
        let key = message.key;
        let groups: Vec<(usize, &[Route])> = routes
            .chunk_by(|a, b| a.transport == b.transport && a.queue == b.queue)
            .map(|group| (self.transport(&group[0].transport), group))
            .collect();
        if !message.flushed && !alone && self.park(key, &groups) {
            return Activated::Parked;
        }
        let mut pending = 0;
        let mut at: Option<(usize, Place)> = None;
        for (transport, group) in groups {
            let place = match at {
                Some((same, place)) if same == transport => place,
                _ => self.transports[transport].line.come(),
            };
            at = Some((transport, place));
            let limit = self.transports[transport].settings.recipient_limit;
            let size = match limit {
                _ if message.single => 1,
                0 => group.len(),
                limit => limit,
            };
            for chunk in group.chunks(size.max(1)) {
                pending += 1;
                let entry = Entry { key, recipients: chunk.iter().map(|r| r.index).collect() };
                let at = Arrival { place, flushed: message.flushed, alone, now };
                self.enqueue(transport, &chunk[0], entry, at);
            }
        }
        self.active_recipients += routes.len();
        self.active.insert(key, Message { pending, recipients: routes.len(), alone, removed: false });
        if pending == 0 {
            self.finish(key);
        }
        Activated::Active
    }

    /// The next message of which nothing waits or runs any more; it is no longer active, and the caller
    /// says by `wait` whether it is tried again.
    pub fn finished(&mut self) -> Option<K> {
        self.finished.pop_front()
    }

    /// When `advance` has something to do; messages that could be pulled at once do not count.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|&(at, _)| at);
        match (timer, self.waiting.next_due()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets time pass: dead destinations and transports are tried again, rate delays end.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Destination(id) => {
                    self.unpause(id);
                    self.revive_destination(id);
                }
                Timer::Transport(t) => self.revive_transport(t),
                Timer::TransportPause(t) => self.transports[t].paused = false,
            }
        }
    }

    /// How much waits and runs.
    pub fn counts(&self) -> Counts {
        Counts {
            waiting: self.waiting.len(),
            deferred: self.waiting.len_deferred(),
            active: self.active.len(),
            running: self.running.len(),
            destinations: self.destinations.len(),
        }
    }

    fn transport(&mut self, name: &Arc<str>) -> usize {
        if let Some(&t) = self.transport_by_name.get(name) {
            return t;
        }
        // Transports come from master.cf and are never forgotten, so an index stays valid.
        self.transports.push(Transport {
            name: name.clone(),
            settings: self.settings.transport(name).clone(),
            busy: 0,
            line: Line::new(),
            dead: None,
            paused: false,
        });
        self.transport_by_name.insert(name.clone(), self.transports.len() - 1);
        self.transports.len() - 1
    }

    /// Parks a message all of whose destinations hold more of the active queue than is free.
    fn park(&mut self, key: K, groups: &[(usize, &[Route])]) -> bool {
        let mut first = None;
        for (transport, group) in groups {
            let Some(&id) = self.destination_by_name.get(&(*transport, group[0].queue.clone())) else {
                return false;
            };
            let destination = &self.destinations[&id];
            if matches!(destination.health, Health::Dead { .. }) || !self.over_share(destination) {
                return false;
            }
            first.get_or_insert(id);
        }
        let Some(destination) = first.and_then(|id| self.destinations.get_mut(&id)) else { return false };
        destination.parked.push_back(key);
        self.waiting.parked(key);
        true
    }

    /// One destination may hold as much as is still free: so any number of them leave room for others.
    fn over_share(&self, destination: &Destination<K>) -> bool {
        let free = self.settings.active_limit.saturating_sub(self.active.len());
        let free_recipients = self.settings.recipient_limit.saturating_sub(self.active_recipients);
        destination.queued() > 0
            && (destination.queued() > free || destination.queued_recipients > free_recipients)
    }

    fn enqueue(&mut self, transport: usize, route: &Route, entry: Entry<K>, at: Arrival) {
        if at.alone {
            return self.alone.push_back((entry, transport, route.nexthop.clone()));
        }
        if at.flushed {
            self.revive_transport(transport);
        }
        if let Some((_, failure)) = &self.transports[transport].dead {
            return self.suspended.push_back((entry, transport, route.nexthop.clone(), failure.clone()));
        }
        if at.flushed
            && let Some(&id) = self.destination_by_name.get(&(transport, route.queue.clone()))
        {
            self.revive_destination(id);
        }
        let id = self.destination(transport, route);
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if let Health::Dead { failure, .. } = &destination.health {
            let failure = failure.clone();
            return self.suspended.push_back((entry, transport, route.nexthop.clone(), failure));
        }
        destination.push(at.place, entry.recipients);
        let line = &mut self.transports[transport].line;
        line.tasks.entry(at.place).or_insert_with(|| Task::new(entry.key, at.now)).add(id);
        self.offer(id);
        self.note_clog(id, at.now);
    }

    fn destination(&mut self, transport: usize, route: &Route) -> DestinationId {
        let name = (transport, route.queue.clone());
        if let Some(&id) = self.destination_by_name.get(&name) {
            return id;
        }
        self.last_destination += 1;
        let id = DestinationId(self.last_destination);
        let window = Window::new(&self.transports[transport].settings.window());
        let destination = Destination::new(transport, route.queue.clone(), route.nexthop.clone(), window);
        self.destinations.insert(id, destination);
        self.destination_by_name.insert(name, id);
        id
    }

    /// Brings a destination's place among those that could take work up to date. To be called whenever what waits for it,
    /// its window or its health changed.
    fn offer(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let line = &mut self.transports[destination.transport].line;
        let place = if destination.open() { destination.first() } else { None };
        if destination.listed != place {
            if let Some(old) = std::mem::replace(&mut destination.listed, place) {
                line.ready.remove(&(old, id));
            }
            if let Some(new) = place {
                line.ready.insert((new, id));
            }
        }
        if place.is_some() && !std::mem::replace(&mut destination.in_ring, true) {
            line.ring.push_back(id);
        }
    }

    fn finish(&mut self, key: K) {
        if let Some(message) = self.active.remove(&key) {
            self.active_recipients -= message.recipients;
        }
        self.finished.push_back(key);
    }
}
