//! Refuses clients whose address leads to no name.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_reverse_client_hostname",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(about.nameless(about.client.reverse_name_status, 1, "cannot find your reverse hostname"))
    }
}
