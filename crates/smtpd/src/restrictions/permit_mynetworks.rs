//! Accepts clients of `mynetworks`.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_mynetworks", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(about.in_list(&about.rules.mynetworks)))
    }
}
