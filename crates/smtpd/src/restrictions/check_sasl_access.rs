//! Looks up the client's login in an access table.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;
use crate::access;
use tables::Table;

pub(super) const KIND: Kind = Kind {
    name: "check_sasl_access",
    make: Make::WithTable(|table| Box::new(This(table))),
    guards_relaying: false,
};

struct This(Table);

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(access::login(&self.0, about)))
    }
}
