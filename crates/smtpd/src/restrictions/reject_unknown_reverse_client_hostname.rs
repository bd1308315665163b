//! Refuses clients whose address leads to no name.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::dns::dsn_of;
use crate::peer::NameStatus;
use mail::Reply;

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_reverse_client_hostname",
    make: Make::Alone(|| Box::new(This)),
    guards_relaying: false,
};

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Now(find(about))
    }
}

fn find(about: &About<'_>) -> Verdict {
    let code = match about.client.reverse_name_status {
        NameStatus::Known => return Verdict::Dunno,
        // Perhaps it is known later.
        NameStatus::NotNow => 450,
        NameStatus::Unknown | NameStatus::Forged => about.rules.codes.unknown_client,
    };
    let text = format!("Client host rejected: cannot find your reverse hostname, [{}]", about.client.address);
    Verdict::Refuse(Reply::new(code, dsn_of(code, 7, 1), text))
}
