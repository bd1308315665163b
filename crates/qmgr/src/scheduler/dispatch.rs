//! Which job is next: transports, lanes and destinations in turn, within all limits.

use super::*;

impl<K: Copy + Eq + Hash + Ord> Scheduler<K> {
    /// The next job, while limits allow. Call it until it gives `None`.
    pub fn next(&mut self, now: Timestamp) -> Option<Handout<K>> {
        while let Some((entry, transport, nexthop, failure)) = self.suspended.pop_front() {
            if self.dropped(&entry) {
                continue;
            }
            return Some(self.start(entry, transport, nexthop, None, Some(failure)));
        }
        if self.alone_running {
            return None;
        }
        while !self.alone.is_empty() {
            if !self.running.is_empty() {
                return None;
            }
            let (entry, transport, nexthop) = self.alone.pop_front()?;
            if self.dropped(&entry) {
                continue;
            }
            return Some(self.start(entry, transport, nexthop, None, None));
        }
        if self.running.len() >= self.settings.jobs_max {
            return None;
        }
        for step in 0..self.transports.len() {
            let transport = (self.transport_turn + step) % self.transports.len();
            if let Some((id, entry)) = self.take(transport) {
                self.transport_turn = transport + 1;
                self.pause(transport, now);
                let nexthop = self.destinations[&id].nexthop.clone();
                return Some(self.start(entry, transport, nexthop, Some(id), None));
            }
        }
        None
    }

    /// The next entry of a transport: lanes in turn, destinations in turn within a lane.
    pub(super) fn take(&mut self, t: usize) -> Option<(DestinationId, Entry<K>)> {
        let transport = &mut self.transports[t];
        let full = transport.settings.jobs_max.is_some_and(|max| transport.busy >= max);
        if full || transport.dead.is_some() || transport.paused {
            return None;
        }
        let lanes = if transport.bulk_next { [Lane::Bulk, Lane::Small] } else { [Lane::Small, Lane::Bulk] };
        for lane in lanes {
            if let Some(taken) = self.take_from(t, lane) {
                self.transports[t].bulk_next = lane == Lane::Small;
                return Some(taken);
            }
        }
        None
    }

    fn take_from(&mut self, t: usize, lane: Lane) -> Option<(DestinationId, Entry<K>)> {
        loop {
            let ring = match lane {
                Lane::Small => &mut self.transports[t].small,
                Lane::Bulk => &mut self.transports[t].bulk,
            };
            let id = ring.pop_front()?;
            let Some(destination) = self.destinations.get_mut(&id) else { continue };
            match lane {
                Lane::Small => destination.in_small_ring = false,
                Lane::Bulk => destination.in_bulk_ring = false,
            }
            let mut taken = None;
            while destination.open()
                && let Some(entry) = destination.pop(lane)
            {
                if self.active.get(&entry.key).is_some_and(|m| !m.removed) {
                    destination.busy += 1;
                    taken = Some(entry);
                    break;
                }
                // Gone from the queue. Each dropped entry was pushed once, so this stays O(1) an entry.
                entry_over(&mut self.active, &mut self.active_recipients, &mut self.finished, entry.key);
            }
            self.unpark(id);
            self.offer(id);
            if let Some(entry) = taken {
                return Some((id, entry));
            }
            self.release(id);
        }
    }

    fn start(
        &mut self,
        entry: Entry<K>,
        transport: usize,
        nexthop: Arc<str>,
        destination: Option<DestinationId>,
        suspended: Option<SiteFailure>,
    ) -> Handout<K> {
        self.last_job += 1;
        let job = JobId(self.last_job);
        let alone = suspended.is_none() && self.active.get(&entry.key).is_some_and(|m| m.alone);
        self.alone_running |= alone;
        if destination.is_some() {
            self.transports[transport].busy += 1;
        }
        let tried = suspended.is_none().then_some(transport);
        self.running.insert(job, Running { key: entry.key, destination, transport: tried, alone });
        Handout {
            job,
            key: entry.key,
            transport: self.transports[transport].name.clone(),
            nexthop,
            recipients: entry.recipients,
            suspended,
        }
    }

    /// Starts the delay that each delivery of a rate limited transport brings.
    pub(super) fn pause(&mut self, t: usize, now: Timestamp) {
        let delay = self.transports[t].settings.transport_rate_delay;
        if !delay.is_zero() {
            self.transports[t].paused = true;
            self.timers.insert((now.after(delay), Timer::TransportPause(t)));
        }
    }

    /// Whether an entry's message is gone; its entry is then over.
    fn dropped(&mut self, entry: &Entry<K>) -> bool {
        let gone = self.active.get(&entry.key).is_none_or(|m| m.removed);
        if gone {
            self.entry_over(entry.key);
        }
        gone
    }

    pub(super) fn entry_over(&mut self, key: K) {
        entry_over(&mut self.active, &mut self.active_recipients, &mut self.finished, key);
    }
}

/// One entry of a message needs nothing more.
fn entry_over<K: Copy + Eq + Hash>(
    active: &mut HashMap<K, Message>,
    active_recipients: &mut usize,
    finished: &mut VecDeque<K>,
    key: K,
) {
    let Some(message) = active.get_mut(&key) else { return };
    message.pending -= 1;
    if message.pending == 0 {
        *active_recipients -= message.recipients;
        active.remove(&key);
        finished.push_back(key);
    }
}
