//! Looks up the domain of ETRN in an access table.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;
use crate::access;
use tables::Table;

pub(super) const KIND: Kind = Kind {
    name: "check_etrn_access",
    make: Make::WithTable(|table| Box::new(This(table))),
    guards_relaying: false,
};

struct This(Table);

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(access::etrn(&self.0, about)))
    }
}
