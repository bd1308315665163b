//! Puts off recipients that are not ours to take or to relay.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "defer_unauth_destination", make: Make::Alone(|| Box::new(This)), guards_relaying: true };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        // Postfix has no parameter for this code: 100 below that of reject_unauth_destination.
        let code = about.rules.codes.relay_domains.saturating_sub(100);
        Checked::Later(Box::pin(about.relaying(code, 4)))
    }
}
