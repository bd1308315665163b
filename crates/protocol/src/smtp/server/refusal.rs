//! Refusals that the driver writes: footers and filters may change what a client is told.
//!
//! Postfix: `smtpd_reject_footer`, `smtpd_reject_footer_maps`, `smtpd_reject_filter_maps`. Looking into tables takes
//! time, so the session hands a refusal over instead of writing it, with the place where it belongs.

use super::session::{Outputs, Session};
use super::{Host, Transaction};
use mail::{Address, Reply};

/// A reply of 4xx or 5xx that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place among the replies of the step: so many bytes come before it.
    pub at: usize,
    /// So many notes of the step came before it.
    pub behind: usize,
    /// What the session says; not regarding `soft_bounce`.
    pub reply: Reply,
    /// The envelope, where there is a transaction.
    pub envelope: Option<Envelope>,
}

/// Sender and first recipient of a transaction, as `$sender` and `$recipient` of a footer.
pub(super) type Envelope = (Address, Option<Address>);

impl<H: Host> Session<H> {
    /// Hands a refusal over to the driver.
    pub(super) fn hand_over(&mut self, reply: &Reply, out: &mut Outputs) {
        let envelope =
            self.transaction.as_deref().map(envelope_of).or_else(|| self.committing.as_deref().cloned());
        let (at, behind) = (out.replies.len(), out.notes.len());
        out.refusals.push(Refusal { at, behind, reply: reply.clone(), envelope });
    }

    /// The driver made 421 or 521 of a refusal: nothing more is heard.
    pub fn hang_up(&mut self) {
        self.last_words_said = true;
    }
}

/// What a refusal at the end of the content needs to know, since the driver has the transaction then.
pub(super) fn envelope_of<H: Host>(transaction: &Transaction<H>) -> Envelope {
    let first = transaction.recipients.first().map(|(recipient, _)| recipient.address.clone());
    (transaction.request.sender.clone(), first)
}
