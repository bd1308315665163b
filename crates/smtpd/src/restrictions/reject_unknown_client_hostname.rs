//! Refuses clients without a verified name.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_client_hostname",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(about.nameless(about.client.name_status, 25, "cannot find your hostname"))
    }
}
