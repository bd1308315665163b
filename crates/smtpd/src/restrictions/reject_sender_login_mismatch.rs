//! Refuses senders that are not the client's own by its login.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::owners::Mismatch;

pub(super) const KIND: Kind = Kind {
    name: "reject_sender_login_mismatch",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

const PARTS: [&str; 2] =
    ["reject_authenticated_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch"];

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(find(about)))
    }
}

async fn find(about: &About<'_>) -> Verdict {
    about.login_mismatch(&PARTS, Mismatch { logged_in: true, not_logged_in: true, known_only: false }).await
}
