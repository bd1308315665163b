//! Pages that are kept in memory between lookups, as long as they all belong to one state of the file.
//!
//! System calls cost more than a lookup: for a million of them in a file of a million entries, four calls each were two
//! thirds of the time. A lookup that finds all of its pages here makes none, for a moment after the file was looked at.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long kept pages are believed without a look at the file. Nobody who runs postmap and then sends mail is as fast.
const BELIEVED: Duration = Duration::from_millis(10);
/// Bytes of pages that are kept of one file; of a larger file others are read each time.
const KEPT_BYTES_MAX: usize = 1 << 28;
/// Pages from this number on are never kept: as many of the smallest size fit.
const KEPT_PAGES_MAX: u64 = (KEPT_BYTES_MAX / 512) as u64;

/// The pages of one state of a file.
pub(super) struct Kept<S, P> {
    /// The state, with what tells it from others.
    state: Option<S>,
    /// By their number.
    pages: Vec<Option<Arc<P>>>,
    bytes: usize,
    looked: Option<Instant>,
    /// Whether keys end with a zero byte, once one was found.
    zero: Option<bool>,
}

impl<S, P> Default for Kept<S, P> {
    fn default() -> Self {
        Kept { state: None, pages: Vec::new(), bytes: 0, looked: None, zero: None }
    }
}

impl<S: PartialEq + Clone, P> Kept<S, P> {
    /// The state, if the file was looked at just now.
    pub(super) fn believed(&self) -> Option<S> {
        let looked = self.looked?;
        self.state.clone().filter(|_| looked.elapsed() < BELIEVED)
    }

    /// The file was looked at and has this state; pages of another are forgotten.
    pub(super) fn looked(&mut self, state: &S) {
        if self.state.as_ref() != Some(state) {
            *self = Kept { state: Some(state.clone()), ..Kept::default() };
        }
        self.looked = Some(Instant::now());
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Kept::default();
    }
}

/// The pages during one lookup, kept ones and others.
pub(super) struct Walk<'a, S, P> {
    kept: RefCell<&'a mut Kept<S, P>>,
    /// Whether pages that are not kept may be read now.
    reads: bool,
    missed: Cell<bool>,
    keeps: bool,
}

/// What ends a walk that may not read; it is never shown.
const MISSED: &str = "a page is not in memory";

impl<'a, S, P> Walk<'a, S, P> {
    /// A walk over kept pages alone.
    pub(super) fn without_reading(kept: &'a mut Kept<S, P>) -> Self {
        Walk { kept: RefCell::new(kept), reads: false, missed: Cell::new(false), keeps: false }
    }

    /// A walk that reads what is not kept, and keeps it if `keeps`.
    pub(super) fn reading(kept: &'a mut Kept<S, P>, keeps: bool) -> Self {
        Walk { kept: RefCell::new(kept), reads: true, missed: Cell::new(false), keeps }
    }

    /// The value of a key, with a zero byte behind it or without.
    pub(super) fn find(
        &self,
        key: &[u8],
        search: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<Option<Vec<u8>>, String> {
        let known = self.kept.borrow().zero;
        Ok(super::either(key, known, search)?.map(|(zero, value)| {
            self.kept.borrow_mut().zero = Some(zero);
            value
        }))
    }

    /// Whether the walk ended for want of a page; what it found counts for nothing then.
    pub(super) fn missed(&self) -> bool {
        self.missed.get()
    }

    /// An error where nothing may be read.
    pub(super) fn may_read(&self) -> Result<(), String> {
        if self.reads {
            return Ok(());
        }
        self.missed.set(true);
        Err(MISSED.to_owned())
    }

    /// The page, kept or read by `read`, which says how large it is.
    pub(super) fn page(
        &self,
        number: u64,
        size: usize,
        read: impl FnOnce() -> Result<P, String>,
    ) -> Result<Arc<P>, String> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(page)) = self.kept.borrow().pages.get(place) {
            return Ok(page.clone());
        }
        self.may_read()?;
        let page = Arc::new(read()?);
        let mut kept = self.kept.borrow_mut();
        if self.keeps && number < KEPT_PAGES_MAX && kept.bytes + size <= KEPT_BYTES_MAX {
            kept.bytes += size;
            let pages = &mut kept.pages;
            pages.resize_with(pages.len().max(place + 1), || None);
            pages[place] = Some(page.clone());
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_another_state_are_forgotten_and_a_missing_one_ends_a_walk_without_reading() {
        let mut kept: Kept<u32, &str> = Kept::default();
        assert_eq!(kept.believed(), None);
        kept.looked(&1);
        assert_eq!(kept.believed(), Some(1));
        let walk = Walk::reading(&mut kept, true);
        assert_eq!(walk.page(7, 1, || Ok("seven")).as_deref(), Ok(&"seven"));
        let walk = Walk::without_reading(&mut kept);
        assert_eq!(walk.page(7, 1, || Err("read again".into())).as_deref(), Ok(&"seven"));
        assert!(!walk.missed());
        assert!(walk.page(8, 1, || Ok("eight")).is_err() && walk.missed());
        kept.looked(&2);
        let walk = Walk::without_reading(&mut kept);
        assert!(walk.page(7, 1, || Ok("seven")).is_err() && walk.missed());
    }
}
