//! `sendmail -bs`: SMTP on standard input and output, each message into `maildrop/`.
//!
//! For programs that speak SMTP to a pipe. The user on the other side may send what he likes by `sendmail` as well,
//! so nothing is restricted here; what goes through is put right by pickup and cleanup.

use crate::addresses::parse_list;
use crate::message::{LineEnds, Message, Records as _, Rules};
use crate::options::ENVID_MAX;
use crate::sendmail::Drop;
use crate::settings::{Settings, os_text};
use crate::{Failure, TEMPFAIL};
use mail::{Encoding, Notify};
use queue::record::kind;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Longest command line (Postfix's `line_length_limit`).
const COMMAND_MAX: usize = 2048;

/// Most recipients of one message (`smtpd_recipient_limit`).
const RECIPIENTS_MAX: usize = 1000;

/// What the dialogue knows of the message so far.
#[derive(Default)]
struct Transaction {
    sender: Option<Vec<u8>>,
    encoding: Encoding,
    envid: Option<Vec<u8>>,
    ret: Option<&'static [u8]>,
    recipients: Vec<Recipient>,
}

/// A recipient, and what is to be told of it (RFC 3461).
struct Recipient {
    address: Vec<u8>,
    notify: Notify,
    original: Option<Vec<u8>>,
}

/// Speaks until QUIT or the end of the input.
pub fn run(settings: &Settings, input: &mut dyn Read, out: &mut dyn Write) -> Result<i32, Failure> {
    let mut session =
        Session { settings, input: BufReader::new(input), out, transaction: Transaction::default() };
    session.serve().map_err(|e| Failure::new(TEMPFAIL, format!("-bs: {}", os_text(&e))))?;
    Ok(0)
}

struct Session<'a> {
    settings: &'a Settings,
    input: BufReader<&'a mut dyn Read>,
    out: &'a mut dyn Write,
    transaction: Transaction,
}

impl Session<'_> {
    fn serve(&mut self) -> io::Result<()> {
        self.say(&format!("220 {}", self.settings.smtpd_banner))?;
        let mut line = Vec::new();
        while self.command(&mut line)? {
            let text = String::from_utf8_lossy(&line).into_owned();
            let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
            match verb.to_ascii_uppercase().as_str() {
                "QUIT" => return self.say("221 2.0.0 Bye"),
                "HELO" => self.hello(rest, false)?,
                "EHLO" => self.hello(rest, true)?,
                "MAIL" => self.mail(rest)?,
                "RCPT" => self.recipient(rest)?,
                "DATA" => self.data()?,
                "RSET" => {
                    self.transaction = Transaction::default();
                    self.say("250 2.0.0 Ok")?;
                }
                "NOOP" => self.say("250 2.0.0 Ok")?,
                "VRFY" => self.say("252 2.0.0 Cannot verify, but will try")?,
                _ => self.say("502 5.5.2 Error: command not recognized")?,
            }
        }
        Ok(())
    }

    fn say(&mut self, reply: &str) -> io::Result<()> {
        write!(self.out, "{reply}\r\n")?;
        self.out.flush()
    }

    /// Reads a command; false at the end of the input.
    fn command(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            line.clear();
            let n = (&mut self.input).take(COMMAND_MAX as u64).read_until(b'\n', line)?;
            if n == 0 {
                return Ok(false);
            }
            if line.ends_with(b"\n") {
                let end = line.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
                line.truncate(end);
                return Ok(true);
            }
            if n < COMMAND_MAX {
                return Ok(false);
            }
            self.input.skip_until(b'\n')?;
            self.say("500 5.5.2 Error: line too long")?;
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> io::Result<()> {
        if name.trim().is_empty() {
            return self.say("501 Syntax: EHLO hostname");
        }
        self.transaction = Transaction::default();
        let host = self.settings.myhostname.clone();
        if !extended {
            return self.say(&format!("250 {host}"));
        }
        let size = self.settings.message_size_limit;
        self.say(&format!(
            "250-{host}\r\n250-PIPELINING\r\n250-SIZE {size}\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8"
        ))
    }

    fn mail(&mut self, rest: &str) -> io::Result<()> {
        if self.transaction.sender.is_some() {
            return self.say("503 5.5.1 Error: nested MAIL command");
        }
        let Some((address, options)) = path(rest, "FROM:") else {
            return self.say("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        for option in options.split_ascii_whitespace() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
                ("BODY", "8BITMIME") => self.transaction.encoding = Encoding::EightBit,
                ("BODY", "7BIT") => self.transaction.encoding = Encoding::SevenBit,
                ("SIZE", size) if size.parse().is_ok_and(|size| self.is_too_large(size)) => {
                    return self.say("552 5.3.4 Message size exceeds fixed limit");
                }
                // What needs SMTPUTF8 is known by itself when pickup takes it.
                ("SIZE", _) | ("SMTPUTF8", "") => {}
                ("RET", "FULL") => self.transaction.ret = Some(b"1"),
                ("RET", "HDRS") => self.transaction.ret = Some(b"2"),
                ("RET", _) => return self.say("501 5.5.4 Bad RET parameter syntax"),
                ("ENVID", _) => match xtext(value).filter(|id| !id.is_empty() && id.len() <= ENVID_MAX) {
                    Some(envid) => self.transaction.envid = Some(envid),
                    None => return self.say("501 5.5.4 Bad ENVID parameter syntax"),
                },
                _ => return self.say("555 5.5.4 Unsupported option"),
            }
        }
        self.transaction.sender = Some(address);
        self.say("250 2.1.0 Ok")
    }

    fn is_too_large(&self, size: u64) -> bool {
        self.settings.message_size_limit > 0 && size > self.settings.message_size_limit
    }

    fn recipient(&mut self, rest: &str) -> io::Result<()> {
        if self.transaction.sender.is_none() {
            return self.say("503 5.5.1 Error: need MAIL command");
        }
        let Some((address, options)) = path(rest, "TO:").filter(|(address, _)| !address.is_empty()) else {
            return self.say("501 5.5.4 Syntax: RCPT TO:<address>");
        };
        let mut recipient = Recipient { address, notify: Notify::default(), original: None };
        for option in options.split_ascii_whitespace() {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.to_ascii_uppercase().as_str() {
                "NOTIFY" => match crate::options::notify(value.as_bytes()) {
                    Ok(notify) if notify != Notify::default() => recipient.notify = notify,
                    _ => return self.say("501 5.5.4 Error: Bad NOTIFY parameter syntax"),
                },
                "ORCPT" => match original(value) {
                    Some(original) => recipient.original = Some(original),
                    None => return self.say("501 5.5.4 Error: Bad ORCPT parameter syntax"),
                },
                _ => return self.say(&format!("555 5.5.4 Unsupported option: {option}")),
            }
        }
        if self.transaction.recipients.len() >= RECIPIENTS_MAX {
            return self.say("452 4.5.3 Error: too many recipients");
        }
        self.transaction.recipients.push(recipient);
        self.say("250 2.1.5 Ok")
    }

    fn data(&mut self) -> io::Result<()> {
        let Transaction { sender, encoding, envid, ret, recipients } = std::mem::take(&mut self.transaction);
        let Some(sender) = sender.filter(|_| !recipients.is_empty()) else {
            return self.say("503 5.5.1 Error: need RCPT command");
        };
        self.say("354 End data with <CR><LF>.<CR><LF>")?;
        let mut drop = Drop::open(self.settings)?;
        envid.iter().try_for_each(|envid| drop.attribute("envelope_id", envid))?;
        ret.iter().try_for_each(|ret| drop.attribute("ret_flags", ret))?;
        drop.attribute("rewrite_context", b"local")?;
        drop.record(kind::SENDER, &sender)?;
        if encoding == Encoding::EightBit {
            drop.attribute("encoding", b"8bit")?;
        }
        for Recipient { address, notify, original } in &recipients {
            if *notify != Notify::default() {
                drop.attribute("notify_flags", notify.0.to_string().as_bytes())?;
            }
            original.iter().try_for_each(|original| drop.attribute("dsn_orig_rcpt", original))?;
            drop.record(kind::RECIPIENT, address)?;
        }
        drop.record(kind::CONTENT, b"")?;
        let written = self.content(&mut drop)?;
        let done = written.and_then(|()| {
            drop.record(kind::EXTRACTED, b"")?;
            drop.record(kind::END, b"")?;
            drop.commit(self.settings)
        });
        match done {
            Ok(id) => self.say(&format!("250 2.0.0 Ok: queued as {id}")),
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                self.say("552 5.3.4 Error: message file too big")
            }
            Err(e) => self.say(&format!("451 4.3.0 Error: {}", os_text(&e))),
        }
    }

    /// Reads the content up to the line with the dot. The inner result is that of writing it: the rest of a message
    /// that cannot be kept is read all the same. An input that ends within the message is an error.
    fn content(&mut self, drop: &mut Drop) -> io::Result<io::Result<()>> {
        let rules = Rules { ignore_dots: true, extract: false, line_ends: LineEnds::Always };
        let mut message = Message::new(rules, drop);
        let mut failed = None;
        let (mut piece, mut at_start) = (Vec::new(), true);
        loop {
            piece.clear();
            (&mut self.input).take(COMMAND_MAX as u64).read_until(b'\n', &mut piece)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if at_start && (piece == b".\r\n" || piece == b".\n") {
                break;
            }
            let text = if at_start { piece.strip_prefix(b".").unwrap_or(&piece) } else { &piece };
            if failed.is_none() {
                failed = message.feed(text).err();
            }
            at_start = piece.ends_with(b"\n");
        }
        Ok(failed.map_or_else(|| message.finish().map(std::mem::drop), Err))
    }
}

/// The address behind `FROM:` or `TO:`, and the options behind it.
fn path<'a>(rest: &'a str, word: &str) -> Option<(Vec<u8>, &'a str)> {
    let rest = rest.trim_start();
    let behind =
        rest.get(..word.len()).filter(|w| w.eq_ignore_ascii_case(word)).map(|_| &rest[word.len()..])?;
    let behind = behind.trim_start();
    let (address, options) = match behind.strip_prefix('<') {
        Some(inner) => inner.split_once('>')?,
        None => behind.split_once(' ').unwrap_or((behind, "")),
    };
    if address.is_empty() && !behind.starts_with('<') {
        return None;
    }
    Some((parse_list(address.as_bytes()).into_iter().next().unwrap_or_default(), options))
}

/// `type;xtext` of ORCPT, decoded.
fn original(value: &str) -> Option<Vec<u8>> {
    let (kind, address) = value.split_once(';')?;
    let address = xtext(address).filter(|address| !address.is_empty())?;
    let fits = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| [kind.as_bytes(), b";", &address].concat())
}

/// The text that an xtext stands for (RFC 3461 4), where that can be printed.
fn xtext(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    out.iter().all(|byte| (b' '..=b'~').contains(byte)).then_some(out)
}
