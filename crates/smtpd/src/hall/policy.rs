//! Who gets a session where not all can have one: pure.
//!
//! Load is shed in this order: strangers, then clients of mynetworks, then who has authenticated. Whoever is inside a
//! transaction is never ended.

use std::time::Instant;

/// How much a session counts; the lower goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Anybody.
    Stranger,
    /// A client of `mynetworks`.
    Mynetworks,
    /// A client that has logged in.
    Authenticated,
}

/// A session, as far as it matters whether it is to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sitting {
    /// How much it counts.
    pub rank: Rank,
    /// Since when it waits for a command of its client outside a transaction; nothing while it is busy.
    pub idle_since: Option<Instant>,
}

/// Which session ends so that a client of rank `newcomer` gets one: of those that count less and are idle, the one that
/// counts least; of equal ones the one idle longest.
pub fn makes_room(newcomer: Rank, sessions: impl IntoIterator<Item = Sitting>) -> Option<usize> {
    let idle = sessions.into_iter().enumerate().filter_map(|(at, sitting)| {
        let since = sitting.idle_since?;
        (sitting.rank < newcomer).then_some(((sitting.rank, since), at))
    });
    idle.min_by_key(|(order, _)| *order).map(|(_, at)| at)
}

/// What becomes of a client for whom there is no session now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It waits.
    Waits,
    /// It waits, and the waiting one at this place is turned away.
    Instead(usize),
    /// It is turned away.
    TurnedAway,
}

/// Where a client of rank `newcomer` comes to stand among those who wait, in the order in which they came: where all
/// places are taken, the last of those who count least goes, if it counts less than the newcomer.
pub fn place(newcomer: Rank, waiting: &[Rank], places: usize) -> Place {
    if waiting.len() < places {
        return Place::Waits;
    }
    let last_of_least = waiting.iter().enumerate().rev().min_by_key(|(_, rank)| **rank);
    match last_of_least {
        Some((at, rank)) if *rank < newcomer => Place::Instead(at),
        _ => Place::TurnedAway,
    }
}

/// Who of the waiting ones, in the order in which they came, gets the next session: of those who count most the first.
pub fn next(waiting: &[Rank]) -> Option<usize> {
    // The last of equal maxima is taken, so from the back.
    waiting.iter().enumerate().rev().max_by_key(|(_, rank)| **rank).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::Rank::{Authenticated, Mynetworks, Stranger};
    use super::*;
    use std::time::Duration;

    fn room(newcomer: Rank, sessions: &[(Rank, Option<u64>)]) -> Option<usize> {
        let now = Instant::now() + Duration::from_secs(1000);
        let sitting = |(rank, idle): &(Rank, Option<u64>)| Sitting {
            rank: *rank,
            idle_since: idle.map(|seconds| now - Duration::from_secs(seconds)),
        };
        makes_room(newcomer, sessions.iter().map(sitting))
    }

    #[test]
    fn for_a_client_of_mynetworks_the_stranger_goes_that_is_idle_longest() {
        let sessions = [
            (Stranger, Some(3)),
            (Mynetworks, Some(500)),
            (Stranger, Some(9)),
            (Stranger, None),
            (Authenticated, Some(800)),
            (Stranger, Some(5)),
        ];
        assert_eq!(room(Mynetworks, &sessions), Some(2));
        assert_eq!(room(Stranger, &sessions), None, "a stranger ends nobody");
    }

    #[test]
    fn nobody_goes_who_is_busy_or_counts_as_much() {
        assert_eq!(room(Mynetworks, &[(Stranger, None), (Stranger, None)]), None);
        assert_eq!(room(Mynetworks, &[(Mynetworks, Some(900)), (Authenticated, Some(900))]), None);
        assert_eq!(room(Authenticated, &[(Authenticated, Some(900))]), None);
    }

    #[test]
    fn strangers_go_before_mynetworks_however_short_they_are_idle() {
        assert_eq!(room(Authenticated, &[(Mynetworks, Some(900)), (Stranger, Some(1))]), Some(1));
        assert_eq!(room(Authenticated, &[(Mynetworks, Some(900)), (Stranger, None)]), Some(0));
    }

    #[test]
    fn who_counts_more_waits_in_place_of_the_last_who_counts_less() {
        assert_eq!(place(Stranger, &[Stranger], 2), Place::Waits);
        assert_eq!(place(Stranger, &[Stranger, Stranger], 2), Place::TurnedAway);
        assert_eq!(place(Mynetworks, &[Stranger, Stranger, Mynetworks], 3), Place::Instead(1));
        assert_eq!(place(Mynetworks, &[Mynetworks], 1), Place::TurnedAway);
        assert_eq!(place(Mynetworks, &[], 0), Place::TurnedAway);
    }

    #[test]
    fn the_next_session_is_for_the_first_of_those_who_count_most() {
        assert_eq!(next(&[Stranger, Mynetworks, Stranger, Mynetworks]), Some(1));
        assert_eq!(next(&[Stranger, Stranger]), Some(0));
        assert_eq!(next(&[]), None);
    }
}
