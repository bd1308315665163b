//! Accepts clients that come from an address of this host.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_inet_interfaces", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        let ours = about.rules.own_addresses.contains(&about.client.address.to_canonical());
        Checked::Now(if ours { Verdict::Permit } else { Verdict::Dunno })
    }
}
