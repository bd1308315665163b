//! Refuses clients that send more before they may.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "reject_unauth_pipelining", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(find(about))
    }
}

fn find(about: &About<'_>) -> Verdict {
    if !about.improper_pipelining {
        return Verdict::Dunno;
    }
    Verdict::Refuse(about.refusal(503, (5, 5, 0), "Improper use of SMTP command pipelining"))
}
