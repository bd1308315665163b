//! Refuses senders of ours that the tables of their class do not know.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "reject_unlisted_sender", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(find(about)))
    }
}

async fn find(about: &About<'_>) -> Verdict {
    about.unlisted_sender().await
}
