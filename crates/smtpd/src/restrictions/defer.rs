//! Puts off everything that comes so far.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "defer", make: Make::Alone(|| Box::new(This)), guards_relaying: true };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(Verdict::Refuse(about.refusal(about.rules.codes.defer, (4, 3, 2), "Try again later")))
    }
}
