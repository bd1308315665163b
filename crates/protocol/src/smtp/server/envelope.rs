//! HELO, EHLO, MAIL, RCPT, VRFY and ETRN: their syntax, their options, and the exact replies to mistakes.

use super::identity::{XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES};
use super::session::{Outputs, Session};
use super::state::{Asked, Done};
use super::{Ask, Host, MailRequest, Note};
use crate::smtp::command::{self, Verb, Word};
use crate::smtp::{path, xtext};
use mail::{Address, Dsn, Encoding, Notify, Recipient, Reply, Ret};

/// Characters of a HELO name that become `?`: it goes into headers and log lines.
const UNSAFE_IN_HELO: &[u8] = b" <>()\\\";@";

impl<H: Host> Session<H> {
    pub(super) fn hello(&mut self, verb: Verb, words: &[Word<'_>], out: &mut Outputs) -> Done {
        if words.len() < 2 {
            self.say(out, &Reply::plain(501, format!("Syntax: {} hostname", verb.name())));
            return Done::Failed;
        }
        let name = words[1..].iter().map(|w| w.text).collect::<Vec<_>>().join(&b' ');
        let safe: Vec<u8> = name
            .into_iter()
            .map(|b| if b < 0x20 || b == 0x7f || UNSAFE_IN_HELO.contains(&b) { b'?' } else { b })
            .collect();
        let name = String::from_utf8_lossy(&safe).into_owned();
        Done::Ask(Asked::Helo { verb, name: name.clone() }, Ask::Helo { verb, name })
    }

    /// What HELO and EHLO are answered with.
    pub(super) fn introduce(&mut self, verb: Verb, out: &mut Outputs) {
        let s = &self.settings;
        let off = self.peer.discard_ehlo;
        let mut lines = vec![s.myhostname.clone()];
        if verb == Verb::Ehlo {
            let discarded = off.names().collect::<Vec<_>>().join(" ");
            // As Postfix: with ENHANCEDSTATUSCODES among them they are discarded in silence.
            if !discarded.is_empty() && !off.silently && !off.enhancedstatuscodes {
                out.notes.push(Note::DiscardedKeywords(discarded));
            }
            let size = match s.message_size_limit {
                0 => "SIZE".to_owned(),
                limit => format!("SIZE {limit}"),
            };
            let xclient = format!("XCLIENT {XCLIENT_ATTRIBUTES}");
            let xforward = format!("XFORWARD {XFORWARD_ATTRIBUTES}");
            let keywords = [
                (!off.pipelining, "PIPELINING"),
                (!off.size, &size),
                (!off.vrfy && !s.disable_vrfy_command, "VRFY"),
                (!off.etrn, "ETRN"),
                (!off.verp && self.peer.verp, "XVERP"),
                (!off.xclient && self.peer.xclient, &xclient),
                (!off.xforward && self.peer.xforward, &xforward),
                (!off.enhancedstatuscodes, "ENHANCEDSTATUSCODES"),
                (!off.eightbitmime, "8BITMIME"),
                (!off.dsn, "DSN"),
                (!off.smtputf8 && s.smtputf8_enable, "SMTPUTF8"),
                (!off.chunking, "CHUNKING"),
            ];
            lines.extend(keywords.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
        }
        self.say(out, &Reply::plain(250, lines.join("\n")));
    }

    /// A command that was counted and may go on.
    pub(super) fn counted(&mut self, verb: Verb, line: &[u8], out: &mut Outputs) -> Done {
        let words = command::words(line);
        match verb {
            Verb::Mail => self.mail_arguments(&words, out),
            Verb::Rcpt => self.rcpt_arguments(&words, out),
            Verb::Vrfy => self.vrfy_arguments(&words, out),
            _ => unreachable!("no other command is counted"),
        }
    }

    pub(super) fn mail_command(&mut self, words: &[Word<'_>], line: &[u8], out: &mut Outputs) -> Done {
        if self.settings.helo_required && self.helo().is_none() {
            return self.fail(out, 503, (5, 5, 1), "Error: send HELO/EHLO first");
        }
        if self.transaction.is_some() {
            return self.fail(out, 503, (5, 5, 1), "Error: nested MAIL command");
        }
        if self.content.is_some() {
            return self.fail(out, 503, (5, 5, 1), "Error: MAIL after BDAT");
        }
        if !matches!(words, [_, from, _, ..] if from.is("FROM:")) {
            return self.fail(out, 501, (5, 5, 4), "Syntax: MAIL FROM:<address>");
        }
        match self.peer.counted.messages {
            true => ask_count(Verb::Mail, line),
            false => self.mail_arguments(words, out),
        }
    }

    fn mail_arguments(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        let [_, _, word, options @ ..] = words else { unreachable!("the words were looked at before") };
        let smtputf8 = options.iter().any(|option| option.is("SMTPUTF8"));
        let Some(sender) = self.address(Verb::Mail, *word, smtputf8, out) else {
            return self.fail(out, 501, (5, 1, 7), "Bad sender address syntax");
        };
        let mut request = MailRequest {
            sender,
            size: 0,
            encoding: Encoding::Unknown,
            smtputf8: false,
            ret: None,
            envid: String::new(),
            sasl_sender: None,
            verp: None,
        };
        for option in options {
            if let Err(reply) = self.mail_option(*option, &mut request) {
                self.say(out, &reply);
                return Done::Failed;
            }
        }
        if self.settings.strict_smtputf8 && !request.smtputf8 && request.sender.needs_smtputf8() {
            return self.fail(out, 553, (5, 6, 7), "Must declare SMTPUTF8 to send unicode address");
        }
        let limit = self.settings.message_size_limit;
        if limit > 0 && request.size > limit {
            let reply = self.softened(Reply::new(552, Dsn::new(5, 3, 4), "Message size exceeds fixed limit"));
            out.notes.push(Note::Rejected {
                command: "MAIL",
                reply: reply.clone(),
                sender: Some(request.sender),
                sasl_sender: request.sasl_sender,
            });
            self.say(out, &reply);
            return Done::Failed;
        }
        if request.verp.is_some() && request.sender.is_null() {
            return self.fail(out, 503, (5, 5, 4), "Error: XVERP requires non-null sender");
        }
        Done::Ask(Asked::Mail(request.clone()), Ask::Mail(request))
    }

    fn mail_option(&self, option: Word<'_>, request: &mut MailRequest) -> Result<(), Reply> {
        let dsn_off = || reply(501, (5, 7, 1), "DSN support is disabled");
        let off = self.peer.discard_ehlo;
        if option.is("BODY=8BITMIME") {
            request.encoding = Encoding::EightBit;
        } else if option.is("BODY=7BIT") {
            request.encoding = Encoding::SevenBit;
        } else if let Some(value) = option.value_of("SIZE") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(reply(501, (5, 5, 4), "Bad message size syntax"));
            }
            // As Postfix's off_t: 63 bits.
            let size = std::str::from_utf8(value).ok().and_then(|v| v.parse::<i64>().ok());
            let too_much = || reply(552, (5, 3, 4), "Message size exceeds file system imposed limit");
            request.size = size.ok_or_else(too_much)?.unsigned_abs();
        } else if option.is("SMTPUTF8") && self.settings.smtputf8_enable && !off.smtputf8 {
            request.smtputf8 = true;
        } else if let Some(value) = option.value_of("AUTH") {
            // RFC 4954 5: who submitted it first. Whether the client has logged in is no matter, as with Postfix.
            if request.sasl_sender.is_some() {
                return Err(reply(503, (5, 5, 4), "Error: multiple AUTH= options"));
            }
            if value != b"<>" {
                request.sasl_sender = Some(self.printable(value));
            }
        } else if let Some(value) = option.value_of("RET") {
            if off.dsn {
                return Err(dsn_off());
            }
            let ret = match value.to_ascii_uppercase().as_slice() {
                b"FULL" => Some(Ret::Full),
                b"HDRS" => Some(Ret::Hdrs),
                _ => None,
            };
            if ret.is_none() || request.ret.is_some() {
                return Err(reply(501, (5, 5, 4), "Bad RET parameter syntax"));
            }
            request.ret = ret;
        } else if let Some(value) = option.value_of("ENVID") {
            if off.dsn {
                return Err(dsn_off());
            }
            let envid = xtext::decode_xtext(value).filter(|v| v.iter().all(|b| (0x20..0x7f).contains(b)));
            match envid.and_then(|v| String::from_utf8(v).ok()) {
                Some(envid) if request.envid.is_empty() && !envid.is_empty() => request.envid = envid,
                _ => return Err(reply(501, (5, 5, 4), "Bad ENVID parameter syntax")),
            }
        } else if self.peer.verp && option.is("XVERP") {
            request.verp = Some(self.settings.verp_delimiters);
        } else if let Some(value) = option.value_of("XVERP").filter(|_| self.peer.verp) {
            request.verp = Some(self.delimiters(value)?);
        } else {
            return Err(unsupported(option));
        }
        Ok(())
    }

    /// The characters that XVERP names (VERP_README).
    fn delimiters(&self, value: &[u8]) -> Result<[u8; 2], Reply> {
        let filter = &self.settings.verp_delimiter_filter;
        let allowed = |both: &[u8; 2]| both.iter().all(|b| filter.as_bytes().contains(b));
        let wrong = || reply(501, (5, 5, 4), &format!("Error: XVERP needs two characters from {filter}"));
        value.try_into().ok().filter(allowed).ok_or_else(wrong)
    }

    /// A text for the log and for policy services, with `?` for what is none.
    fn printable(&self, value: &[u8]) -> String {
        let wide = self.settings.smtputf8_enable;
        let odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER || !(wide || c.is_ascii());
        String::from_utf8_lossy(value).chars().map(|c| if odd(c) { '?' } else { c }).collect()
    }

    pub(super) fn rcpt_command(&mut self, words: &[Word<'_>], line: &[u8], out: &mut Outputs) -> Done {
        if self.transaction.is_none() {
            return self.fail(out, 503, (5, 5, 1), "Error: need MAIL command");
        }
        if self.content.is_some() {
            return self.fail(out, 503, (5, 5, 1), "Error: RCPT after BDAT");
        }
        if !matches!(words, [_, to, _, ..] if to.is("TO:")) {
            return self.fail(out, 501, (5, 5, 4), "Syntax: RCPT TO:<address>");
        }
        match self.peer.counted.recipients {
            true => ask_count(Verb::Rcpt, line),
            false => self.rcpt_arguments(words, out),
        }
    }

    fn rcpt_arguments(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        let ([_, _, word, options @ ..], Some(transaction)) = (words, &self.transaction) else {
            unreachable!("the words were looked at before, inside the transaction")
        };
        let (count, smtputf8) = (transaction.recipients.len(), transaction.request.smtputf8);
        let Some(address) = self.address(Verb::Rcpt, *word, smtputf8, out) else {
            return self.fail(out, 501, (5, 1, 3), "Bad recipient address syntax");
        };
        let mut recipient = Recipient::new(address);
        for option in options {
            if let Err(reply) = self.rcpt_option(*option, &mut recipient, out) {
                self.say(out, &reply);
                return Done::Failed;
            }
        }
        if self.settings.strict_smtputf8 && !smtputf8 && recipient.address.needs_smtputf8() {
            return self.fail(out, 553, (5, 6, 7), "Must declare SMTPUTF8 to send unicode address");
        }
        if self.settings.recipient_limit > 0 && count >= self.settings.recipient_limit {
            self.say(out, &reply(452, (4, 5, 3), "Error: too many recipients"));
            return self.overshoot();
        }
        Done::Ask(Asked::Rcpt(recipient.clone()), Ask::Rcpt(recipient))
    }

    fn rcpt_option(
        &self,
        option: Word<'_>,
        recipient: &mut Recipient,
        out: &mut Outputs,
    ) -> Result<(), Reply> {
        let dsn_off = || reply(501, (5, 7, 1), "DSN support is disabled");
        if let Some(value) = option.value_of("NOTIFY") {
            if self.peer.discard_ehlo.dsn {
                return Err(dsn_off());
            }
            match notify(value) {
                Some(notify) if recipient.notify == Notify::default() => recipient.notify = notify,
                found => {
                    if found.is_none() && !value.is_empty() && !has_known_words(value) {
                        out.notes.push(Note::UnknownNotify(value.to_vec()));
                    }
                    return Err(reply(501, (5, 5, 4), "Error: Bad NOTIFY parameter syntax"));
                }
            }
        } else if let Some(value) = option.value_of("ORCPT") {
            if self.peer.discard_ehlo.dsn {
                return Err(dsn_off());
            }
            match original_recipient(value) {
                Some(orcpt) if recipient.dsn_orcpt.is_empty() => recipient.dsn_orcpt = orcpt,
                _ => return Err(reply(501, (5, 5, 4), "Error: Bad ORCPT parameter syntax")),
            }
        } else {
            return Err(unsupported(option));
        }
        Ok(())
    }

    pub(super) fn vrfy_command(&mut self, words: &[Word<'_>], line: &[u8], out: &mut Outputs) -> Done {
        if self.settings.disable_vrfy_command {
            return self.fail(out, 502, (5, 5, 1), "VRFY command is disabled");
        }
        match self.peer.counted.recipients && words.len() > 1 {
            true => ask_count(Verb::Vrfy, line),
            false => self.vrfy_arguments(words, out),
        }
    }

    fn vrfy_arguments(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        // As Postfix: all of the line is the address, but for the option.
        let (words, smtputf8) = match words {
            [_, words @ .., option] if self.settings.smtputf8_enable && option.is("SMTPUTF8") => {
                (words, true)
            }
            [_, words @ ..] => (words, false),
            [] => (words, false),
        };
        if words.is_empty() {
            return self.fail(out, 501, (5, 5, 4), "Syntax: VRFY address [SMTPUTF8]");
        }
        let text = words.iter().map(|w| w.text).collect::<Vec<_>>().join(&b' ');
        match self.address(Verb::Vrfy, Word { text: &text, closed: true }, smtputf8, out) {
            Some(address) => {
                Done::Ask(Asked::Vrfy(String::from_utf8_lossy(&text).into_owned()), Ask::Vrfy(address))
            }
            None => self.fail(out, 501, (5, 1, 3), "Bad recipient address syntax"),
        }
    }

    pub(super) fn etrn_command(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        if self.settings.helo_required && self.helo().is_none() {
            return self.fail_plain(out, 503, "Error: send HELO/EHLO first");
        }
        if self.transaction.is_some() {
            return self.fail_plain(out, 503, "Error: MAIL transaction in progress");
        }
        let [_, word] = words else {
            return self.fail_plain(out, 500, "Syntax: ETRN domain");
        };
        let domain = word.text.strip_prefix(b"@").or(word.text.strip_prefix(b"#")).unwrap_or(word.text);
        // Stricter than in addresses: ASCII, and without a dot at the end.
        match std::str::from_utf8(domain) {
            Ok(text) if !text.ends_with('.') && path::is_valid_domain(domain, false) => {
                Done::Ask(Asked::Etrn, Ask::Etrn(text.to_owned()))
            }
            _ => self.fail_plain(out, 501, "Error: invalid parameter syntax"),
        }
    }

    fn fail_plain(&mut self, out: &mut Outputs, code: u16, text: &str) -> Done {
        self.say(out, &Reply::plain(code, text));
        Done::Failed
    }

    fn address(&self, command: Verb, word: Word<'_>, smtputf8: bool, out: &mut Outputs) -> Option<Address> {
        if !word.closed {
            return None;
        }
        let strict = self.settings.strict_rfc821_envelopes && command != Verb::Vrfy;
        let may_be_null = command == Verb::Mail;
        let utf8 = smtputf8 && self.settings.smtputf8_enable;
        let rules = path::Rules { may_be_null, strict, utf8 };
        // Programs that get it as an argument would take `-…` for an option.
        let is_allowed = |a: &Address| self.settings.allow_min_user || !a.as_bytes().starts_with(b"-");
        let address = path::parse(word.text, rules).filter(is_allowed);
        if address.is_none() {
            out.notes.push(Note::IllegalAddress { command, text: word.text.to_vec() });
        }
        address
    }
}

/// The driver counts the command; then it is read on.
fn ask_count(verb: Verb, line: &[u8]) -> Done {
    Done::Ask(Asked::Count(verb, line.to_vec()), Ask::Count(verb))
}

fn reply(code: u16, dsn: (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Dsn::new(dsn.0, dsn.1, dsn.2), text)
}

fn unsupported(option: Word<'_>) -> Reply {
    reply(555, (5, 5, 4), &format!("Unsupported option: {}", String::from_utf8_lossy(option.text)))
}

fn has_known_words(value: &[u8]) -> bool {
    let known = |word: &[u8]| {
        ["NEVER", "SUCCESS", "FAILURE", "DELAY"].iter().any(|k| word.eq_ignore_ascii_case(k.as_bytes()))
    };
    value.split(|&b| b == b',').all(known)
}

fn notify(value: &[u8]) -> Option<Notify> {
    let mut bits = 0;
    for word in value.split(|&b| b == b',') {
        bits |= match word.to_ascii_uppercase().as_slice() {
            b"NEVER" => Notify::NEVER.0,
            b"SUCCESS" => Notify::SUCCESS.0,
            b"FAILURE" => Notify::FAILURE.0,
            b"DELAY" => Notify::DELAY.0,
            _ => return None,
        };
    }
    (bits == Notify::NEVER.0 || bits & Notify::NEVER.0 == 0).then_some(Notify(bits))
}

fn original_recipient(value: &[u8]) -> Option<String> {
    let divide = value.iter().position(|&b| b == b';').filter(|&n| n > 0)?;
    let (kind, coded) = (&value[..divide], &value[divide + 1..]);
    let decoded = if kind.eq_ignore_ascii_case(b"utf-8") {
        xtext::decode_utf8_xtext(coded)?
    } else {
        xtext::decode_xtext(coded)?
    };
    // It goes into headers of reports and into records: no line ends, no NUL.
    let clean = decoded.iter().all(|&b| b >= 0x20 && b != 0x7f);
    let text = [kind, b";", &decoded].concat();
    clean.then(|| String::from_utf8(text).ok())?
}
