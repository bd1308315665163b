//! Accounts of the host that were asked for just now: under load many messages are for the same users.

use crate::local_role::failure::Failure;
use crate::local_role::pool::Pool;
use mail::Dsn;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sys::User;

/// How long an account is believed: a change counts as if it had been made that much later.
const FRESH: Duration = Duration::from_secs(1);

/// Accounts that are remembered; beyond it all are forgotten.
const REMEMBERED_MAX: usize = 1000;

/// What is remembered; clones share it.
#[derive(Clone, Default)]
pub(super) struct Accounts(Rc<RefCell<Remembered>>);

/// By name, with when they were asked for.
type Remembered = HashMap<String, (Instant, Arc<User>)>;

impl Accounts {
    /// The user of this name. That there is none is asked for each time: mail to a new user must not be returned.
    pub(super) async fn named(&self, name: &str, pool: &Pool) -> Result<Option<Arc<User>>, Failure> {
        let now = Instant::now();
        if let Some((_, user)) = self.0.borrow().get(name).filter(|(since, _)| now < *since + FRESH) {
            return Ok(Some(user.clone()));
        }
        let asked = name.to_owned();
        let Some(Ok(found)) = pool.run(move |_| sys::user_by_name(&asked)).await else {
            return Err(Failure::new(Dsn::new(4, 3, 0), "user database unavailable"));
        };
        let found = found.map(Arc::new);
        let mut remembered = self.0.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        match &found {
            Some(user) => drop(remembered.insert(name.to_owned(), (now, user.clone()))),
            None => drop(remembered.remove(name)),
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_asked_for_again_once_a_second_has_passed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pool = Pool::start(1).unwrap();
        let named = |accounts: &Accounts, name: &str| runtime.block_on(accounts.named(name, &pool)).unwrap();
        let accounts = Accounts::default();
        let root = named(&accounts, "root").unwrap();
        let gone = "no-such-user-here";
        accounts.0.borrow_mut().insert(gone.into(), (Instant::now(), root.clone()));
        assert_eq!(named(&accounts, gone), Some(root.clone()), "as it was just now");
        let Some(before) = Instant::now().checked_sub(FRESH) else { return };
        accounts.0.borrow_mut().insert(gone.into(), (before, root.clone()));
        assert_eq!(named(&accounts, gone), None);
        assert_eq!(named(&accounts, "root"), Some(root));
    }
}
