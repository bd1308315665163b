//! Refuses senders that belong to somebody else than the client's login, where they belong to anybody.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::owners::Mismatch;

pub(super) const KIND: Kind = Kind {
    name: "reject_known_sender_login_mismatch",
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
    about
        .login_mismatch(
            &["reject_known_sender_login_mismatch"],
            Mismatch { logged_in: true, not_logged_in: true, known_only: true },
        )
        .await
}
