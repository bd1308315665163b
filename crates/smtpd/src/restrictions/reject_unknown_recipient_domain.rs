//! Refuses recipients whose domain cannot get mail.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::about::Stage;

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_recipient_domain",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(find(about)))
    }
}

async fn find(about: &About<'_>) -> Verdict {
    match about.recipient.filter(|recipient| !recipient.is_null()) {
        Some(recipient) => about.unknown_domain(recipient, Stage::Recipient).await,
        None => Verdict::Dunno,
    }
}
