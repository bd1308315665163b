//! Accepts recipients that are ours to take or to relay.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_auth_destination", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(async {
            match about.is_our_destination().await {
                Ok(true) => Verdict::Permit,
                Ok(false) => Verdict::Dunno,
                Err(reply) => Verdict::Unable(reply),
            }
        }))
    }
}
