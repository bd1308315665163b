//! What smtpd warns of: clients that do not speak as they should, names that lead nowhere, rules that make no sense.

use super::{Id, push_c_escaped};
use crate::escape::Escaped;
use crate::event::{Event, Level};
use mail::QueueId;
use std::fmt::Write as _;

/// The proxy in front of us does not say for whom it speaks: `warning: haproxy read: short protocol header: EHLO\r\n`.
#[derive(Debug)]
pub struct UnusableProxyHeader<'a> {
    /// What is wrong.
    pub why: &'a str,
    /// What came; nothing at a time-out.
    pub header: &'a [u8],
}

impl Event for UnusableProxyHeader<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "haproxy read: {}", self.why);
        if !self.header.is_empty() {
            out.push_str(": ");
            push_c_escaped(out, &self.header[..self.header.len().min(PROXY_HEADER_SHOWN_MAX)]);
        }
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// Bytes of a proxy's header in the log, as in Postfix.
const PROXY_HEADER_SHOWN_MAX: usize = 536;

/// A client speaks another language: `warning: non-SMTP command from …: GET / HTTP/1.1`.
#[derive(Debug)]
pub struct NonSmtpCommand<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// The line.
    pub line: &'a [u8],
}

impl Event for NonSmtpCommand<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "non-SMTP command from {}: ", self.client);
        push_c_escaped(out, &self.line[..self.line.len().min(100)]);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// Nobody may ask for the delivery of a domain's mail: `warning: reject: ETRN example.org... from unknown[192.0.2.10]`.
#[derive(Debug)]
pub struct EtrnRejected<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// The domain.
    pub domain: &'a str,
}

impl Event for EtrnRejected<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "reject: ETRN {}... from {}", Escaped(self.domain.as_bytes()), self.client);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// `warning: Illegal address syntax from … in MAIL command: <a b>`.
#[derive(Debug)]
pub struct IllegalAddress<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// `MAIL`, `RCPT`, `VRFY`.
    pub command: &'a str,
    /// The word that is no address.
    pub text: &'a [u8],
}

impl Event for IllegalAddress<'_> {
    fn line(&self, out: &mut String) {
        let text = Escaped(self.text);
        let _ =
            write!(out, "Illegal address syntax from {} in {} command: {text}", self.client, self.command);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// A complaint about a client with a message's id: `warning: QID: null BDAT request from …`.
#[derive(Debug)]
pub struct ClientWarning<'a> {
    /// The message, where one was begun.
    pub queue_id: Option<&'a QueueId>,
    /// What the client did, up to ` from`.
    pub what: &'a str,
    /// `name[address]`.
    pub client: &'a str,
    /// What follows the client.
    pub detail: &'a str,
}

impl Event for ClientWarning<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: {} from {}{}", Id(self.queue_id), self.what, self.client, self.detail);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// The name of an address does not lead back to it: `warning: hostname X does not resolve to address A: reason`.
#[derive(Debug)]
pub struct NameUnverified<'a> {
    /// The name.
    pub name: &'a str,
    /// The address.
    pub address: &'a str,
    /// Why, where the lookup failed.
    pub reason: Option<&'a str>,
}

impl Event for NameUnverified<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "hostname {} does not resolve to address {}", self.name, self.address);
        if let Some(reason) = self.reason {
            let _ = write!(out, ": {reason}");
        }
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// The name of an address can be no host's: `warning: numeric hostname: 192.0.2.13`.
#[derive(Debug)]
pub struct NameInvalid<'a> {
    /// What is wrong with it.
    pub problem: &'static str,
    /// The name.
    pub name: &'a str,
}

impl Event for NameInvalid<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: {}", self.problem, self.name);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// An access table names an action that does not exist: `warning: unknown smtpd restriction: "NONSENSE"`.
#[derive(Debug)]
pub struct UnknownRestriction<'a> {
    /// The word.
    pub name: &'a str,
}

impl Event for UnknownRestriction<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "unknown smtpd restriction: \"{}\"", self.name);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// Nothing comes behind what always decides: ``warning: restriction `reject' after `permit' is ignored``.
#[derive(Debug)]
pub struct RestrictionIgnored<'a> {
    /// The one that decides.
    pub first: &'a str,
    /// The next.
    pub next: &'a str,
}

impl Event for RestrictionIgnored<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "restriction `{}' after `{}' is ignored", self.next, self.first);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// An access table has an action for a message before there is one: `warning: access table T: with
/// smtpd_delay_reject=no, action HOLD is always skipped in Client host or Helo command restrictions`.
#[derive(Debug)]
pub struct ActionTooEarly<'a> {
    /// The table.
    pub table: &'a str,
    /// The action.
    pub action: &'a str,
}

impl Event for ActionTooEarly<'_> {
    fn line(&self, out: &mut String) {
        let ActionTooEarly { table, action } = self;
        let _ = write!(
            out,
            "access table {table}: with smtpd_delay_reject=no, action {action} is always skipped in Client host or \
             Helo command restrictions"
        );
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// MAIL is refused: `warning: not enough free space in mail queue: N bytes < 1.5*message size limit`. Postfix says so
/// also where `queue_minfree` is the reason.
#[derive(Debug)]
pub struct NotEnoughSpace {
    /// Free bytes.
    pub free: u64,
}

impl Event for NotEnoughSpace {
    fn line(&self, out: &mut String) {
        let _ =
            write!(out, "not enough free space in mail queue: {} bytes < 1.5*message size limit", self.free);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}
