//! Refuses sessions that are not encrypted.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use mail::{Dsn, Reply};

pub(super) const KIND: Kind =
    Kind { name: "reject_plaintext_session", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(find(about))
    }
}

fn find(about: &About<'_>) -> Verdict {
    if about.client.tls.is_some() {
        return Verdict::Dunno;
    }
    let code = about.rules.codes.plaintext_reject;
    let class = if code / 100 == 4 { 4 } else { 5 };
    Verdict::Refuse(Reply::new(code, Dsn::new(class, 7, 1), "Session encryption is required"))
}
