//! Log lines of caches that are kept in files.

use crate::event::Event;
use std::fmt::Write as _;

/// A cache was cleared of old entries.
#[derive(Debug)]
pub struct CacheCleaned<'a> {
    /// `type:name`.
    pub map: &'a str,
    /// Entries that stay.
    pub retained: usize,
    /// Entries that went.
    pub dropped: usize,
}

impl Event for CacheCleaned<'_> {
    fn line(&self, out: &mut String) {
        let CacheCleaned { map, retained, dropped } = self;
        let _ = write!(out, "cache {map} full cleanup: retained={retained} dropped={dropped} entries");
    }
}
