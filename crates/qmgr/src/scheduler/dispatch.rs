//! Which job is next: transports in turn, and within one its line and its destinations, within all limits.

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
            if let Some((id, entry)) = self.take(transport, now) {
                self.transport_turn = transport + 1;
                self.pause(transport, now);
                let nexthop = self.destinations[&id].nexthop.clone();
                return Some(self.start(entry, transport, nexthop, Some(id), None));
            }
        }
        None
    }

    /// The next entry of a transport.
    fn take(&mut self, t: usize, now: Timestamp) -> Option<(DestinationId, Entry<K>)> {
        let transport = &self.transports[t];
        let full = transport.settings.jobs_max.is_some_and(|max| transport.busy >= max);
        if full || transport.dead.is_some() || transport.paused {
            return None;
        }
        self.preempt(t, now);
        loop {
            let id = self.next_destination(t)?;
            if let Some(entry) = self.take_from(t, id) {
                return Some((id, entry));
            }
        }
    }

    /// Whose turn it is: alternately the first message in line, and the destination that waits longest. The line alone
    /// would let a few slow destinations with old mail have all jobs.
    fn next_destination(&mut self, t: usize) -> Option<DestinationId> {
        let line = &mut self.transports[t].line;
        let by_ring = line.ring_next;
        line.ring_next = !by_ring;
        while by_ring && let Some(id) = line.ring.pop_front() {
            if let Some(destination) = self.destinations.get_mut(&id) {
                destination.in_ring = false;
                if destination.listed.is_some() {
                    return Some(id);
                }
            }
        }
        line.first().map(|(_, id)| id)
    }

    fn take_from(&mut self, t: usize, id: DestinationId) -> Option<Entry<K>> {
        let mut taken = None;
        while let Some(destination) = self.destinations.get_mut(&id)
            && destination.open()
            && let Some((place, recipients)) = destination.pop()
        {
            let cost = self.transports[t].settings.slots.cost_signed();
            let line = &mut self.transports[t].line;
            let Some(key) = line.tasks.get(&place).map(|task| task.key) else { continue };
            if self.active.get(&key).is_some_and(|m| !m.removed) {
                destination.busy += 1;
                line.served(place, id, cost);
                taken = Some(Entry { key, recipients });
                break;
            }
            // Gone from the queue. Each dropped entry was pushed once, so this stays cheap.
            line.dropped(place, cost);
            self.entry_over(key);
        }
        self.unpark(id);
        self.offer(id);
        if taken.is_none() {
            self.release(id);
        }
        taken
    }

    /// Takes everything that waits for a destination.
    pub(super) fn drain(&mut self, id: DestinationId) -> Vec<Entry<K>> {
        let mut entries = Vec::new();
        while let Some(destination) = self.destinations.get_mut(&id)
            && let Some((place, recipients)) = destination.pop()
        {
            let transport = &mut self.transports[destination.transport];
            let cost = transport.settings.slots.cost_signed();
            if let Some(key) = transport.line.tasks.get(&place).map(|task| task.key) {
                transport.line.dropped(place, cost);
                entries.push(Entry { key, recipients });
            }
        }
        self.offer(id);
        entries
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
