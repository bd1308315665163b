//! Accepts clients whose certificate, or its key, `relay_clientcerts` knows.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_tls_clientcerts", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(about.known_certificate()))
    }
}
