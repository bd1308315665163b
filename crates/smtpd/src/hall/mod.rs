//! The sessions of a service on one event loop, and who waits for one there.
//!
//! Sessions are bounded; who comes beyond that is accepted all the same, up to a number, so that a client of
//! mynetworks is seen behind strangers. [`policy`] says who goes first.

mod policy;
mod sessions;

pub use policy::{Rank, Sitting, makes_room};
pub use sessions::Sessions;

use crate::anvil::Network;
use crate::serve::{Open, Shared};
use crate::stress;
use policy::Place;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::{Notify, oneshot};

/// Strangers of one network have at most this part of the places to wait: one of them alone cannot take all.
const PART_OF_ONE: usize = 4;

/// The sessions of a service on one event loop.
pub(crate) struct Hall {
    shared: Rc<Shared>,
    sessions: Sessions,
    occupants: RefCell<Vec<Rc<Occupant>>>,
    waiting: RefCell<Vec<Waiting>>,
    tickets: Cell<u64>,
}

/// A session's right to be there; dropping it gives it to whom it is due next.
pub(crate) struct Seat {
    hall: Rc<Hall>,
    occupant: Rc<Occupant>,
    counted: Option<(stress::Counted, Open)>,
}

/// What is known of a session while others may need its seat.
pub(crate) struct Occupant {
    /// Its place among the occupants.
    at: Cell<usize>,
    rank: Cell<Rank>,
    idle_since: Cell<Option<Instant>>,
    /// It was asked to leave, and has not answered yet.
    asked: Cell<bool>,
    leave: Notify,
}

struct Waiting {
    ticket: u64,
    rank: Rank,
    network: Network,
    call: oneshot::Sender<Call>,
}

/// What a waiting client hears.
pub(crate) enum Call {
    /// Its session may begin.
    Seat(Seat),
    /// Somebody who counts more waits in its place.
    TurnedAway,
}

/// A client that waits; dropping it takes it off the list.
pub(crate) struct Waiter {
    hall: Rc<Hall>,
    ticket: u64,
    /// Comes once.
    pub(crate) call: oneshot::Receiver<Call>,
}

impl Hall {
    pub(crate) fn new(shared: Rc<Shared>, sessions: Sessions) -> Self {
        let (occupants, waiting, tickets) = (RefCell::default(), RefCell::default(), Cell::new(0));
        Hall { shared, sessions, occupants, waiting, tickets }
    }

    /// A seat, if one is free.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Seat> {
        let counted = (self.sessions.stress().try_count()?, Open::new(Rc::clone(&self.shared)));
        let mut occupants = self.occupants.borrow_mut();
        let occupant = Rc::new(Occupant {
            at: Cell::new(occupants.len()),
            rank: Cell::new(Rank::Stranger),
            idle_since: Cell::new(None),
            asked: Cell::new(false),
            leave: Notify::new(),
        });
        occupants.push(Rc::clone(&occupant));
        Some(Seat { hall: Rc::clone(self), occupant, counted: Some(counted) })
    }

    /// A seat, if one is free and nobody waits for it.
    pub(crate) fn take_at_once(self: &Rc<Self>) -> Option<Seat> {
        if self.sessions.waits_above(None) { None } else { self.take() }
    }

    /// Lets a client wait for a seat; nothing where it has to be turned away.
    pub(crate) fn join(self: &Rc<Self>, rank: Rank, network: Network) -> Option<Waiter> {
        let ranks: Vec<Rank> = self.waiting.borrow().iter().map(|w| w.rank).collect();
        let of_one = self.waiting.borrow().iter().filter(|w| w.network == network).count();
        if rank == Rank::Stranger && of_one >= self.sessions.waiting_max() / PART_OF_ONE {
            return None;
        }
        match policy::place(rank, &ranks, ranks.len() + self.sessions.places_left()) {
            Place::Waits => {}
            Place::Instead(at) => {
                let gone = self.leaves(at);
                // It may have hung up just now.
                let _ = gone.call.send(Call::TurnedAway);
            }
            Place::TurnedAway => return None,
        }
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        let (call, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting { ticket, rank, network, call });
        self.sessions.begins_to_wait(rank);
        Some(Waiter { hall: Rc::clone(self), ticket, call: receiver })
    }

    /// Asks as many sessions to leave as clients wait that count more; where there are too few here, elsewhere.
    pub(crate) fn make_room(&self) {
        let mut ranks: Vec<Rank> = self.waiting.borrow().iter().map(|w| w.rank).collect();
        ranks.sort_unstable_by(|a, b| b.cmp(a));
        let occupants = self.occupants.borrow();
        let asked = occupants.iter().filter(|o| o.asked.get()).count();
        for rank in ranks.into_iter().skip(asked) {
            let Some(at) = makes_room(rank, occupants.iter().map(|o| o.sitting())) else {
                if rank > Rank::Stranger {
                    self.sessions.ask_for_room();
                }
                return;
            };
            occupants[at].ask();
        }
    }

    /// Makes room for clients of mynetworks that wait on other event loops, until dropped.
    pub(crate) async fn oblige(&self) {
        loop {
            self.sessions.asked_for_room().await;
            let occupants = self.occupants.borrow();
            let idle = makes_room(Rank::Mynetworks, occupants.iter().map(|o| o.sitting()));
            if let Some(at) = idle.filter(|_| self.sessions.take_wish()) {
                occupants[at].ask();
            }
        }
    }

    /// Gives a free seat to who is next, here or on another event loop.
    pub(crate) fn pass_on(self: &Rc<Self>) {
        let ranks: Vec<Rank> = self.waiting.borrow().iter().map(|w| w.rank).collect();
        let next = policy::next(&ranks);
        match next.filter(|&at| !self.sessions.waits_above(Some(ranks[at]))) {
            None => self.sessions.free(),
            Some(at) => {
                if let Some(seat) = self.take() {
                    // A seat that cannot be given is dropped, which passes it on.
                    let _ = self.leaves(at).call.send(Call::Seat(seat));
                }
            }
        }
    }

    /// Takes a client off the list.
    fn leaves(&self, at: usize) -> Waiting {
        let gone = self.waiting.borrow_mut().remove(at);
        self.sessions.waits_no_more(gone.rank);
        gone
    }
}

impl Seat {
    pub(crate) fn occupant(&self) -> Rc<Occupant> {
        Rc::clone(&self.occupant)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut occupants = self.hall.occupants.borrow_mut();
        let at = self.occupant.at.get();
        occupants.swap_remove(at);
        if let Some(moved) = occupants.get(at) {
            moved.at.set(at);
        }
        drop(occupants);
        // Free before somebody is told so.
        drop(self.counted.take());
        self.hall.pass_on();
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let at = self.hall.waiting.borrow().iter().position(|w| w.ticket == self.ticket);
        if let Some(at) = at {
            self.hall.leaves(at);
        }
    }
}

impl Occupant {
    /// Who it is is known now, or has changed.
    pub(crate) fn set_rank(&self, rank: Rank) {
        self.rank.set(rank);
    }

    /// It waits for its client outside a transaction: from now on it may be asked to leave.
    pub(crate) fn rests(&self) {
        self.idle_since.set(Some(Instant::now()));
    }

    /// Its client said something, or is gone: who asked it to leave has to look for another.
    pub(crate) fn works(&self) {
        self.idle_since.set(None);
        self.asked.set(false);
    }

    fn ask(&self) {
        self.asked.set(true);
        self.leave.notify_waiters();
    }

    /// Returns when it is asked to leave.
    pub(crate) async fn asked(&self) {
        self.leave.notified().await;
    }

    fn sitting(&self) -> Sitting {
        let idle_since = self.idle_since.get().filter(|_| !self.asked.get());
        Sitting { rank: self.rank.get(), idle_since }
    }
}
