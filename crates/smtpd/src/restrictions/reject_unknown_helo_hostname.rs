//! Refuses HELO names that have no address and no mail exchanger.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::dns::filtered;
use net::dns::{Problem, RecordType};

pub(super) const KIND: Kind = Kind {
    name: "reject_unknown_helo_hostname",
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
    let helo = match about.helo_name() {
        Ok(helo) => helo,
        Err(verdict) => return verdict,
    };
    let refusal = |code| about.helo_refusal(code, (4, 7, 1), "Host not found");
    if !helo.is_ascii() {
        // A client's name is in ASCII (RFC 6531 3.7.1): no other is in DNS.
        return Verdict::Refuse(refusal(about.rules.codes.unknown_hostname));
    }
    match about.has_any(helo, &[RecordType::A, RecordType::Aaaa, RecordType::Mx]).await {
        Ok(true) => Verdict::Dunno,
        Ok(false) => Verdict::Refuse(refusal(about.rules.codes.unknown_hostname)),
        Err(error) if error.problem == Problem::Filtered => {
            Verdict::Complain(filtered(&format!("{helo}: address or MX")))
        }
        Err(_) => about.rules.put_off(about.rules.unknown_helo_defers, refusal(450)),
    }
}
