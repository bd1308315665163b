//! `fail:text`: a table whose every lookup fails for the time being; for tests of such failures.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::Source;

/// The kind `fail`.
pub const KIND: Kind = Kind { name: "fail", open: |name, _, _| Ok(Box::new(Fail(name.to_owned()))) };

struct Fail(String);

impl Source for Fail {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Lookup::TempFail(format!("fail:{}", self.0)).into()
    }
}
