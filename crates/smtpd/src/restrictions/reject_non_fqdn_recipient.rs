//! Refuses recipients whose domain is not whole.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::about::Stage;

pub(super) const KIND: Kind =
    Kind { name: "reject_non_fqdn_recipient", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(find(about))
    }
}

fn find(about: &About<'_>) -> Verdict {
    about.non_fqdn(about.recipient, Stage::Recipient)
}
