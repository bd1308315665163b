//! When a small message passes a large one.
//!
//! Postfix: `default_delivery_slot_cost`, `…_loan`, `…_discount`, `default_minimum_delivery_slots`. Each delivery request
//! that is served earns its message a slot; for each `cost` slots of the message whose turn it is, one request of a
//! smaller one behind it goes first. Loan and discount only move the decision forward, not the account.

use super::line::{CANDIDATES, Candidates, Place, Task};
use super::*;
use std::ops::Bound;

impl<K: Copy + Eq + Hash + Ord> Scheduler<K> {
    /// Lets the most deserving smaller message pass the one whose turn it is, if that one can afford it.
    ///
    /// Costs a pass over the line at most once a second, or once for each `CANDIDATES` that passed; only while the
    /// message whose turn it is has slots.
    pub(super) fn preempt(&mut self, t: usize, now: Timestamp) {
        let slots = self.transports[t].settings.slots;
        let line = &self.transports[t].line;
        let Some(&(current, _)) = line.ready.first() else { return };
        let Some(task) = line.tasks.get(&current) else { return };
        let preemptable = slots.cost >= 2
            && task.slots > 0
            && task.entries as u64 >= slots.minimum.saturating_mul(slots.cost);
        if !preemptable {
            return;
        }
        let cost = slots.cost_signed();
        let earned = task.slots / cost;
        let affordable = (i64::try_from(task.left).unwrap_or(i64::MAX).saturating_add(task.slots)) / cost;
        let Some((from, needed)) = self.candidate(t, current, affordable, now) else { return };
        let earned = u128::try_from(earned).unwrap_or(0) + u128::from(slots.loan);
        if earned * 100 < u128::from(needed) * u128::from(100 - slots.discount.min(100)) {
            return;
        }
        let line = &mut self.transports[t].line;
        let Some(place) = line.pass(current, from, cost) else { return };
        line.candidates.used = true;
        line.candidates.best.pop_front();
        for id in line.tasks[&place].destinations.clone() {
            if let Some(destination) = self.destinations.get_mut(&id) {
                destination.replace(from, place);
            }
            self.offer(id);
        }
    }

    /// Who may pass the message at `current`, with the number of its requests.
    fn candidate(
        &mut self,
        t: usize,
        current: Place,
        affordable: i64,
        now: Timestamp,
    ) -> Option<(Place, u64)> {
        let second = now.secs();
        let mut candidates = std::mem::take(&mut self.transports[t].line.candidates);
        let mut found = None;
        if candidates.of != Some((current, second)) {
            candidates = self.search(t, current, affordable, now);
        }
        loop {
            let line = &self.transports[t].line;
            let Some(&place) = candidates.best.front() else {
                if !candidates.used {
                    break;
                }
                candidates = self.search(t, current, affordable, now);
                continue;
            };
            found = line
                .tasks
                .get(&place)
                .filter(|task| self.may_pass(place, task, affordable))
                .map(|task| (place, task.left as u64));
            if found.is_some() {
                break;
            }
            candidates.best.pop_front();
        }
        self.transports[t].line.candidates = candidates;
        found
    }

    fn search(&self, t: usize, current: Place, affordable: i64, now: Timestamp) -> Candidates {
        let behind = (Bound::Excluded(current), Bound::Unbounded);
        let mut scored: Vec<(f64, Place)> = self.transports[t]
            .line
            .tasks
            .range(behind)
            .filter(|(place, task)| self.may_pass(**place, task, affordable))
            .map(|(place, task)| ((now.since(task.since).as_secs() + 1) as f64 / task.entries as f64, *place))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = scored.into_iter().take(CANDIDATES).map(|(_, place)| place).collect();
        Candidates { of: Some((current, now.secs())), best, used: false }
    }

    /// Whether a message is small enough, was not passed itself, and could be served at once.
    fn may_pass(&self, place: Place, task: &Task<K>, affordable: i64) -> bool {
        let small = task.left > 0 && i64::try_from(task.left).is_ok_and(|left| left <= affordable);
        small
            && task.children == 0
            && task
                .destinations
                .iter()
                .any(|id| self.destinations.get(id).is_some_and(|d| d.open() && d.has(place)))
    }
}
