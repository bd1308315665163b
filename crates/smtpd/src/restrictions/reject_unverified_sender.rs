//! Refuses senders that cannot get mail, as a probe found.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::{About, Stage};

pub(super) const KIND: Kind =
    Kind { name: "reject_unverified_sender", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        match about.sender.filter(|sender| !sender.is_null()) {
            Some(sender) => Checked::Later(Box::pin(about.unverified(sender, Stage::Sender))),
            None => Checked::Now(Verdict::Dunno),
        }
    }
}
