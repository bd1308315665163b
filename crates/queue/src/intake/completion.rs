//! How a session learns what became of its message: one wake for each event loop and group.
//!
//! A wake from another thread costs a system call, so the commit thread gives all answers for an event loop into one
//! list and wakes one of the sessions that wait there. Whoever is polled first takes the list and wakes the others,
//! which on their own loop costs nothing. A session that goes away while it is the one to be woken names another.

use super::{CommitError, Committed, lock};
use crate::committer::Answered;
use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

type Answer = Result<Committed, CommitError>;

/// Where an answer goes.
pub(crate) enum Back {
    /// To a session on an event loop.
    Loop(Arc<LoopShared>, usize),
    /// To a thread that waits.
    Thread(Arc<(Mutex<Option<Answer>>, Condvar)>),
    /// The caller of the core sees to it.
    Nobody,
}

impl Back {
    /// Gives one answer.
    pub(crate) fn answer(self, answer: Answer) {
        match self {
            Back::Loop(shared, slot) => {
                let mut state = lock(&shared.state);
                state.answers.push((slot, answer));
                let waker = state.elected.take();
                drop(state);
                wake(waker);
            }
            Back::Thread(slot) => {
                *lock(&slot.0) = Some(answer);
                slot.1.notify_one();
            }
            Back::Nobody => {}
        }
    }
}

/// Gives the answers of a group, with one wake for each loop.
pub(crate) fn answer_all(group: Vec<Answered>) {
    let mut loops: Vec<Arc<LoopShared>> = Vec::new();
    for (waiting, answer) in group {
        match waiting.back {
            Back::Loop(shared, slot) => {
                lock(&shared.state).answers.push((slot, answer));
                if !loops.iter().any(|known| Arc::ptr_eq(known, &shared)) {
                    loops.push(shared);
                }
            }
            other => other.answer(answer),
        }
    }
    for shared in loops {
        let elected = lock(&shared.state).elected.take();
        wake(elected);
    }
}

fn wake(elected: Option<(usize, Waker)>) {
    if let Some((_, waker)) = elected {
        waker.wake();
    }
}

/// What an event loop and the commit thread share.
#[derive(Default)]
pub(crate) struct LoopShared {
    state: Mutex<LoopState>,
}

#[derive(Default)]
struct LoopState {
    answers: Vec<(usize, Answer)>,
    /// The session that is woken when answers come.
    elected: Option<(usize, Waker)>,
}

/// The sessions of an event loop that wait.
#[derive(Default)]
struct Loop {
    shared: Arc<LoopShared>,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The list that is swapped against the commit thread's, so that neither is allocated again.
    taken: Vec<(usize, Answer)>,
}

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    answer: Option<Answer>,
    abandoned: bool,
}

thread_local! {
    static LOOP: Rc<Loop> = Rc::default();
}

/// Resolves when the message is on stable storage, or will never be.
pub struct CommitFuture {
    on: Rc<Loop>,
    slot: Option<usize>,
    _loop_local: PhantomData<Rc<()>>,
}

impl CommitFuture {
    /// A future of this thread's event loop, and where its answer goes.
    pub(crate) fn new() -> (Self, Back) {
        let on = LOOP.with(Rc::clone);
        let slot = on.slots.borrow_mut().take_slot();
        let back = Back::Loop(on.shared.clone(), slot);
        (CommitFuture { on, slot: Some(slot), _loop_local: PhantomData }, back)
    }
}

impl Future for CommitFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(slot) = self.slot else {
            return Poll::Ready(Err(CommitError::Io("asked again for an answer that was given".into())));
        };
        self.on.collect(Some(slot));
        let mut slots = self.on.slots.borrow_mut();
        if let Some(answer) = slots.slots[slot].answer.take() {
            slots.give_back(slot);
            drop(slots);
            self.slot = None;
            self.on.elect_another(slot);
            return Poll::Ready(answer);
        }
        let waker = &mut slots.slots[slot].waker;
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        let mut state = lock(&self.on.shared.state);
        // An answer that came since we looked finds nobody to wake: look again.
        if !state.answers.is_empty() {
            cx.waker().wake_by_ref();
        }
        if state.elected.as_ref().is_none_or(|(elected, _)| *elected == slot) {
            state.elected = Some((slot, cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for CommitFuture {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        self.on.collect(Some(slot));
        let mut slots = self.on.slots.borrow_mut();
        if slots.slots[slot].answer.take().is_some() {
            slots.give_back(slot);
        } else {
            slots.slots[slot].abandoned = true;
            slots.slots[slot].waker = None;
        }
        drop(slots);
        self.on.elect_another(slot);
    }
}

impl Loop {
    /// Takes the answers that came and wakes those who wait for them, except the caller.
    fn collect(&self, caller: Option<usize>) {
        let mut slots = self.slots.borrow_mut();
        let mut taken = std::mem::take(&mut slots.taken);
        std::mem::swap(&mut taken, &mut lock(&self.shared.state).answers);
        let mut wakers = Vec::new();
        for (n, answer) in taken.drain(..) {
            let slot = &mut slots.slots[n];
            if slot.abandoned {
                slots.give_back(n);
                continue;
            }
            slot.answer = Some(answer);
            if caller != Some(n) {
                wakers.extend(slot.waker.take());
            }
        }
        slots.taken = taken;
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sees to it that someone is woken for those who still wait, now that `gone` does not.
    fn elect_another(&self, gone: usize) {
        let mut state = lock(&self.shared.state);
        if state.elected.as_ref().is_some_and(|(elected, _)| *elected != gone) {
            return;
        }
        let slots = self.slots.borrow();
        let waits = |(n, slot): (usize, &Slot)| {
            let waker = slot.waker.as_ref().filter(|_| slot.answer.is_none() && !slot.abandoned)?;
            Some((n, waker.clone()))
        };
        state.elected = slots.slots.iter().enumerate().find_map(waits);
        // An answer that came in the meantime found nobody to wake.
        let missed = (!state.answers.is_empty()).then(|| state.elected.take());
        drop((slots, state));
        wake(missed.flatten());
    }
}

impl Slots {
    fn take_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }

    fn give_back(&mut self, slot: usize) {
        self.slots[slot] = Slot::default();
        self.free.push(slot);
    }
}
