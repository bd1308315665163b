//! What is known about a message besides its content.

use crate::{Address, Dsn, Notify, Ret, Timestamp};

/// Who sent the message to us: logged, put into Received, handed on by XFORWARD and to policy and milters.
///
/// Texts are Postfix's: `unknown` where a name could not be verified. All empty for mail that did not come by SMTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The verified host name, or `unknown` (`client_name`).
    pub name: String,
    /// The name that the address resolves to, verified or not (`reverse_client_name`).
    pub reverse_name: String,
    /// The IP address as text, `IPv6` without brackets and prefix (`client_address`).
    pub address: String,
    /// The port as text (`client_port`).
    pub port: String,
    /// Argument of HELO or EHLO (`helo_name`).
    pub helo: String,
    /// `SMTP`, `ESMTP`, … (`protocol_name`).
    pub protocol: String,
    /// The address of ours that the client reached (`server_address`).
    pub server_address: String,
    /// The port of ours that the client reached (`server_port`).
    pub server_port: String,
}

/// What the client declared of the content (`BODY=`, Postfix's attribute `encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Nothing was said: `7bit` unless the content shows otherwise.
    #[default]
    Unknown,
    /// `BODY=7BIT`.
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBit,
}

/// Which domain completes addresses in headers (`rewrite_context`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RewriteContext {
    /// Mail of our own clients: `local_header_rewrite_clients`.
    Local,
    /// Mail of strangers: headers stay as they are.
    #[default]
    Remote,
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where the mail goes, after all rewriting.
    pub address: Address,
    /// Where the client sent it, as logged in `orig_to=`; equal to `address` where nothing was rewritten.
    pub original: Address,
    /// `ORCPT=` as it came, decoded type and address (`rfc822;ann@example.org`); empty where there was none.
    pub dsn_orcpt: String,
    /// `NOTIFY=`.
    pub notify: Notify,
}

impl Recipient {
    /// A recipient without any option.
    pub fn new(address: Address) -> Self {
        Recipient { original: address.clone(), address, dsn_orcpt: String::new(), notify: Notify::default() }
    }
}

/// The envelope of a queued message.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// When the message arrived here (record `T`).
    pub arrival: Timestamp,
    /// When the queue entry was made (`create_time`): back-off and lifetime count from here.
    pub created: Timestamp,
    /// Who gets the reports; null for reports themselves.
    pub sender: Address,
    /// Who gets the message. Bounded by `smtpd_recipient_limit`.
    pub recipients: Vec<Recipient>,
    /// `ENVID=` (RFC 3461), xtext-decoded; empty where there was none.
    pub envid: String,
    /// `RET=` (RFC 3461).
    pub ret: Option<Ret>,
    /// What the client declared of the content.
    pub encoding: Encoding,
    /// Postfix's `sender options` of record `C`; those of SMTPUTF8 are in [`crate::smtputf8`].
    pub smtputf8: u32,
    /// Who sent it to us.
    pub client: Client,
    /// Which domain completes header addresses.
    pub rewrite_context: RewriteContext,
    /// Full name of a local sender (record `F`), for a From header that we add.
    pub full_name: String,
    /// When a delay warning is due (record `W`); `None` where it is off or was sent.
    pub warn_at: Option<Timestamp>,
    /// `HOLD` was asked for, with the reason for the log.
    pub hold: Option<String>,
    /// Forced expiry was asked for (`postsuper -e`).
    pub force_expire: bool,
    /// Named attributes and records that we keep without understanding, in order (`sasl_method`, `message_id`, record `L` as name `L`, …).
    pub attributes: Vec<(String, Vec<u8>)>,
}

impl Envelope {
    /// The envelope of a message from `sender` that arrives at `now`, without recipients yet.
    pub fn new(sender: Address, now: Timestamp) -> Self {
        Envelope {
            arrival: now,
            created: now,
            sender,
            recipients: Vec::new(),
            envid: String::new(),
            ret: None,
            encoding: Encoding::Unknown,
            smtputf8: 0,
            client: Client::default(),
            rewrite_context: RewriteContext::Remote,
            full_name: String::new(),
            warn_at: None,
            hold: None,
            force_expire: false,
            attributes: Vec::new(),
        }
    }

    /// The value of a named attribute.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// Whether `code` may go back to the sender at all: reports of reports never do.
    pub fn may_bounce(&self, _code: Dsn) -> bool {
        !self.sender.is_null()
    }
}
