//! Refuses recipients that are not ours to take or to relay.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "reject_unauth_destination", make: Make::Alone(|| Box::new(This)), guards_relaying: true };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(about.relaying(about.rules.codes.relay_domains, 5)))
    }
}
