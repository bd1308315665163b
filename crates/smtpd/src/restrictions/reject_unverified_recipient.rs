//! Refuses recipients that cannot get mail, as a probe found.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::{About, Stage};

pub(super) const KIND: Kind = Kind {
    name: "reject_unverified_recipient",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        match about.recipient.filter(|recipient| !recipient.is_null()) {
            Some(recipient) => Checked::Later(Box::pin(about.unverified(recipient, Stage::Recipient))),
            None => Checked::Now(Verdict::Dunno),
        }
    }
}
