//! Log lines of postscreen and dnsblog: `CONNECT from [192.0.2.1]:40000 to [192.0.2.2]:25`, `PASS NEW [192.0.2.1]:40000`.

use crate::escape::Escaped;
use crate::event::{Event, Level};
use mail::{Address, Reply, format_delay};
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Bytes of a peer's text that a line shows.
const SHOWN: usize = 100;

/// Which limit of a session was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `postscreen_command_count_limit`.
    Count,
    /// `line_length_limit`.
    Length,
    /// `postscreen_command_time_limit`.
    Time,
}

/// What postscreen found of a client, or did with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It connected to this end of ours, written like a client.
    Connect(String),
    /// It passed tests.
    PassNew,
    /// It passed tests before.
    PassOld,
    /// `postscreen_access_list` lets it pass.
    Allowlisted,
    /// `postscreen_access_list` refuses it.
    Denylisted,
    /// It came to an address of ours that is not among `postscreen_allowlist_interfaces`.
    Veto,
    /// It spoke before its turn.
    Pregreet {
        /// How much it said, as far as that was read.
        bytes: usize,
        /// How long after it connected.
        after: Duration,
        /// What it said.
        text: Vec<u8>,
    },
    /// The score of DNS lists is too bad.
    Rank(i32),
    /// It hung up.
    Hangup {
        /// How long after the tests of this part began.
        after: Duration,
        /// Whether it had been greeted.
        greeted: bool,
    },
    /// It did not wait for replies.
    Pipelining {
        /// The command that it did not wait for.
        after: String,
        /// What came behind it.
        text: Vec<u8>,
    },
    /// It sent what is no SMTP command.
    NonSmtp {
        /// The command before.
        after: &'static str,
        /// The line.
        line: Vec<u8>,
    },
    /// It ended a line with a bare line feed.
    BareNewline(Vec<u8>),
    /// A limit was reached behind this command.
    Limited(Limit, &'static str),
    /// DATA or BDAT although no recipient was accepted.
    WithoutRecipient(&'static str),
    /// `postscreen_command_filter` replaced a command.
    Replaced {
        /// What came.
        from: String,
        /// What is taken for it.
        to: String,
    },
    /// EHLO leaves out these keywords, as a table says for this client.
    KeywordsDiscarded(String),
    /// A recipient was refused.
    Rejected(Box<Rejection>),
    /// The connection was refused for this reason.
    Refused(&'static str),
    /// The end.
    Disconnect,
}

/// A recipient that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reply.
    pub reply: Reply,
    /// Envelope sender.
    pub sender: Address,
    /// Recipient.
    pub recipient: Address,
    /// `SMTP` or `ESMTP`.
    pub protocol: &'static str,
    /// Argument of HELO or EHLO; empty where there was none.
    pub helo: String,
}

/// A finding about a client.
#[derive(Debug)]
pub struct Screened<'a> {
    /// `[192.0.2.1]:40000`.
    pub client: &'a str,
    /// What was found.
    pub finding: &'a Finding,
    /// `respectful_logging`.
    pub respectful: bool,
}

impl Event for Screened<'_> {
    fn line(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = self.write(out);
    }
}

impl Screened<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let client = self.client;
        match self.finding {
            Finding::Connect(server) => write!(out, "CONNECT from {client} to {server}"),
            Finding::PassNew => write!(out, "PASS NEW {client}"),
            Finding::PassOld => write!(out, "PASS OLD {client}"),
            Finding::Allowlisted => write!(out, "{}LISTED {client}", self.words().0),
            Finding::Denylisted => write!(out, "{}LISTED {client}", self.words().1),
            Finding::Veto => write!(out, "{}LIST VETO {client}", self.words().0),
            Finding::Pregreet { bytes, after, text } => {
                let (after, mut text) = (format_delay(*after, 2), Slashed(text).to_string());
                // Postfix cuts what it shows, be it within an octet; elsewhere what it is made of.
                text.truncate(SHOWN);
                write!(out, "PREGREET {bytes} after {after} from {client}: {text}")
            }
            Finding::Rank(rank) => write!(out, "DNSBL rank {rank} for {client}"),
            Finding::Hangup { after, greeted } => {
                let part = if *greeted { "after" } else { "before" };
                let after = format_delay(*after, 2);
                write!(out, "HANGUP after {after} from {client} in tests {part} SMTP handshake")
            }
            Finding::Pipelining { after, text } => {
                write!(out, "COMMAND PIPELINING from {client} after {after}: {}", Slashed::cut(text))
            }
            Finding::NonSmtp { after, line } => {
                write!(out, "NON-SMTP COMMAND from {client} after {after}: {}", cut(line))
            }
            Finding::BareNewline(line) => write!(out, "BARE NEWLINE from {client} after {}", cut(line)),
            Finding::Limited(limit, after) => {
                let name = match limit {
                    Limit::Count => "COUNT",
                    Limit::Length => "LENGTH",
                    Limit::Time => "TIME",
                };
                write!(out, "COMMAND {name} LIMIT from {client} after {after}")
            }
            Finding::WithoutRecipient(verb) => write!(out, "{verb} without valid RCPT from {client}"),
            Finding::Replaced { from, to } => {
                let (from, to) = (Escaped(from.as_bytes()), Escaped(to.as_bytes()));
                write!(out, "{client}: replacing command \"{from}\" with \"{to}\"")
            }
            // Postfix has no colon between address and port here.
            Finding::KeywordsDiscarded(words) => {
                write!(out, "{}: discarding EHLO keywords: {words}", client.replacen("]:", "]", 1))
            }
            Finding::Rejected(r) => {
                write!(out, "NOQUEUE: reject: RCPT from {client}: {}; ", r.reply)?;
                let helo = Escaped(r.helo.as_bytes());
                write!(out, "from=<{}>, to=<{}>, proto={}, helo=<{helo}>", r.sender, r.recipient, r.protocol)
            }
            Finding::Refused(why) => write!(out, "NOQUEUE: reject: CONNECT from {client}: {why}"),
            Finding::Disconnect => write!(out, "DISCONNECT {client}"),
        }
    }

    fn words(&self) -> (&'static str, &'static str) {
        if self.respectful { ("ALLOW", "DENY") } else { ("WHITE", "BLACK") }
    }
}

fn cut(text: &[u8]) -> Escaped<'_> {
    Escaped(&text[..text.len().min(SHOWN)])
}

/// Text with what is not printable as in a C string.
struct Slashed<'a>(&'a [u8]);

impl<'a> Slashed<'a> {
    fn cut(text: &'a [u8]) -> Self {
        Slashed(&text[..text.len().min(SHOWN)])
    }
}

impl fmt::Display for Slashed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                7 => f.write_str("\\a")?,
                8 => f.write_str("\\b")?,
                9 => f.write_str("\\t")?,
                10 => f.write_str("\\n")?,
                11 => f.write_str("\\v")?,
                12 => f.write_str("\\f")?,
                13 => f.write_str("\\r")?,
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(*byte))?,
                other => write!(f, "\\{other:03o}")?,
            }
        }
        Ok(())
    }
}

/// So many clients are in tests that they get less time, or that is over.
#[derive(Debug)]
pub struct Stress {
    /// Whether it begins.
    pub begins: bool,
    /// Clients in tests.
    pub clients: usize,
}

impl Event for Stress {
    fn line(&self, out: &mut String) {
        let word = if self.begins { "entering" } else { "leaving" };
        let _ = write!(out, "{word} STRESS mode with {} connections", self.clients);
    }
}

/// A DNS list has a client.
#[derive(Debug)]
pub struct ListedByDomain<'a> {
    /// The client.
    pub address: IpAddr,
    /// The list.
    pub domain: &'a str,
    /// What it answers.
    pub answer: Ipv4Addr,
}

impl Event for ListedByDomain<'_> {
    fn line(&self, out: &mut String) {
        let ListedByDomain { address, domain, answer } = self;
        let _ = write!(out, "addr {address} listed by domain {domain} as {answer}");
    }
}

/// A DNS list could not be asked.
#[derive(Debug)]
pub struct ListFailed<'a> {
    /// The name that was asked for.
    pub name: &'a str,
    /// Why.
    pub why: String,
}

impl Event for ListFailed<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "dnsblog_query: lookup error for DNS query {}: {}", self.name, self.why);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Dsn;

    fn line(finding: &Finding, respectful: bool) -> String {
        let mut out = String::new();
        Screened { client: "[192.0.2.1]:7", finding, respectful }.line(&mut out);
        out
    }

    #[test]
    fn lines_have_postfix_form() {
        let text = b"\0\xffab%\\\r\n".to_vec();
        let pregreet = Finding::Pregreet { bytes: 8, after: Duration::from_millis(290), text };
        assert_eq!(line(&pregreet, true), r"PREGREET 8 after 0.29 from [192.0.2.1]:7: \000\377ab%\\\r\n");
        assert_eq!(line(&Finding::Denylisted, false), "BLACKLISTED [192.0.2.1]:7");
        assert_eq!(line(&Finding::Veto, true), "ALLOWLIST VETO [192.0.2.1]:7");
        let rejection = Rejection {
            reply: Reply::new(550, Dsn::new(5, 5, 1), "Protocol error"),
            sender: Address::null(),
            recipient: Address::new("a@b"),
            protocol: "SMTP",
            helo: String::new(),
        };
        assert_eq!(
            line(&Finding::Rejected(Box::new(rejection)), true),
            "NOQUEUE: reject: RCPT from [192.0.2.1]:7: 550 5.5.1 Protocol error; from=<>, to=<a@b>, proto=SMTP, helo=<>"
        );
    }
    #[test]
    fn stress_is_told_with_the_number_of_clients() {
        let line = |begins| {
            let mut out = String::new();
            Stress { begins, clients: 9 }.line(&mut out);
            out
        };
        assert_eq!(line(true), "entering STRESS mode with 9 connections");
        assert_eq!(line(false), "leaving STRESS mode with 9 connections");
    }
}
