//! What the end of a job means for its destination and transport: windows, death, revival, parking.

use super::*;

impl<K: Copy + Eq + Hash + Ord> Scheduler<K> {
    /// A job ended.
    pub fn done(&mut self, now: Timestamp, job: JobId, ended: Ended) {
        let Some(running) = self.running.remove(&job) else { return };
        if running.alone {
            self.alone_running = false;
        }
        match (&ended, running.transport) {
            (Ended::Transport(failure), Some(t)) => self.transport_failed(t, failure.clone(), now),
            (Ended::Reached | Ended::Site(_), Some(t)) if self.transports[t].dead.is_some() => {
                self.revive_transport(t);
            }
            _ => {}
        }
        if let Some(id) = running.destination {
            self.destination_done(id, ended, now);
        }
        if let Some(t) = running.transport.filter(|_| running.destination.is_some()) {
            self.transports[t].busy -= 1;
        }
        self.entry_over(running.key);
    }

    pub(super) fn destination_done(&mut self, id: DestinationId, ended: Ended, now: Timestamp) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let settings = &self.transports[destination.transport].settings;
        let window = settings.window();
        match (ended, destination.health.clone()) {
            (Ended::Reached, Health::Dead { until, .. }) => {
                self.timers.remove(&(until, Timer::Destination(id)));
                destination.window = Window::revived(destination.busy, &window);
                destination.health = Health::Live;
                self.note_window(id, true, None);
            }
            (Ended::Reached, _) => {
                let step = destination.window.succeeded(destination.busy, &window);
                self.note_window(id, true, step);
            }
            (Ended::Site(failure), Health::Live | Health::Paused { .. }) => {
                let step = match destination.window.failed(&window) {
                    AfterFailure::Open(step) => Some(step),
                    AfterFailure::Dead => {
                        self.kill(id, failure, now);
                        None
                    }
                };
                self.note_window(id, false, step);
            }
            (Ended::Site(_), Health::Dead { .. }) | (Ended::Transport(_), _) => {}
        }
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        destination.busy -= 1;
        let delay = self.transports[destination.transport].settings.destination_rate_delay;
        if !delay.is_zero() && destination.health == Health::Live {
            let until = now.after(delay);
            destination.health = Health::Paused { until };
            self.timers.insert((until, Timer::Destination(id)));
        }
        self.unpark(id);
        self.offer(id);
        self.release(id);
    }

    /// A destination is dead for `minimal_backoff_time`; what waits for it is deferred without a try.
    pub(super) fn kill(&mut self, id: DestinationId, failure: SiteFailure, now: Timestamp) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if let Health::Paused { until } = destination.health {
            self.timers.remove(&(until, Timer::Destination(id)));
        }
        let until = now.after(self.settings.minimal_backoff);
        destination.health = Health::Dead { until, failure: failure.clone() };
        self.timers.insert((until, Timer::Destination(id)));
        let (transport, nexthop) = (destination.transport, destination.nexthop.clone());
        for entry in self.drain(id) {
            self.suspended.push_back((entry, transport, nexthop.clone(), failure.clone()));
        }
        self.unpark_all(id);
    }

    /// A transport is dead for `transport_retry_time`. Costs a pass over its destinations.
    pub(super) fn transport_failed(&mut self, t: usize, failure: SiteFailure, now: Timestamp) {
        if self.transports[t].dead.is_some() {
            return;
        }
        let failure = SiteFailure { dsn: Dsn { class: 4, ..failure.dsn }, ..failure };
        let until = now.after(self.settings.transport_retry);
        self.transports[t].dead = Some((until, failure.clone()));
        self.timers.insert((until, Timer::Transport(t)));
        let ids: Vec<DestinationId> =
            self.destinations.iter().filter(|(_, d)| d.transport == t).map(|(&id, _)| id).collect();
        for id in ids {
            let Some(destination) = self.destinations.get(&id) else { continue };
            let nexthop = destination.nexthop.clone();
            for entry in self.drain(id) {
                self.suspended.push_back((entry, t, nexthop.clone(), failure.clone()));
            }
            self.unpark_all(id);
        }
    }

    /// A dead transport is tried again: its time is over, or an order or a success came before that.
    pub(super) fn revive_transport(&mut self, t: usize) {
        if let Some((until, _)) = self.transports[t].dead.take() {
            self.timers.remove(&(until, Timer::Transport(t)));
        }
    }

    /// A dead destination is tried again.
    pub(super) fn revive_destination(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        if let Health::Dead { until, .. } = destination.health {
            self.timers.remove(&(until, Timer::Destination(id)));
            let window = self.transports[destination.transport].settings.window();
            destination.window = Window::revived(destination.busy, &window);
            destination.health = Health::Live;
        }
        self.offer(id);
        self.release(id);
    }

    /// A destination's rate delay is over.
    pub(super) fn unpause(&mut self, id: DestinationId) {
        if let Some(destination) = self.destinations.get_mut(&id)
            && matches!(destination.health, Health::Paused { .. })
        {
            destination.health = Health::Live;
        }
    }

    /// Forgets a destination that nothing waits for; a dead one is remembered, up to a bound.
    pub(super) fn release(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get(&id) else { return };
        // Postfix's bound on remembered dead destinations.
        let crowded = self.destinations.len() > self.settings.recipient_limit.saturating_mul(2);
        let keep = match destination.health {
            Health::Live => false,
            Health::Dead { .. } => !crowded,
            Health::Paused { .. } => true,
        };
        if keep || !destination.idle() {
            return;
        }
        if let Health::Dead { until, .. } = destination.health {
            self.timers.remove(&(until, Timer::Destination(id)));
        }
        let name = (destination.transport, destination.name.clone());
        self.destination_by_name.remove(&name);
        self.destinations.remove(&id);
    }

    /// Lets parked messages in once the destination holds little of the active queue.
    pub(super) fn unpark(&mut self, id: DestinationId) {
        /// So many at once: enough for the widest windows until the next turn, few enough to read in one.
        const BATCH: usize = 256;
        let free = self.settings.active_limit.saturating_sub(self.active.len());
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        let reading = self.waiting.resumes();
        if destination.queued() > 0 && (reading || destination.queued() > free / 4) {
            return;
        }
        let mut room =
            if reading { 1 } else { (free / 2).saturating_sub(destination.queued()).clamp(1, BATCH) };
        while room > 0
            && let Some(key) = destination.parked.pop_front()
        {
            room -= usize::from(self.waiting.resume(key));
        }
    }

    pub(super) fn unpark_all(&mut self, id: DestinationId) {
        let Some(destination) = self.destinations.get_mut(&id) else { return };
        for key in std::mem::take(&mut destination.parked) {
            self.waiting.resume(key);
        }
    }
}
