//! Refuses reports that go to several recipients.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use crate::about::Stage;
use mail::Address;

pub(super) const KIND: Kind = Kind {
    name: "reject_multi_recipient_bounce",
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
    // At RCPT the recipient at hand is not counted yet.
    let recipients = about.recipients + usize::from(about.stage == Stage::Recipient);
    if recipients < 2 || !about.sender.is_some_and(Address::is_null) {
        return Verdict::Dunno;
    }
    let code = about.rules.codes.multi_recipient_bounce;
    Verdict::Refuse(about.refusal(code, (5, 5, 3), "Multi-recipient bounce"))
}
