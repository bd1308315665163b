//! Puts off what is refused behind it.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "defer_if_reject", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(find(about))
    }
}

fn find(about: &About<'_>) -> Verdict {
    let code = about.rules.codes.access_map_defer;
    Verdict::DeferIfReject(about.refusal(code, (4, 7, 0), "defer_if_reject requested"))
}
