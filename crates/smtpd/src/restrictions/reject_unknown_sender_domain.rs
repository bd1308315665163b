//! Refuses senders whose domain cannot get mail.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::about::Stage;

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_sender_domain",
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
    match about.sender.filter(|sender| !sender.is_null()) {
        Some(sender) => about.unknown_domain(sender, Stage::Sender).await,
        None => Verdict::Dunno,
    }
}
