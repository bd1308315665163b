//! Accepts clients that logged in; without SASL nobody has.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_sasl_authenticated", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        let _ = about;
        Checked::Now(Verdict::Dunno)
    }
}
