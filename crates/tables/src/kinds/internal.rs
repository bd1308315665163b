//! `internal:name`: a table in the memory of one process. It is empty: what fills one is a program, never a user.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Source, TableError};

/// The kind `internal`.
pub const KIND: Kind = Kind {
    name: "internal",
    open: |name, spec, _| match name.is_empty() {
        true => Err(TableError::new(spec, "expected any name behind `internal:`")),
        false => Ok(Box::new(Internal)),
    },
};

struct Internal;

impl Source for Internal {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Lookup::NotFound.into()
    }
}
