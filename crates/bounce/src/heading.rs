//! The addresses that mail of our own goes out with: as it is written, and what rules and tables make of them.
//!
//! Postfix hands such mail to cleanup as mail of a local user: addresses get their domain, and canonical, masquerade and
//! alias tables hold for them; copies are not made of it.

use crate::report::one_line_address;
use crate::text::one_line;
use mail::smtputf8::Asking;
use mail::{Address, ContentFlags, Envelope, Recipient, RewriteContext, Timestamp};
use rewrite::{HeaderClass, Mapper, Tables, Trouble, Witness};

/// Addresses as they are written, perhaps without a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heading {
    /// The envelope's sender.
    pub sender: Address,
    /// Who gets it.
    pub recipient: Address,
    /// The value of the header field From.
    pub from: String,
    /// The value of the header field To.
    pub to: String,
}

/// Addresses as mail goes out with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// The envelope's sender.
    pub sender: Address,
    /// The recipient before aliases were followed: what the recipients' ORCPT names.
    pub canonical: Address,
    /// Who gets it.
    pub recipients: Vec<Recipient>,
    /// The header field From, with its line end.
    pub from: Vec<u8>,
    /// The header field To, with its line end.
    pub to: Vec<u8>,
}

impl Heading {
    /// Mail for one address, which also stands in its To.
    pub fn new(sender: Address, recipient: Address, from: &str) -> Heading {
        let to = one_line_address(&recipient);
        Heading { sender, recipient, from: from.to_owned(), to }
    }

    /// The addresses as they are written, where no rules hold.
    pub fn as_written(&self) -> Addressed {
        let Heading { sender, recipient, .. } = self.clone();
        let field = |name: &str, value: &str| format!("{name}: {value}\r\n").into_bytes();
        Addressed {
            sender,
            recipients: named(&recipient, vec![recipient.clone()]),
            canonical: recipient,
            from: field("From", &self.from),
            to: field("To", &self.to),
        }
    }

    /// What rules and tables make of the addresses.
    pub async fn mapped(&self, mapper: &Mapper, witness: &dyn Witness) -> Result<Addressed, Trouble> {
        let written = self.as_written();
        let field = async |class, name: &str, value: &str, written: Vec<u8>| {
            let field = (name.as_bytes(), value.as_bytes());
            let new = mapper.header(class, field, RewriteContext::Local, Tables::Asked, witness).await?;
            Ok(new.unwrap_or(written))
        };
        let (canonical, recipients) = mapper.followed(&self.recipient, witness).await?;
        Ok(Addressed {
            sender: mapper.sender(&self.sender, Tables::Asked, witness).await?,
            recipients: named(&self.recipient, recipients),
            canonical,
            from: field(HeaderClass::Sender, "From", &self.from, written.from).await?,
            to: field(HeaderClass::Recipient, "To", &self.to, written.to).await?,
        })
    }
}

impl Addressed {
    /// The envelope of such mail, made `now`, whose content has these flags and which comes to ask for SMTPUTF8 so.
    pub(crate) fn envelope(&self, now: Timestamp, asking: Asking, flags: ContentFlags) -> Envelope {
        let mut envelope = Envelope::new(self.sender.clone(), now);
        let dsn_orcpt = one_line(&asking.original_recipient(&self.canonical));
        let named = |recipient: &Recipient| Recipient { dsn_orcpt: dsn_orcpt.clone(), ..recipient.clone() };
        envelope.recipients = self.recipients.iter().map(named).collect();
        envelope.smtputf8 = asking.options(&self.sender, self.canonical.needs_smtputf8(), flags);
        envelope.attributes.push(("log_message_origin".to_string(), b"local".to_vec()));
        envelope
    }
}

/// Recipients that were one address as it was written.
fn named(original: &Address, addresses: Vec<Address>) -> Vec<Recipient> {
    let recipient = |address| Recipient { original: original.clone(), ..Recipient::new(address) };
    addresses.into_iter().map(recipient).collect()
}
