//! Refuses senders that belong to somebody where the client has not logged in.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::owners::Mismatch;

pub(super) const KIND: Kind = Kind {
    name: "reject_unauthenticated_sender_login_mismatch",
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
            &["reject_unauthenticated_sender_login_mismatch"],
            Mismatch { not_logged_in: true, ..Mismatch::default() },
        )
        .await
}
