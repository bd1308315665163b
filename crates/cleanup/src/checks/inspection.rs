//! A message under inspection: its structure is followed, tables are asked, what they want is kept.

use super::action::{self, Action, Deed};
use super::lines;
use super::settings::Checks;
use crate::Refusal;
use bytes::{Bytes, BytesMut};
use mail::mime::{Domain, Event, Fault, Header, HeaderEnd, Line, Mime, Section, first_line};
use mail::{Address, ContentFlags, Dsn, QueueId, Reply};
use observe::events::checks as events;
use observe::{Tag, emit};
use std::collections::VecDeque;
use std::sync::Arc;
use tables::search::Key;
use tables::{Lookup, Maps};

/// Where a message comes from and goes to, for the log.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The client as `NAME[ADDRESS]`, or `local`.
    pub origin: &'a str,
    /// The protocol of an SMTP client; empty where there is none.
    pub protocol: &'a str,
    /// What it said in HELO; empty where it said nothing.
    pub helo: &'a str,
    /// The envelope sender.
    pub sender: &'a Address,
    /// The last recipient.
    pub recipient: Option<&'a Address>,
}

/// What was found in a message, and what is to become of it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// It is taken and thrown away.
    pub discard: bool,
    /// Why it is held.
    pub hold: Option<String>,
    /// `transport:nexthop` through which it goes.
    pub filter: Option<String>,
    /// Its only recipient.
    pub redirect: Option<Address>,
    /// Recipients in addition.
    pub bcc: Vec<Address>,
    /// Its header tells that it is 8-bit.
    pub eight_bit: bool,
    /// Why it is not taken: it goes back to its sender.
    pub refusal: Option<Refusal>,
    /// What lines that were put in have.
    pub flags: ContentFlags,
}

/// What is kept of content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// To be cleaned like all content.
    Content(Bytes),
    /// A header that a table put in: it stands as it is.
    PutIn(Bytes),
}

/// A message that is looked at as it comes.
#[derive(Clone, Debug)]
pub struct Inspection {
    checks: Arc<Checks>,
    tag: Tag,
    queue_id: QueueId,
    /// `NAME[ADDRESS]; from=<…> to=<…>`, and the rest: ` proto=… helo=<…>`.
    origin: (String, String),
    mime: Mime,
    /// What was read and not yet looked at.
    steps: VecDeque<Event>,
    is_complete: bool,
    /// Tables are still asked, and characters stripped or refused.
    asks: bool,
    /// What MIME forbids is refused, also where nothing is asked any more.
    enforces: bool,
    /// What is refused is read on, since it is returned.
    returns: bool,
    /// Nothing that comes matters any more.
    over: bool,
    /// Bytes of this part's body so far.
    offset: u64,
    /// A line of a body that is not whole.
    held: BytesMut,
    /// A character that content is refused for was told.
    rejected: bool,
    found: Found,
}

/// What a line may be, for tables and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Header(&'static str),
    Body,
}

impl Inspection {
    /// Begins. What is refused of a local program goes back to its sender, and is read to its end.
    pub fn new(checks: Arc<Checks>, tag: Tag, queue_id: QueueId, source: &Source<'_>) -> Self {
        Inspection {
            mime: Mime::new(checks.reading),
            steps: VecDeque::new(),
            is_complete: false,
            checks,
            tag,
            queue_id,
            origin: origin(source),
            asks: true,
            enforces: true,
            returns: source.protocol.is_empty(),
            over: false,
            offset: 0,
            held: BytesMut::new(),
            rejected: false,
            found: Found::default(),
        }
    }

    /// The same; without `asks` no table is asked, nothing is stripped or refused (`no_header_body_checks`).
    pub fn asking(self, asks: bool) -> Self {
        Inspection { asks, enforces: asks, ..self }
    }

    /// Nothing that comes is looked at, or can be kept: it passes as it is.
    pub(crate) fn is_idle(&self) -> bool {
        self.mime.is_plain()
            && !self.checks_body()
            && self.held.is_empty()
            && (!self.asks || self.checks.characters.is_empty())
            && !self.over
    }

    /// Nothing that comes matters: the message is refused or thrown away.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// What was found, at the end; and the refusal where the sender is not sent the message back.
    pub(crate) fn into_found(mut self) -> (Found, Option<Refusal>) {
        let returns = self.returns;
        let told = self.found.refusal.take_if(|refusal| !(returns && refusal.is_permanent()));
        (self.found, told)
    }

    /// Takes a piece of content, or its end; it is looked at with [`Inspection::next`].
    pub(crate) fn feed(&mut self, piece: Option<Bytes>) {
        if self.over {
            return;
        }
        let mut steps = Vec::new();
        match piece {
            Some(piece) => {
                let piece = self.without_characters(piece);
                self.mime.feed(piece, &mut steps);
            }
            None => {
                self.mime.finish(&mut steps);
                self.is_complete = true;
            }
        }
        self.steps.extend(steps);
    }

    /// What comes is the first that the sender wrote.
    pub(crate) fn begin_content(&mut self) {
        self.mime.begin_content();
    }

    /// Looks at the next header, or the next stretch of a body; what is kept goes to `out`. False where there is none.
    pub(crate) async fn next(&mut self, out: &mut Vec<Kept>) -> bool {
        match self.steps.pop_front().filter(|_| !self.over) {
            None if self.is_complete && !self.held.is_empty() => self.end_line(out).await,
            None => return false,
            Some(Event::Header(header)) => self.header(header, out).await,
            Some(Event::HeaderEnd(end)) => self.end_header(&end, out).await,
            Some(Event::Boundary(line, closes)) => self.boundary(line, closes, out).await,
            Some(Event::Body(piece)) => self.body(piece, out).await,
            Some(Event::Fault(fault)) => self.fault(&fault),
        }
        true
    }

    fn without_characters(&mut self, piece: Bytes) -> Bytes {
        if !self.asks {
            return piece;
        }
        let Some(stripped) = self.checks.characters.stripped(&piece) else { return piece };
        // What a line begins with now, and how long it is, nobody has looked at.
        self.found.flags = self.found.flags.with(ContentFlags::LEADING_DOT).with(ContentFlags::WIDE_LINE);
        stripped
    }

    /// A character that content is refused for: the first is told with its line.
    fn reject_characters(&mut self, text: &[u8]) {
        let Some(at) = self.checks.characters.rejected(text).filter(|_| self.asks && !self.rejected) else {
            return;
        };
        self.rejected = true;
        let from = memchr::memrchr(b'\n', &text[..at]).map_or(0, |n| n + 1);
        let to = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n);
        let line = text[from..to].strip_suffix(b"\r").unwrap_or(&text[from..to]);
        self.tell("reject", "content", line, b"5.7.1 disallowed character");
        self.refuse(Reply::new(550, Dsn::new(5, 7, 1), "disallowed character"));
        self.over = !self.returns;
    }

    async fn header(&mut self, header: Header, out: &mut Vec<Kept>) {
        let limit = self.checks.reading.header_bytes_max;
        self.reject_characters(&header.text);
        if self.over {
            return;
        }
        let parameter = match header.section {
            _ if header.describes_content => "mime_header_checks",
            Section::Message => "header_checks",
            Section::Part => "mime_header_checks",
            Section::Nested => "nested_header_checks",
        };
        match self.ask(Sort::Header(parameter), &header.text, out).await {
            Verdict::Keep => out.push(Kept::Content(Bytes::from(lines::folded(&header.text, limit)))),
            Verdict::Replace(text) => out.push(Kept::Content(Bytes::from(lines::folded(&text, limit)))),
            Verdict::Drop => {}
        }
    }

    async fn end_header(&mut self, end: &HeaderEnd, out: &mut Vec<Kept>) {
        // The message's own header always ends with an empty line.
        if end.has_blank || end.section == Section::Message {
            out.push(Kept::Content(Bytes::from_static(b"\r\n")));
        }
        if end.section == Section::Message && self.checks.detects_encoding {
            self.found.eight_bit = end.domain != Domain::SevenBit;
        }
        // The empty line is the body's.
        self.offset = u64::from(end.has_blank);
    }

    /// A boundary is a line of the body. The last one begins what stands behind the parts.
    async fn boundary(&mut self, line: Bytes, closes: bool, out: &mut Vec<Kept>) {
        self.end_line(out).await;
        if closes {
            self.offset = 0;
        }
        self.body(line, out).await;
        self.end_line(out).await;
    }

    /// Some of a body: whole lines are looked at, the rest waits.
    async fn body(&mut self, piece: Bytes, out: &mut Vec<Kept>) {
        self.reject_characters(&piece);
        if !self.checks_body() && self.held.is_empty() {
            return out.push(Kept::Content(piece));
        }
        let piece = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                self.held.split().freeze()
            }
        };
        // `from..at` is kept and not yet passed on.
        let (mut from, mut at) = (0, 0);
        while self.checks_body()
            && let Some(line) = first_line(&piece[at..])
        {
            let mut put_in = Vec::new();
            let verdict = self.line(&piece[at..], line, &mut put_in).await;
            if !put_in.is_empty() || verdict != Verdict::Keep {
                keep(piece.slice(from..at), out);
                out.extend(put_in);
                from = if verdict == Verdict::Keep { at } else { at + line.whole };
                if let Verdict::Replace(text) = verdict {
                    out.push(Kept::Content(with_end(text)));
                }
            }
            at += line.whole;
        }
        let rest = if self.checks_body() { at } else { piece.len() };
        keep(piece.slice(from..rest), out);
        self.held.extend_from_slice(&piece[rest..]);
    }

    async fn line(&mut self, bytes: &[u8], line: Line, out: &mut Vec<Kept>) -> Verdict {
        self.offset += line.text as u64 + 1;
        if line.text == 0 {
            return Verdict::Keep;
        }
        self.ask(Sort::Body, &bytes[..line.text], out).await
    }

    /// A line that got no end is one now.
    async fn end_line(&mut self, out: &mut Vec<Kept>) {
        let held = self.held.split().freeze();
        if held.is_empty() {
            return;
        }
        let text = held.strip_suffix(b"\r").map_or(held.len(), <[u8]>::len);
        let line = Line { whole: held.len(), text, ended: false };
        match self.line(&held, line, out).await {
            Verdict::Keep => out.push(Kept::Content(held)),
            Verdict::Replace(text) => out.push(Kept::Content(with_end(text))),
            Verdict::Drop => {}
        }
    }

    /// Lines of the body are still matched with tables.
    fn checks_body(&self) -> bool {
        self.asks && !self.over && !self.checks.body.is_empty() && self.offset < self.checks.body_bytes_max
    }

    /// Asks the tables about a line, and does what they say.
    async fn ask(&mut self, sort: Sort, line: &[u8], out: &mut Vec<Kept>) -> Verdict {
        let maps = self.maps(sort);
        if !self.asks || maps.is_empty() {
            return Verdict::Keep;
        }
        let (text, is_latin) = readable(line);
        match maps.lookup(&Key { text, part: false }).await {
            Lookup::NotFound => Verdict::Keep,
            Lookup::TempFail(_) => {
                emit(
                    &self.tag,
                    &events::Unanswered { queue_id: &self.queue_id, parameter: sort.parameter() },
                );
                (self.asks, self.over) = (false, true);
                self.found.refusal = Some(Refusal::cannot_write());
                Verdict::Drop
            }
            Lookup::Found(result) => self.act(sort, line, &result, is_latin, out),
        }
    }

    fn maps(&self, sort: Sort) -> &Maps {
        match sort {
            Sort::Header("header_checks") => &self.checks.header,
            Sort::Header("nested_header_checks") => &self.checks.nested_header,
            Sort::Header(_) => &self.checks.mime_header,
            Sort::Body => &self.checks.body,
        }
    }

    fn act(&mut self, sort: Sort, line: &[u8], result: &str, is_latin: bool, out: &mut Vec<Kept>) -> Verdict {
        let parsed = action::parse(result, sort.parameter(), sort != Sort::Body);
        if let Some(warning) = action::misfit(result) {
            observe::warn(&self.tag, format_args!("{warning}"));
        }
        let (deed, text) = match parsed {
            Err(warning) => {
                observe::warn(&self.tag, format_args!("{warning}"));
                return Verdict::Keep;
            }
            Ok(Action::Nothing) => return Verdict::Keep,
            Ok(Action::Ignore) => return Verdict::Drop,
            Ok(Action::Reject(reply)) => {
                let (dsn, text) = (reply.dsn.map_or_else(String::new, |dsn| format!("{dsn} ")), &reply.text);
                self.tell("reject", sort.what(), line, format!("{dsn}{text}").as_bytes());
                self.asks = false;
                self.over = !(self.returns && reply.is_permanent());
                self.refuse(reply);
                return Verdict::Keep;
            }
            Ok(Action::Do(deed, text)) => (deed, text),
        };
        if deed != Deed::Hold || self.found.hold.is_none() {
            self.tell(deed.word(), sort.what(), line, &written(&text, is_latin));
        }
        // Nothing that is found later changes these.
        self.asks &= !matches!(deed, Deed::Discard | Deed::Redirect(_) | Deed::Pass);
        match deed {
            Deed::Discard => (self.found.discard, self.over) = (true, true),
            Deed::Hold => self.found.hold = self.found.hold.take().or(Some(text)),
            Deed::Filter => self.found.filter = Some(text),
            Deed::Redirect(address) => self.found.redirect = Some(address),
            Deed::Bcc(address) => self.found.bcc.push(address),
            Deed::Prepend => {
                let text = self.put_in(&text, is_latin);
                out.push(match sort {
                    Sort::Body => Kept::Content(with_end(text)),
                    Sort::Header(_) => Kept::PutIn(Bytes::from(lines::folded(&text, usize::MAX))),
                });
            }
            Deed::Replace => return Verdict::Replace(self.put_in(&text, is_latin)),
            Deed::Strip => return Verdict::Drop,
            Deed::Info | Deed::Warn | Deed::Pass => {}
        }
        Verdict::Keep
    }

    /// A text of a table as content, and what is to be known of it.
    fn put_in(&mut self, text: &str, is_latin: bool) -> Vec<u8> {
        let text = written(text, is_latin);
        let mut flags = self.found.flags;
        for (holds, flag) in [
            (!text.is_ascii(), ContentFlags::EIGHT_BIT),
            (text.starts_with(b"."), ContentFlags::LEADING_DOT),
            (text.len() >= mail::WIDE_LINE, ContentFlags::WIDE_LINE),
            (text.len() > crate::message::LONG_LINE, ContentFlags::LONG_LINE),
        ] {
            flags = if holds { flags.with(flag) } else { flags };
        }
        self.found.flags = flags;
        text
    }

    fn fault(&mut self, fault: &Fault) {
        let (refused, why, line) = match fault {
            Fault::TooDeep(line) => (true, "MIME nesting exceeds safety limit", line),
            Fault::EncodedParts(encoding) => {
                (self.checks.strict_encodings, "invalid message/* or multipart/* encoding domain", encoding)
            }
            Fault::EightBitHeader(line) => {
                (self.checks.strict_headers, "improper use of 8-bit data in message header", line)
            }
            Fault::EightBitBody(line) => {
                (self.checks.strict_bodies, "improper use of 8-bit data in message body", line)
            }
        };
        if refused && self.enforces {
            let (queue_id, origin) = (&self.queue_id, &self.origin.0);
            emit(&self.tag, &events::MimeError { queue_id, why, line, origin });
            self.refuse(Reply::new(550, Dsn::new(5, 6, 0), why));
        }
    }

    fn tell(&self, word: &str, what: &str, line: &[u8], reason: &[u8]) {
        let (near, rest) = &self.origin;
        let origin = format!("{near}{rest}");
        let queue_id = &self.queue_id;
        emit(&self.tag, &events::Found { queue_id, word, what, line, origin: &origin, reason });
    }

    fn refuse(&mut self, reply: Reply) {
        self.found.refusal.get_or_insert(Refusal::content(reply));
    }
}

impl Sort {
    fn parameter(self) -> &'static str {
        match self {
            Sort::Header(parameter) => parameter,
            Sort::Body => "body_checks",
        }
    }

    fn what(self) -> &'static str {
        if self == Sort::Body { "body" } else { "header" }
    }
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Replace(Vec<u8>),
    Drop,
}

fn keep(piece: Bytes, out: &mut Vec<Kept>) {
    if !piece.is_empty() {
        out.push(Kept::Content(piece));
    }
}

fn with_end(mut text: Vec<u8>) -> Bytes {
    text.extend_from_slice(b"\r\n");
    Bytes::from(text)
}

/// A line as a key. Where it is not UTF-8, each byte is the character with its number, so that patterns and what they
/// capture lose nothing.
fn readable(line: &[u8]) -> (String, bool) {
    match std::str::from_utf8(line) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (line.iter().map(|&b| char::from(b)).collect(), true),
    }
}

/// A text of a table, whose key was read as [`readable`] reads it.
fn written(text: &str, is_latin: bool) -> Vec<u8> {
    match is_latin {
        true => text.chars().flat_map(latin).collect(),
        false => text.as_bytes().to_vec(),
    }
}

/// The byte that a character stands for, or its UTF-8.
fn latin(c: char) -> Vec<u8> {
    u8::try_from(c).map_or_else(|_| c.to_string().into_bytes(), |byte| vec![byte])
}

fn origin(source: &Source<'_>) -> (String, String) {
    let external = |address: &Address| String::from_utf8_lossy(&address.to_external()).into_owned();
    let to = source.recipient.map_or_else(String::new, |to| format!(" to=<{}>", external(to)));
    let near = format!("{}; from=<{}>{to}", source.origin, external(source.sender));
    let field = |name: &str, value: &str, brackets: bool| match (value.is_empty(), brackets) {
        (true, _) => String::new(),
        (false, true) => format!(" {name}=<{value}>"),
        (false, false) => format!(" {name}={value}"),
    };
    (near, field("proto", source.protocol, false) + &field("helo", source.helo, true))
}
