//! Refuses HELO names that can be no name and no address.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::names::{is_host_name, without_dot};
use std::net::IpAddr;

pub(super) const KIND: Kind = Kind {
    name: "reject_invalid_helo_hostname",
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
    if is_host_name(name) || name.parse::<IpAddr>().is_ok() {
        return Verdict::Dunno;
    }
    Verdict::Refuse(about.helo_refusal(about.rules.codes.invalid_hostname, (5, 5, 2), "Invalid name"))
}
