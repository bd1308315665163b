//! Refuses recipients that the tables of their class do not know.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "reject_unlisted_recipient", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(about.unlisted_recipient()))
    }
}
