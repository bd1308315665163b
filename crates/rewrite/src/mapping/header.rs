//! Headers with addresses: their canonical form, then what tables and masquerading make of them.

use super::settings::{Inner, Mapper};
use super::witness::Witness;
use super::{Tables, Trouble};
use mail::{Address, AddressHeader, RewriteContext, Written};

/// Which addresses a header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderClass {
    /// Of who wrote or sent it, and where answers go.
    Sender,
    /// Of who gets it.
    Recipient,
}

/// Headers of senders, and those of recipients.
const SENDERS: &[&str] = &[
    "disposition-notification-to",
    "errors-to",
    "from",
    "mail-followup-to",
    "reply-to",
    "resent-from",
    "resent-sender",
    "return-receipt-to",
    "sender",
];
const RECIPIENTS: &[&str] =
    &["apparently-to", "bcc", "cc", "resent-bcc", "resent-cc", "resent-reply-to", "resent-to", "to"];

impl HeaderClass {
    /// The class of a header by its name; nothing where it holds no addresses.
    pub fn of(name: &[u8]) -> Option<HeaderClass> {
        let is_in = |list: &[&str]| list.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name));
        if is_in(SENDERS) {
            return Some(HeaderClass::Sender);
        }
        is_in(RECIPIENTS).then_some(HeaderClass::Recipient)
    }
}

impl Mapper {
    /// Whether headers of mail from there are rewritten at all.
    pub fn rewrites(&self, context: RewriteContext) -> bool {
        context == RewriteContext::Local || self.0.remote.is_some()
    }

    /// The whole header (name, value, line ends) with other addresses; nothing where it stays as it is.
    pub async fn header(
        &self,
        class: HeaderClass,
        (name, value): (&[u8], &[u8]),
        context: RewriteContext,
        tables: Tables,
        witness: &dyn Witness,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let inner = &*self.0;
        let rules = match context {
            RewriteContext::Local => &inner.local,
            RewriteContext::Remote => match &inner.remote {
                Some(rules) => rules,
                None => return Ok(None),
            },
        };
        let mut header = AddressHeader::parse(value, inner.token_limit);
        for at in 0..header.len() {
            let written = header.address(at);
            let Some(canonical) = rules.canonical_written(&written) else { continue };
            header.replace(at, &canonical);
            if tables == Tables::Ignored || canonical.is_empty() {
                continue;
            }
            let address = canonical.to_internal();
            let mapped = inner.in_header(class, address.clone(), witness).await?;
            if mapped != address {
                header.replace(at, &Written::of(&mapped));
            }
        }
        Ok(header.is_changed().then(|| header.write(name)))
    }
}

impl Inner {
    async fn in_header(
        &self,
        class: HeaderClass,
        address: Address,
        witness: &dyn Witness,
    ) -> Result<Address, Trouble> {
        let own = match class {
            HeaderClass::Sender => &self.sender_canonical,
            HeaderClass::Recipient => &self.recipient_canonical,
        };
        let mut address = address;
        for (maps, classes) in [own, &self.canonical] {
            if classes.has(class) {
                address = self.mapped(maps, address, witness).await?;
            }
        }
        match self.masquerade.classes.has(class) {
            true => self.masqueraded(address, witness).await,
            false => Ok(address),
        }
    }
}
