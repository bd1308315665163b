//! Log lines of smtpd: `connect from unknown[192.0.2.10]`, `QID: client=…`, `NOQUEUE: reject: RCPT from …`.

mod warnings;

pub use warnings::*;

use crate::counters::Counter;
use crate::escape::Escaped;
use crate::event::Event;
use mail::{Address, QueueId, Reply};
use std::fmt::{self, Write as _};

/// `QID: ` or `NOQUEUE: `.
struct Id<'a>(Option<&'a QueueId>);

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "{id}"),
            None => f.write_str("NOQUEUE"),
        }
    }
}

/// As whom a client has logged in, and for whom it speaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sasl<'a> {
    /// How, and as whom.
    pub login: Option<Login<'a>>,
    /// Who submitted the message first (MAIL's `AUTH=`), where that is told.
    pub sender: Option<&'a str>,
}

/// As whom a client has logged in.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// How.
    pub method: &'a str,
    /// Who.
    pub username: &'a str,
}

impl Sasl<'_> {
    /// Appends `sasl_method=M`, `sasl_username=U` and `sasl_sender=S`, each behind `divider`.
    fn write(&self, divider: &str, out: &mut String) {
        if let Some(Login { method, username }) = self.login {
            let _ = write!(out, "{divider}sasl_method={method}{divider}sasl_username={username}");
        }
        if let Some(sender) = self.sender {
            let _ = write!(out, "{divider}sasl_sender={sender}");
        }
    }
}

/// A session began.
#[derive(Debug)]
pub struct Connected<'a> {
    /// `name[address]`.
    pub client: &'a str,
}

impl Event for Connected<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "connect from {}", self.client);
    }

    fn count(&self) {
        Counter::SmtpdSessions.one();
    }
}

/// A session ended: `disconnect from unknown[192.0.2.10] ehlo=1 mail=1 rcpt=1/2 quit=1 commands=4/5`.
#[derive(Debug)]
pub struct Disconnected<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// For each command that occurred, in the order of the line: its name, how often it was accepted, how often it came.
    pub commands: &'a [(&'static str, u32, u32)],
    /// A line ended with a bare newline and `smtpd_forbid_bare_newline = note`.
    pub bare_newline: bool,
}

impl Event for Disconnected<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "disconnect from {}", self.client);
        let (mut accepted, mut all) = (0, 0);
        for &(name, ok, total) in self.commands {
            accepted += ok;
            all += total;
            let _ = write!(out, " {name}={}", Ratio(ok, total));
        }
        if all == 0 {
            out.push_str(" commands=0/0");
        } else {
            let _ = write!(out, " commands={}", Ratio(accepted, all));
        }
        if self.bare_newline {
            out.push_str(" notes=bare_lf");
        }
    }
}

struct Ratio(u32, u32);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if self.0 != self.1 {
            write!(f, "/{}", self.1)?;
        }
        Ok(())
    }
}

/// A transaction has its queue id: `QID: client=unknown[192.0.2.10]`, with the login, and what XFORWARD said.
#[derive(Debug)]
pub struct MailBegun<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// `name[address]`.
    pub client: &'a str,
    /// As whom it has logged in.
    pub sasl: Sasl<'a>,
    /// The message's id where it came from.
    pub orig_queue_id: Option<&'a str>,
    /// The client there.
    pub orig_client: Option<&'a str>,
}

impl Event for MailBegun<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: client={}", self.queue_id, self.client);
        self.sasl.write(", ", out);
        if let Some(id) = self.orig_queue_id {
            let _ = write!(out, ", orig_queue_id={id}");
        }
        if let Some(client) = self.orig_client {
            let _ = write!(out, ", orig_client={client}");
        }
    }
}

/// A restriction did something: `QID: reject: RCPT from N[A]: 554 5.7.1 …; from=<s> to=<r> proto=ESMTP helo=<h>`.
#[derive(Debug)]
pub struct RestrictionActed<'a> {
    /// The message, where one was begun.
    pub queue_id: Option<&'a QueueId>,
    /// `reject`, `hold`, …
    pub action: &'static str,
    /// `RCPT`, `END-OF-MESSAGE`, …
    pub command: &'a str,
    /// `name[address]`.
    pub client: &'a str,
    /// The reply, or what the action says of itself.
    pub text: &'a str,
    /// Envelope sender, where one is known.
    pub sender: Option<&'a Address>,
    /// Recipient, where it is about one.
    pub recipient: Option<&'a Address>,
    /// `SMTP` or `ESMTP`.
    pub protocol: &'a str,
    /// Argument of HELO or EHLO.
    pub helo: Option<&'a str>,
    /// As whom the client has logged in.
    pub sasl: Sasl<'a>,
}

impl Event for RestrictionActed<'_> {
    fn line(&self, out: &mut String) {
        let id = Id(self.queue_id);
        let _ = write!(out, "{id}: {}: {} from {}: {};", self.action, self.command, self.client, self.text);
        if let Some(sender) = self.sender {
            let _ = write!(out, " from=<{sender}>");
        }
        if let Some(recipient) = self.recipient {
            let _ = write!(out, " to=<{recipient}>");
        }
        let _ = write!(out, " proto={}", self.protocol);
        if let Some(helo) = self.helo {
            let _ = write!(out, " helo=<{helo}>");
        }
        self.sasl.write(" ", out);
    }

    fn count(&self) {
        if self.action == "reject" {
            Counter::SmtpdRejects.one();
        }
    }
}

/// A session ended before QUIT: `lost connection after DATA (123 bytes) from …`. Since 3.10 Postfix has an id or
/// NOQUEUE in front, which what bans clients by these lines does not know.
#[derive(Debug)]
pub struct SessionBroken<'a> {
    /// `lost connection`, `timeout`, `too many errors`.
    pub how: &'static str,
    /// The last command.
    pub after: &'a str,
    /// `name[address]`.
    pub client: &'a str,
}

impl Event for SessionBroken<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{} after {} from {}", self.how, self.after, self.client);
    }
}

/// A client did not wait: `improper command pipelining after EHLO from …: NOOP\r\n`.
#[derive(Debug)]
pub struct ImproperPipelining<'a> {
    /// The command whose reply it should have awaited.
    pub after: &'a str,
    /// `name[address]`.
    pub client: &'a str,
    /// What it sent too early.
    pub data: &'a [u8],
}

impl Event for ImproperPipelining<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "improper command pipelining after {} from {}: ", self.after, self.client);
        push_c_escaped(out, self.data);
    }
}

/// A line of a watched client's dialogue: `< unknown[192.0.2.10]: EHLO x`, `> unknown[192.0.2.10]: 250-…`.
#[derive(Debug)]
pub struct Dialogue<'a> {
    /// `<` from the client, `>` to it.
    pub direction: char,
    /// `name[address]`.
    pub client: &'a str,
    /// The line.
    pub line: &'a str,
}

impl Event for Dialogue<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{} {}: ", self.direction, self.client);
        let hidden = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        out.extend(self.line.chars().map(|c| if hidden(c) { '?' } else { c }));
    }
}

/// The filter of commands replaced one: `unknown[192.0.2.10]: replacing command "x" with "y"`.
#[derive(Debug)]
pub struct CommandReplaced<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// The client's line.
    pub old: &'a [u8],
    /// What is obeyed in its place.
    pub new: &'a [u8],
}

impl Event for CommandReplaced<'_> {
    fn line(&self, out: &mut String) {
        let (client, old, new) = (self.client, Escaped(self.old), Escaped(self.new));
        let _ = write!(out, "{client}: replacing command \"{old}\" with \"{new}\"");
    }
}

/// A session ends by our own fault: `NOQUEUE: reject: CONNECT from unknown[192.0.2.10]: 421 4.3.0 HOST Server local data
/// error`.
#[derive(Debug)]
pub struct SessionRefused<'a> {
    /// The message, where one was begun.
    pub queue_id: Option<&'a QueueId>,
    /// The last command.
    pub command: &'a str,
    /// `name[address]`.
    pub client: &'a str,
    /// The reply.
    pub text: &'a str,
}

impl Event for SessionRefused<'_> {
    fn line(&self, out: &mut String) {
        let (id, command, client) = (Id(self.queue_id), self.command, self.client);
        let _ = write!(out, "{id}: reject: {command} from {client}: {}", self.text);
    }
}

/// The filter of replies changed one: `NOQUEUE: reply filter in: 550 5.7.1 no`, then `out:` (3.11).
#[derive(Debug)]
pub struct ReplyFiltered<'a> {
    /// The message, where one was begun.
    pub queue_id: Option<&'a QueueId>,
    /// `in` or `out`.
    pub end: &'static str,
    /// The reply.
    pub text: &'a str,
}

impl Event for ReplyFiltered<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: reply filter {}: {}", Id(self.queue_id), self.end, self.text);
    }
}

/// A message is on stable storage and the client was told so. Counted only: Postfix logs nothing here.
#[derive(Debug)]
pub struct MailAccepted;

impl MailAccepted {
    /// Counts it.
    pub fn count() {
        Counter::SmtpdAccepted.one();
    }
}

/// The text of a refusal as the log shows it.
pub fn reply_text(reply: &Reply) -> String {
    reply.to_string()
}

/// Appends bytes as C would write them in a string: `\r\n`, `\026`.
fn push_c_escaped(out: &mut String, bytes: &[u8]) {
    for &b in bytes {
        match b {
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(b as char),
            _ => {
                let _ = write!(out, "\\{b:03o}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Dsn;

    fn line(event: &impl Event) -> String {
        let mut out = String::new();
        event.line(&mut out);
        out
    }

    #[test]
    fn the_end_of_a_session_lists_what_occurred() {
        let commands = [("ehlo", 1, 1), ("rcpt", 1, 2)];
        let mut event =
            Disconnected { client: "unknown[192.0.2.10]", commands: &commands, bare_newline: false };
        assert_eq!(line(&event), "disconnect from unknown[192.0.2.10] ehlo=1 rcpt=1/2 commands=2/3");
        event.commands = &[];
        event.bare_newline = true;
        assert_eq!(line(&event), "disconnect from unknown[192.0.2.10] commands=0/0 notes=bare_lf");
    }

    #[test]
    fn what_filters_changed_is_told_before_and_after() {
        let id = QueueId::parse("4XyZ1").unwrap();
        let event = ReplyFiltered { queue_id: Some(&id), end: "in", text: "550 5.7.1 no" };
        assert_eq!(line(&event), "4XyZ1: reply filter in: 550 5.7.1 no");
        let event = ReplyFiltered { queue_id: None, end: "out", text: "450 later" };
        assert_eq!(line(&event), "NOQUEUE: reply filter out: 450 later");
        let event = CommandReplaced { client: "c[::1]", old: b"A\x01\xff", new: b"NOOP" };
        assert_eq!(line(&event), "c[::1]: replacing command \"A??\" with \"NOOP\"");
    }

    #[test]
    fn a_rejection_names_what_is_known() {
        let reply = Reply::new(454, Dsn::new(4, 7, 1), "<x y@example.org>: Relay access denied").to_string();
        let (sender, recipient) = (Address::from("a b@example.net"), Address::from("x y@example.org"));
        let mut event = RestrictionActed {
            queue_id: None,
            action: "reject",
            command: "RCPT",
            client: "unknown[192.0.2.10]",
            text: &reply,
            sender: Some(&sender),
            recipient: Some(&recipient),
            protocol: "ESMTP",
            helo: Some("h"),
            sasl: Sasl::default(),
        };
        assert_eq!(
            line(&event),
            "NOQUEUE: reject: RCPT from unknown[192.0.2.10]: 454 4.7.1 <x y@example.org>: Relay access denied; \
             from=<\"a b\"@example.net> to=<\"x y\"@example.org> proto=ESMTP helo=<h>"
        );
        (event.sender, event.recipient, event.helo) = (None, None, None);
        assert!(line(&event).ends_with("denied; proto=ESMTP"));
        event.sasl = Sasl { login: Some(Login { method: "PLAIN", username: "ann" }), sender: Some("s") };
        assert!(line(&event).ends_with("; proto=ESMTP sasl_method=PLAIN sasl_username=ann sasl_sender=s"));
    }

    #[test]
    fn a_message_begins_with_all_that_is_known_of_its_client() {
        let queue_id = QueueId::parse("4XyZ1").unwrap();
        let mut event = MailBegun {
            queue_id: &queue_id,
            client: "c[1]",
            sasl: Sasl::default(),
            orig_queue_id: None,
            orig_client: None,
        };
        assert_eq!(line(&event), "4XyZ1: client=c[1]");
        event.sasl.sender = Some("bob");
        assert_eq!(line(&event), "4XyZ1: client=c[1], sasl_sender=bob", "it may be told without a login");
        event.sasl = Sasl { login: Some(Login { method: "XCLIENT", username: "ann" }), sender: None };
        (event.orig_queue_id, event.orig_client) = (Some("4Abc"), Some("o[2]"));
        assert_eq!(
            line(&event),
            "4XyZ1: client=c[1], sasl_method=XCLIENT, sasl_username=ann, orig_queue_id=4Abc, orig_client=o[2]"
        );
    }

    #[test]
    fn what_a_client_sent_is_escaped_as_postfix_does() {
        let event = NonSmtpCommand { client: "c", line: b"\x16\x03\x01" };
        assert_eq!(line(&event), "non-SMTP command from c: \\026\\003\\001");
        let event = ImproperPipelining { after: "EHLO", client: "c", data: b"NOOP\r\n" };
        assert_eq!(line(&event), "improper command pipelining after EHLO from c: NOOP\\r\\n");
    }
}
