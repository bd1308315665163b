//! ETRN: which domains' mail clients may have delivered at once (RFC 1985).
//!
//! Postfix: `fast_flush_domains`. The flush service is not built yet: for a domain inside, what Postfix answers where its
//! own cannot be reached.

use crate::driver::Driver;
use mail::Reply;
use observe::emit;
use observe::events::smtpd as events;

impl Driver {
    /// Asks for the delivery of a domain's mail, once `smtpd_etrn_restrictions` let the client.
    pub(crate) async fn etrn(&self, domain: &str) -> Result<(), Reply> {
        match self.settings.fast_flush_domains.matches(domain).await {
            Ok(false) => {
                let client = self.peer.name_and_address.as_str();
                emit(&self.tag, &events::EtrnRejected { client, domain });
                return Err(Reply::plain(459, format!("<{domain}>: service unavailable")));
            }
            Ok(true) => {}
            Err(unanswered) => {
                observe::warn(
                    &self.tag,
                    format_args!("fast_flush_domains: {}: table lookup problem", unanswered.0),
                );
            }
        }
        observe::warn(&self.tag, format_args!("unable to talk to fast flush service"));
        Err(Reply::plain(458, "Unable to queue messages"))
    }
}
