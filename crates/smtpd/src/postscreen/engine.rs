//! SMTP with a client that smtpd is not to see: each recipient is refused, and how the client speaks is tested.

use super::early::Judgement;
use super::kinds::{Action, Test, Tests};
use mail::{Address, Dsn, Reply};
use observe::events::postscreen::{Finding, Limit, Rejection};
use protocol::smtp::path;
use protocol::smtp::server::EhloKeywords;
use std::time::Duration;

/// Answers about a command or a reply from tables in memory.
pub(super) type Ask<A, T> = Box<dyn Fn(A) -> T + Send + Sync>;

/// What the dialogue works by.
pub(super) struct Rules {
    /// `myhostname`.
    pub myhostname: String,
    /// `smtpd_banner`.
    pub banner: String,
    /// `postscreen_helo_required`.
    pub helo_required: bool,
    /// `postscreen_disable_vrfy_command`.
    pub disable_vrfy: bool,
    /// Not `disable_vrfy_command`, by which EHLO goes.
    pub announces_vrfy: bool,
    /// `message_size_limit`, for EHLO.
    pub message_size_limit: u64,
    /// `smtputf8_enable`.
    pub smtputf8: bool,
    /// `postscreen_command_count_limit`.
    pub commands_max: u64,
    /// `line_length_limit`.
    pub line_bytes_max: usize,
    /// What follows where a deep test fails: pipelining, no SMTP command, bare line feed.
    pub actions: [Action; 3],
    /// `postscreen_forbidden_commands`.
    pub forbidden: Ask<String, bool>,
    /// `postscreen_command_filter`.
    pub filter: Ask<String, Option<String>>,
}

/// What EHLO leaves out.
#[derive(Clone, Debug, Default)]
pub(super) struct Discarded {
    /// The keywords.
    pub keywords: EhloKeywords,
    /// What the log is told of them: those that a table names for this client.
    pub told: Option<String>,
}

/// What comes of a step.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Replies in order.
    pub replies: Vec<Reply>,
    /// Log lines.
    pub findings: Vec<Finding>,
    /// The connection is to be closed.
    pub closes: bool,
}

/// A dialogue.
pub(super) struct Engine<'a> {
    rules: &'a Rules,
    keywords: Discarded,
    /// What was found of the client, and is found here.
    pub judgement: Judgement,
    /// Tests that are made.
    active: Tests,
    unread: Vec<u8>,
    commands: u64,
    /// The last command, in capitals.
    after: &'static str,
    esmtp: bool,
    helo: String,
    sender: Option<Address>,
    /// A recipient was refused, so the client spoke long enough to be judged.
    reached_rcpt: bool,
}

/// The commands that are known; all others are `UNIMPLEMENTED`.
const VERBS: [&str; 12] =
    ["HELO", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "ETRN", "QUIT"];

fn reply(code: u16, dsn: (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Dsn::new(dsn.0, dsn.1, dsn.2), text)
}

impl<'a> Engine<'a> {
    /// A dialogue that begins; who is known to be bad is given every test.
    pub fn new(rules: &'a Rules, keywords: Discarded, judgement: Judgement) -> Self {
        let mut active = Tests::default();
        for test in Test::DEEP {
            if judgement.todo.has(test) || judgement.refusal.is_some() {
                active.add(test);
            }
        }
        Engine {
            rules,
            keywords,
            judgement,
            active,
            unread: Vec::new(),
            commands: 0,
            after: "CONNECT",
            esmtp: false,
            helo: String::new(),
            sender: None,
            reached_rcpt: false,
        }
    }

    /// Greets, but for a client that spoke before its turn and is held guilty: it has its answer.
    pub fn greet(&self, greets: bool, out: &mut Outputs) {
        if greets {
            out.replies.push(Reply::plain(220, self.rules.banner.clone()));
        }
    }

    /// Takes what the client says.
    pub fn take(&mut self, bytes: &[u8], out: &mut Outputs) {
        self.unread.extend_from_slice(bytes);
        while !out.closes {
            match self.unread.iter().position(|b| *b == b'\n') {
                Some(end) if end <= self.rules.line_bytes_max => {
                    let rest = self.unread.split_off(end + 1);
                    let line = std::mem::replace(&mut self.unread, rest);
                    self.line(&line[..end], out);
                }
                None if self.unread.len() <= self.rules.line_bytes_max => return,
                _ => self.limited(Limit::Length, out),
            }
        }
    }

    /// The client hung up, so long after it was greeted.
    pub fn lost(&mut self, after: Duration, out: &mut Outputs) {
        out.findings.push(Finding::Hangup { after, greeted: true });
        out.closes = true;
    }

    /// The client has said nothing for too long.
    pub fn timed_out(&mut self, out: &mut Outputs) {
        out.findings.push(Finding::Limited(Limit::Time, self.after));
        let text = format!("{} Error: timeout exceeded", self.rules.myhostname);
        self.close(reply(421, (4, 4, 2), &text), out);
    }

    /// What was found in the end; the tests that were not failed are passed where the client got so far as a recipient.
    pub fn end(mut self) -> Judgement {
        for test in Test::DEEP {
            let done = self.reached_rcpt && self.judgement.todo.has(test);
            if done && !self.judgement.failed.has(test) {
                self.judgement.passed.add(test);
            }
        }
        self.judgement
    }

    /// Whether the client spoke long enough to be judged.
    pub fn reached_rcpt(&self) -> bool {
        self.reached_rcpt
    }

    fn limited(&mut self, limit: Limit, out: &mut Outputs) {
        out.findings.push(Finding::Limited(limit, self.after));
        let text = format!("{} Service unavailable - try again later", self.rules.myhostname);
        self.close(Reply::plain(421, text), out);
    }

    fn close(&mut self, reply: Reply, out: &mut Outputs) {
        out.replies.push(reply);
        out.closes = true;
    }

    /// A test failed: whether that ends the dialogue.
    fn failed(&mut self, test: Test, end: Reply, out: &mut Outputs) -> bool {
        self.judgement.failed.add(test);
        match self.rules.actions[test as usize - Test::Pipelining as usize] {
            Action::Ignore => return false,
            Action::Enforce => self.judgement.refusal = Some(reply(550, (5, 5, 1), "Protocol error")),
            Action::Drop => {
                self.judgement.refusal = Some(end.clone());
                self.close(end, out);
            }
        }
        out.closes
    }

    fn is_tested(&self, test: Test) -> bool {
        self.active.has(test) && !self.judgement.failed.has(test)
    }

    fn line(&mut self, line: &[u8], out: &mut Outputs) {
        self.commands += 1;
        if self.commands > self.rules.commands_max {
            return self.limited(Limit::Count, out);
        }
        let (line, bare) = match line.strip_suffix(b"\r") {
            Some(line) => (line, false),
            None => (line, true),
        };
        // A NUL ends it, as it ends a string of C.
        let line = line.split(|b| *b == 0).next().unwrap_or_default();
        let protocol_error = || reply(521, (5, 5, 1), "Protocol error");
        if bare && self.is_tested(Test::BareNewline) {
            out.findings.push(Finding::BareNewline(line.to_vec()));
            if self.failed(Test::BareNewline, protocol_error(), out) {
                return;
            }
        }
        let mut text = String::from_utf8_lossy(line).into_owned();
        if let Some(to) = (self.rules.filter)(text.clone()) {
            out.findings.push(Finding::Replaced { from: text, to: to.clone() });
            text = to;
        }
        let word = text.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        let rest = text.trim_start().strip_prefix(&word).unwrap_or_default().trim_ascii();
        let verb = VERBS.into_iter().find(|verb| word.eq_ignore_ascii_case(verb));
        let strange = verb.is_none() && (word.contains(':') || (self.rules.forbidden)(word.clone()));
        if strange && self.active.has(Test::NonSmtp) {
            let line = format!("{word} {rest}").into_bytes();
            out.findings.push(Finding::NonSmtp { after: self.after, line });
            let end = reply(521, (5, 7, 0), "Error: I can break rules, too. Goodbye.");
            if self.failed(Test::NonSmtp, end, out) {
                return;
            }
        }
        if !self.unread.is_empty() && self.is_tested(Test::Pipelining) {
            let after = verb.map_or(word, str::to_owned);
            out.findings.push(Finding::Pipelining { after, text: self.unread.clone() });
            if self.failed(Test::Pipelining, protocol_error(), out) {
                return;
            }
        }
        self.after = verb.unwrap_or("UNIMPLEMENTED");
        let answer = self.answer(self.after, rest, out);
        out.replies.push(answer);
    }

    fn answer(&mut self, verb: &'static str, rest: &str, out: &mut Outputs) -> Reply {
        match verb {
            "HELO" | "EHLO" => self.helo(verb, rest, out),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest, out),
            "DATA" | "BDAT" => {
                out.findings.push(Finding::WithoutRecipient(verb));
                out.closes = true;
                match (verb, rest.is_empty(), &self.sender) {
                    ("DATA", false, _) => reply(501, (5, 5, 4), "Syntax: DATA"),
                    ("BDAT", true, _) => reply(501, (5, 5, 4), "Syntax: BDAT count [LAST]"),
                    ("DATA", _, None) => reply(503, (5, 5, 1), "Error: need RCPT command"),
                    (_, _, None) => reply(554, (5, 5, 1), "Error: need MAIL command"),
                    _ => reply(554, (5, 5, 1), "Error: no valid recipients"),
                }
            }
            "RSET" => {
                self.sender = None;
                reply(250, (2, 0, 0), "Ok")
            }
            "NOOP" => reply(250, (2, 0, 0), "Ok"),
            "VRFY" if self.rules.disable_vrfy => reply(502, (5, 5, 1), "VRFY command is disabled"),
            "VRFY" if rest.is_empty() => reply(501, (5, 5, 4), "Syntax: VRFY address"),
            "VRFY" => self.refusal(),
            "ETRN" if rest.is_empty() => Reply::plain(500, "Syntax: ETRN domain"),
            "ETRN" => Reply::plain(458, "Unable to queue messages"),
            "STARTTLS" => reply(502, (5, 5, 1), "Error: command not implemented"),
            "QUIT" => {
                out.closes = true;
                reply(221, (2, 0, 0), "Bye")
            }
            _ => reply(502, (5, 5, 2), "Error: command not recognized"),
        }
    }

    fn helo(&mut self, verb: &'static str, rest: &str, out: &mut Outputs) -> Reply {
        let Some(name) = rest.split_ascii_whitespace().next() else {
            return Reply::plain(501, format!("Syntax: {verb} hostname"));
        };
        name.clone_into(&mut self.helo);
        self.sender = None;
        self.esmtp = verb == "EHLO";
        let mut text = self.rules.myhostname.clone();
        if self.esmtp {
            let (off, size) = (self.keywords.keywords, self.rules.message_size_limit);
            out.findings.extend(self.keywords.told.clone().map(Finding::KeywordsDiscarded));
            let size = if size == 0 { "SIZE".to_owned() } else { format!("SIZE {size}") };
            for (keyword, offered) in [
                (size.as_str(), !off.size),
                ("VRFY", !off.vrfy && self.rules.announces_vrfy),
                ("ETRN", !off.etrn),
                ("ENHANCEDSTATUSCODES", !off.enhancedstatuscodes),
                ("8BITMIME", !off.eightbitmime),
                ("DSN", !off.dsn),
                ("SMTPUTF8", !off.smtputf8 && self.rules.smtputf8),
                ("CHUNKING", !off.chunking),
            ] {
                if offered {
                    text = format!("{text}\n{keyword}");
                }
            }
        }
        Reply::plain(250, text)
    }

    fn mail(&mut self, rest: &str) -> Reply {
        if self.rules.helo_required && self.helo.is_empty() {
            return reply(503, (5, 5, 1), "Error: send HELO/EHLO first");
        }
        if self.sender.is_some() {
            return reply(503, (5, 5, 1), "Error: nested MAIL command");
        }
        match address(rest, "FROM:") {
            Some(sender) => {
                self.sender = Some(sender);
                reply(250, (2, 1, 0), "Ok")
            }
            None => reply(501, (5, 5, 4), "Syntax: MAIL FROM:<address>"),
        }
    }

    fn rcpt(&mut self, rest: &str, out: &mut Outputs) -> Reply {
        let Some(sender) = self.sender.clone() else {
            return reply(503, (5, 5, 1), "Error: need MAIL command");
        };
        let Some(recipient) = address(rest, "TO:") else {
            return reply(501, (5, 5, 4), "Syntax: RCPT TO:<address>");
        };
        self.reached_rcpt = true;
        let (reply, protocol) = (self.refusal(), if self.esmtp { "ESMTP" } else { "SMTP" });
        let rejection =
            Rejection { reply: reply.clone(), sender, recipient, protocol, helo: self.helo.clone() };
        out.findings.push(Finding::Rejected(Box::new(rejection)));
        reply
    }

    fn refusal(&self) -> Reply {
        let later = || reply(450, (4, 3, 2), "Service currently unavailable");
        self.judgement.refusal.clone().unwrap_or_else(later)
    }
}

/// The address behind `FROM:` or `TO:`. Postfix takes nearly anything for one here, since none is used.
fn address(rest: &str, keyword: &str) -> Option<Address> {
    let (found, rest) = rest.split_at_checked(keyword.len())?;
    if !found.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = rest.trim_start();
    let word = match rest.find('>') {
        Some(end) if rest.starts_with('<') => &rest[..=end],
        _ => rest.split_ascii_whitespace().next().unwrap_or_default(),
    };
    let rules = path::Rules { may_be_null: true, strict: false, utf8: true };
    let plain = || Address::new(word.trim_matches(['<', '>']));
    Some(path::parse(word.as_bytes(), rules).unwrap_or_else(plain))
}

#[cfg(test)]
mod tests;
