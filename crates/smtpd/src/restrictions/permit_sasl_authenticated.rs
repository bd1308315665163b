//! Accepts clients that have logged in.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_sasl_authenticated", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        let logged_in = about.client.login.as_ref().is_some_and(|login| login.counts);
        Checked::Now(if logged_in { Verdict::Permit } else { Verdict::Dunno })
    }
}
