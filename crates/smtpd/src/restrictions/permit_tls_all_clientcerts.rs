//! Accepts clients whose certificate is trusted, or known to `relay_clientcerts`.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;

pub(super) const KIND: Kind =
    Kind { name: "permit_tls_all_clientcerts", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        match about.certificate() {
            Some(certificate) if certificate.is_trusted => Checked::Now(Verdict::Permit),
            _ => Checked::Later(Box::pin(about.known_certificate())),
        }
    }
}
