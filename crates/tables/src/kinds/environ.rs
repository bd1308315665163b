//! `environ:`: the environment of the process.
//!
//! Keys are folded to lower case, as in Postfix: variables with capital letters in their names are not found.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Source, TableError};
use std::env::{self, VarError};

/// The kind `environ`.
pub const KIND: Kind = Kind {
    name: "environ",
    open: |name, spec, _| match name.is_empty() {
        true => Err(TableError::new(spec, "expected any name behind `environ:`")),
        false => Ok(Box::new(Environ(spec.to_owned()))),
    },
};

struct Environ(String);

impl Source for Environ {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        // These are no names, and the standard library takes none of them.
        if key.is_empty() || key.contains(['=', '\0']) {
            return Lookup::NotFound.into();
        }
        match env::var(key) {
            Ok(value) => Lookup::Found(value),
            Err(VarError::NotPresent) => Lookup::NotFound,
            Err(VarError::NotUnicode(_)) => {
                Lookup::TempFail(format!("{}: `{key}`: expected a value in UTF-8", self.0))
            }
        }
        .into()
    }
}
