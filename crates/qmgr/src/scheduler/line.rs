//! A transport's line: the messages that have work for it, in the order in which they are served.
//!
//! Postfix calls a message's part of a transport's work a job. Here a job is one delivery, and the part is a [`Task`].

use super::DestinationId;
use mail::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often one message may be let pass before another that was let pass itself. A message must be several times
/// smaller than the one that it passes, so with the default slots a fifth level needs 47,000 requests; at the bound a
/// message waits for its turn.
const LEVELS: usize = 5;

/// Candidates that one search keeps: so many messages pass until the line is searched again within a second.
pub const CANDIDATES: usize = 64;

/// Marks the levels of a place that are not used; sorts a message behind all that were let pass before it.
const UNUSED: u32 = u32::MAX;

/// Where a message stands in a line: places compare as they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    arrival: u64,
    path: [u32; LEVELS],
}

impl Place {
    /// The place of the message that came as the `arrival`th.
    pub fn at_the_end(arrival: u64) -> Self {
        Place { arrival, path: [UNUSED; LEVELS] }
    }

    /// The place right before this one, behind the `number - 1` that were put there earlier; `None` at the bound.
    pub fn before(self, number: u32) -> Option<Place> {
        let level = self.level();
        let mut place = self;
        *place.path.get_mut(level)? = number;
        Some(place)
    }

    /// The first place that could be before this one and behind all others.
    fn first_before(self) -> Place {
        let mut place = self;
        place.path[self.level()..].fill(0);
        place
    }

    fn level(self) -> usize {
        self.path.iter().take_while(|&&number| number != UNUSED).count()
    }
}

/// What of one message waits at one transport, and the slots with which others may pass it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task<K> {
    /// The message.
    pub key: K,
    /// Where its delivery requests wait or waited.
    pub destinations: Vec<DestinationId>,
    /// Its delivery requests, and how many of them still wait.
    pub entries: usize,
    pub left: usize,
    /// Earned by each request that was served, spent on those who pass.
    pub slots: i64,
    /// Requests served since it passed, less what it paid for.
    pub used: i64,
    /// Whom it passed, and how many passed it that are still there.
    pub parent: Option<Place>,
    pub children: u32,
    pub last_child: u32,
    /// When it became active.
    pub since: Timestamp,
    /// Which of its destinations was served last.
    pub turn: Option<DestinationId>,
}

impl<K> Task<K> {
    pub fn new(key: K, since: Timestamp) -> Self {
        Task {
            key,
            destinations: Vec::new(),
            entries: 0,
            left: 0,
            slots: 0,
            used: 0,
            parent: None,
            children: 0,
            last_child: 0,
            since,
            turn: None,
        }
    }

    /// One more request; those of one destination come one after the other.
    pub fn add(&mut self, destination: DestinationId) {
        if self.destinations.last() != Some(&destination) {
            self.destinations.push(destination);
        }
        self.entries += 1;
        self.left += 1;
    }
}

/// Smaller messages that may pass, as they were found last.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// For whom and in which second.
    pub of: Option<(Place, i64)>,
    /// The best first.
    pub best: VecDeque<Place>,
    /// One of them passed, which pays for another search.
    pub used: bool,
}

/// The messages of one transport and the destinations that could take work of theirs.
#[derive(Debug)]
pub struct Line<K> {
    pub tasks: BTreeMap<Place, Task<K>>,
    /// Destinations that could take work, with the place of the message that is first there.
    pub ready: BTreeSet<(Place, DestinationId)>,
    /// The same destinations, the one that waits longest for its turn first; some may be ready no more.
    pub ring: VecDeque<DestinationId>,
    /// Whether the ring says who is next, or the line.
    pub ring_next: bool,
    pub candidates: Candidates,
    last: u64,
}

impl<K> Line<K> {
    pub fn new() -> Self {
        Line {
            tasks: BTreeMap::new(),
            ready: BTreeSet::new(),
            ring: VecDeque::new(),
            ring_next: false,
            candidates: Candidates::default(),
            last: 0,
        }
    }

    /// A place behind all others, for a message that may pass as soon as it is there.
    pub fn come(&mut self) -> Place {
        self.last += 1;
        let place = Place::at_the_end(self.last);
        if self.candidates.of.is_some() && self.candidates.best.len() < CANDIDATES {
            self.candidates.best.push_back(place);
        }
        place
    }

    /// The destination that the first message in line is to have its next request at: its own take turns.
    pub fn first(&self) -> Option<(Place, DestinationId)> {
        let &(place, first) = self.ready.first()?;
        let last = self.tasks.get(&place).and_then(|task| task.turn).unwrap_or(DestinationId(0));
        let next = DestinationId(last.0 + 1);
        let further = self.ready.range((place, next)..).next().filter(|(p, _)| *p == place);
        Some(*further.unwrap_or(&(place, first)))
    }

    /// One request of a message is served.
    pub fn served(&mut self, place: Place, destination: DestinationId, cost: i64) {
        if let Some(task) = self.tasks.get_mut(&place) {
            task.left -= 1;
            task.slots += 1;
            task.used += 1;
            task.turn = Some(destination);
            self.end_if_done(place, cost);
        }
    }

    /// One request of a message is not to be served.
    pub fn dropped(&mut self, place: Place, cost: i64) {
        if let Some(task) = self.tasks.get_mut(&place) {
            task.left -= 1;
            task.entries -= 1;
            self.end_if_done(place, cost);
        }
    }

    fn end_if_done(&mut self, place: Place, cost: i64) {
        if self.tasks.get(&place).is_none_or(|task| task.left > 0) {
            return;
        }
        let Some(task) = self.tasks.remove(&place) else { return };
        self.settle(&task, cost);
        if task.children == 0 {
            return;
        }
        let mut orphans = 0;
        for (_, child) in self.tasks.range_mut(place.first_before()..place) {
            if child.parent == Some(place) {
                child.parent = task.parent;
                orphans += 1;
            }
        }
        if let Some(parent) = task.parent.and_then(|p| self.tasks.get_mut(&p)) {
            parent.children += orphans;
        }
    }

    /// Gives back to the message that was passed what was paid and not used.
    fn settle(&mut self, task: &Task<K>, cost: i64) {
        if let Some(parent) = task.parent.and_then(|p| self.tasks.get_mut(&p)) {
            parent.slots -= task.used.saturating_mul(cost);
            parent.children -= 1;
        }
    }

    /// Lets the message at `from` pass the one at `current`, which pays `cost` slots for each of its requests. Gives its
    /// new place; `None` where the bound on levels forbids it.
    pub fn pass(&mut self, current: Place, from: Place, cost: i64) -> Option<Place> {
        let payer = self.tasks.get_mut(&current)?;
        let place = current.before(payer.last_child + 1)?;
        let mut task = self.tasks.remove(&from)?;
        self.settle(&task, cost);
        let left = i64::try_from(task.left).unwrap_or(i64::MAX);
        let payer = self.tasks.get_mut(&current)?;
        payer.last_child += 1;
        payer.children += 1;
        payer.slots -= left.saturating_mul(cost);
        task.used = -left;
        task.parent = Some(current);
        self.tasks.insert(place, task);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sizes: &[usize]) -> (Line<usize>, Vec<Place>) {
        let mut line = Line::new();
        let places = sizes
            .iter()
            .enumerate()
            .map(|(key, &size)| {
                let place = line.come();
                let mut task = Task::new(key, Timestamp::default());
                (0..size).for_each(|_| task.add(DestinationId(1)));
                line.tasks.insert(place, task);
                place
            })
            .collect();
        (line, places)
    }

    fn order(line: &Line<usize>) -> Vec<usize> {
        line.tasks.values().map(|task| task.key).collect()
    }

    #[test]
    fn who_passes_stands_right_before_whom_he_passed_and_behind_earlier_ones() {
        let (mut line, places) = line(&[1, 100, 30, 4, 1]);
        assert_eq!(order(&line), [0, 1, 2, 3, 4]);
        let second = line.pass(places[1], places[2], 5).unwrap();
        assert_eq!(order(&line), [0, 2, 1, 3, 4]);
        line.pass(second, places[3], 5).unwrap();
        assert_eq!(order(&line), [0, 3, 2, 1, 4]);
        line.pass(places[1], places[4], 5).unwrap();
        assert_eq!(order(&line), [0, 3, 2, 4, 1]);
    }

    #[test]
    fn slots_are_paid_and_what_was_not_used_is_given_back() {
        let (mut line, places) = line(&[100, 3]);
        for _ in 0..20 {
            line.served(places[0], DestinationId(1), 5);
        }
        let small = line.pass(places[0], places[1], 5).unwrap();
        assert_eq!(line.tasks[&places[0]].slots, 20 - 3 * 5);
        line.served(small, DestinationId(1), 5);
        line.dropped(small, 5);
        line.dropped(small, 5);
        assert_eq!((line.tasks[&places[0]].slots, line.tasks[&places[0]].children), (20 - 5, 0));
    }

    #[test]
    fn the_children_of_one_that_ended_are_its_parents() {
        let (mut line, places) = line(&[100, 2, 1]);
        let middle = line.pass(places[0], places[1], 5).unwrap();
        let small = line.pass(middle, places[2], 2).unwrap();
        line.dropped(middle, 5);
        line.dropped(middle, 5);
        assert_eq!(line.tasks[&small].parent, Some(places[0]));
        assert_eq!(line.tasks[&places[0]].children, 1);
        line.served(small, DestinationId(1), 5);
        assert_eq!(line.tasks[&places[0]].children, 0);
    }

    #[test]
    fn passing_has_a_bound() {
        let (mut line, places) = line(&[9; 8]);
        let mut current = places[0];
        for from in &places[1..=LEVELS] {
            current = line.pass(current, *from, 5).unwrap();
        }
        assert_eq!(line.pass(current, places[LEVELS + 1], 5), None);
        assert_eq!(line.tasks.len(), 8, "nobody got lost");
    }
}
