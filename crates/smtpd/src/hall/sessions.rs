//! What the halls of a service have in common: each event loop has one.

use super::Rank;
use crate::stress::Stress;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The sessions of a service on all event loops; clones are the same.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Counts them.
    stress: Stress,
    waiting_max: usize,
    strangers: Line,
    /// Clients that count more.
    others: Line,
    /// One of these found nobody to make room on its event loop; somebody may on another.
    room_wanted: AtomicBool,
    ask_for_room: Notify,
}

/// Clients that wait for a session, on all event loops.
#[derive(Debug, Default)]
struct Line {
    waiting: AtomicUsize,
    /// A session ended where none of them waits.
    freed: Notify,
}

impl Sessions {
    /// None yet; up to `waiting_max` clients may wait for one, and each is a descriptor beyond those of the sessions.
    pub fn new(stress: Stress, waiting_max: usize) -> Self {
        Sessions(Arc::new(Inner {
            stress,
            waiting_max,
            strangers: Line::default(),
            others: Line::default(),
            room_wanted: AtomicBool::new(false),
            ask_for_room: Notify::new(),
        }))
    }

    /// Whether the service is under stress.
    pub fn stress(&self) -> &Stress {
        &self.0.stress
    }

    /// How many clients wait.
    pub fn waiting(&self) -> usize {
        [&self.0.strangers, &self.0.others].map(|line| line.waiting.load(Ordering::Relaxed)).iter().sum()
    }

    pub(super) fn waiting_max(&self) -> usize {
        self.0.waiting_max
    }

    /// How many more may wait.
    pub(super) fn places_left(&self) -> usize {
        self.0.waiting_max.saturating_sub(self.waiting())
    }

    /// Whether anybody waits who counts more than `rank`; nothing is less than a stranger.
    pub(super) fn waits_above(&self, rank: Option<Rank>) -> bool {
        let lines = match rank {
            None => &[&self.0.strangers, &self.0.others][..],
            Some(Rank::Stranger) => &[&self.0.others],
            Some(_) => &[],
        };
        lines.iter().any(|line| line.waiting.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn begins_to_wait(&self, rank: Rank) {
        self.line(rank).waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waits_no_more(&self, rank: Rank) {
        self.line(rank).waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells one of those who count most and wait, wherever they are, that there is a session.
    pub(super) fn free(&self) {
        let lines = [&self.0.others, &self.0.strangers];
        if let Some(line) = lines.iter().find(|line| line.waiting.load(Ordering::Relaxed) > 0) {
            line.freed.notify_one();
        }
    }

    /// Returns when a session may have become free elsewhere.
    pub(crate) async fn freed(&self, rank: Rank) {
        self.line(rank).freed.notified().await;
    }

    /// Asks the other event loops for a session that makes room.
    pub(super) fn ask_for_room(&self) {
        self.0.room_wanted.store(true, Ordering::Relaxed);
        self.0.ask_for_room.notify_waiters();
    }

    /// Returns when another event loop asks for room.
    pub(super) async fn asked_for_room(&self) {
        self.0.ask_for_room.notified().await;
    }

    /// Whether room is still wanted; from now on it is not.
    pub(super) fn take_wish(&self) -> bool {
        self.0.room_wanted.swap(false, Ordering::Relaxed)
    }

    fn line(&self, rank: Rank) -> &Line {
        if rank == Rank::Stranger { &self.0.strangers } else { &self.0.others }
    }
}
