//! Refuses clients whose name stands in a list in DNS.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;
use crate::blocklists::{DnsList, Who};

pub(super) const KIND: Kind =
    Kind { name: "reject_rhsbl_client", make: Make::WithWord("a domain", make), guards_relaying: false };

struct This(DnsList);

fn make(word: &str) -> Result<Box<dyn Restriction>, String> {
    Ok(Box::new(This(DnsList::parse(word)?)))
}

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(about.blocked(&self.0, Who::ClientName)))
    }
}
