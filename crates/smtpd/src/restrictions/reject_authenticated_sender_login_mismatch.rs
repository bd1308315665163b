//! Refuses senders that belong to others than the client's login.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::owners::Mismatch;

pub(super) const KIND: Kind = Kind {
    name: "reject_authenticated_sender_login_mismatch",
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
            &["reject_authenticated_sender_login_mismatch"],
            Mismatch { logged_in: true, ..Mismatch::default() },
        )
        .await
}
