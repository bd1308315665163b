//! What was asked lately: bounded in number, the longest unused go first.

use super::message::{Answer, Question};
use crate::dns::Problem;
use std::collections::HashMap;
use std::mem;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Questions of one generation; two are kept.
const GENERATION: usize = 4096;

/// Where an answer is, or comes: who asks first fetches it, others wait.
pub(super) type Place = Rc<OnceCell<Result<Rc<Answer>, Problem>>>;

/// Places by question. What was used since the younger generation began is in it; when that is full the older one
/// goes.
#[derive(Default)]
pub(super) struct Memory {
    young: HashMap<Question, Place>,
    old: HashMap<Question, Place>,
}

impl Memory {
    /// The place of a question: with an answer that may be believed and is not older than `longest`, or with one on
    /// its way, or empty.
    pub(super) fn place(&mut self, question: &Question, longest: Duration) -> Place {
        let usable = |place: &Place| match place.get() {
            Some(Ok(answer)) => answer.is_fresh(longest),
            Some(Err(_)) => false,
            None => true,
        };
        if let Some(place) = self.young.get(question).filter(|place| usable(place)) {
            return place.clone();
        }
        let place = self.old.remove(question).filter(usable).unwrap_or_default();
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(question.clone(), place.clone());
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;

    fn place(memory: &mut Memory, n: usize) -> Place {
        let question = Question::new(&format!("{n}.example"), RecordType::A).unwrap();
        memory.place(&question, Duration::from_secs(60))
    }

    #[test]
    fn questions_are_bounded_and_the_used_ones_stay() {
        let mut memory = Memory::default();
        let (used, unused) = (place(&mut memory, 0), place(&mut memory, 1));
        for n in 2..10 * GENERATION {
            place(&mut memory, n);
            if n % 1000 == 0 {
                assert!(Rc::ptr_eq(&used, &place(&mut memory, 0)));
            }
            assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION);
        }
        assert!(!Rc::ptr_eq(&unused, &place(&mut memory, 1)));
    }

    #[test]
    fn failures_are_not_remembered() {
        let mut memory = Memory::default();
        let failed = place(&mut memory, 0);
        failed.set(Err(Problem::TryAgain)).unwrap();
        assert!(place(&mut memory, 0).get().is_none());
    }
}
