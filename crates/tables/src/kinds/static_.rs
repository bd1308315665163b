//! `static:value`, `static:{ value with blanks }`: one value for every key.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Source, TableError};
use config::words;

/// The kind `static`.
pub const KIND: Kind = Kind {
    name: "static",
    open: |name, spec, _| {
        if name.is_empty() {
            return Err(TableError::new(spec, "expected a value behind `static:`"));
        }
        if !name.starts_with('{') {
            return Ok(Box::new(Static(name.to_owned())));
        }
        match words::unbraced(name) {
            Some(value) => Ok(Box::new(Static(value.to_owned()))),
            None => Err(TableError::new(spec, "expected a `}` at the end")),
        }
    },
};

struct Static(String);

impl Source for Static {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Lookup::Found(self.0.clone()).into()
    }
}
