//! Refuses HELO names without a domain.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::names::{is_host_name, without_dot};

pub(super) const KIND: Kind = Kind {
    name: "reject_non_fqdn_helo_hostname",
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
    let helo = match about.helo_name() {
        Ok(helo) => helo,
        Err(verdict) => return verdict,
    };
    let name = without_dot(helo);
    if is_host_name(name) && name.contains('.') {
        return Verdict::Dunno;
    }
    let text = "need fully-qualified hostname";
    Verdict::Refuse(about.helo_refusal(about.rules.codes.non_fqdn, (5, 5, 2), text))
}
