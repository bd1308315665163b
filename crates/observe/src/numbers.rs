//! The numbers in brackets: one per open session or delivery, never shared by two that are open at once.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which numbers a process may hand out, so that two processes of an instance never use the same.
///
/// All lie above Linux's largest process id (2^22), so that none is taken for a command's or Postfix's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumbersRange {
    first: u32,
}

/// How many numbers a process has: more than the descriptors it could open.
const RANGE_SIZE: u32 = 1_000_000;

/// Above PID_MAX_LIMIT of Linux.
const RANGES_START: u32 = 5_000_000;

/// A number rests while this many others are used, so that a reader of the log does not confuse two sessions.
const REST: usize = 1000;

impl NumbersRange {
    /// The range of the process in `slot`; master gives each running role its own, 0 to 4000.
    pub const fn of_slot(slot: u16) -> Self {
        let slot = if slot > 4000 { 4000 } else { slot };
        NumbersRange { first: RANGES_START + slot as u32 * RANGE_SIZE }
    }
}

/// Hands out numbers.
#[derive(Clone, Debug)]
pub struct Numbers(Arc<Mutex<Pool>>);

#[derive(Debug)]
struct Pool {
    next: u32,
    end: u32,
    free: VecDeque<u32>,
}

impl Numbers {
    /// All numbers of a range.
    pub fn new(range: NumbersRange) -> Self {
        let end = range.first + RANGE_SIZE;
        Numbers(Arc::new(Mutex::new(Pool { next: range.first, end, free: VecDeque::new() })))
    }

    /// A number that nobody else has until it is dropped.
    ///
    /// Should a million be open (descriptors end long before), the last number of the range is shared.
    pub fn take(&self) -> Number {
        let mut pool = lock(&self.0);
        let rested = pool.free.len() > REST || pool.next + 1 == pool.end;
        let value = match rested.then(|| pool.free.pop_front()).flatten() {
            Some(value) => value,
            None if pool.next + 1 < pool.end => {
                pool.next += 1;
                pool.next - 1
            }
            None => return Number { value: pool.end - 1, pool: None },
        };
        Number { value, pool: Some(Arc::clone(&self.0)) }
    }
}

/// A number in use; dropping it gives it back.
#[derive(Debug)]
pub struct Number {
    value: u32,
    pool: Option<Arc<Mutex<Pool>>>,
}

impl Deref for Number {
    type Target = u32;

    fn deref(&self) -> &u32 {
        &self.value
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            lock(pool).free.push_back(self.value);
        }
    }
}

/// A panic while the lock was held leaves the pool whole: every change is one push or one pop.
fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn open_numbers_differ_and_closed_ones_come_back_after_a_rest() {
        let numbers = Numbers::new(NumbersRange::of_slot(3));
        let open: Vec<Number> = (0..2 * REST).map(|_| numbers.take()).collect();
        assert_eq!(open.iter().map(|n| **n).collect::<HashSet<_>>().len(), open.len());
        let first = *open[0];
        drop(open);
        let again = numbers.take();
        assert_eq!(*again, first);
    }

    #[test]
    fn ranges_of_two_slots_do_not_meet() {
        let a = Numbers::new(NumbersRange::of_slot(0));
        let b = Numbers::new(NumbersRange::of_slot(1));
        assert_eq!(*b.take() - *a.take(), RANGE_SIZE);
        const { assert!(RANGES_START > 4_194_304) };
    }

    #[test]
    fn an_exhausted_range_shares_its_last_number_and_recovers() {
        let numbers = Numbers(Arc::new(Mutex::new(Pool { next: 10, end: 12, free: VecDeque::new() })));
        let only = numbers.take();
        let shared = (numbers.take(), numbers.take());
        assert_eq!((*only, *shared.0, *shared.1), (10, 11, 11));
        drop((only, shared));
        assert_eq!(*numbers.take(), 10);
    }
}
