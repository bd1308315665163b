//! The structure of a message (RFC 2045, 2046), read as its content comes: headers, parts, lines between them.
//!
//! Streaming: memory is bounded by one header, the boundaries of the parts that are open, and one line's beginning. Any
//! sequence of bytes is a message; what MIME forbids is told as a [`Fault`] and read on, as Postfix reads it.

mod field;
mod level;
mod lines;
#[cfg(test)]
mod tests;

use crate::LINE_RECORD_MAX;
use bytes::Bytes;
pub use field::{ContentType, Domain, field_name, value};
use field::{content_type, domain, first_word, is_mime_name};
use level::Levels;
pub use lines::{Line, first_line};

/// How a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// So much of a header is kept; whole lines are taken until it is reached (`header_size_limit`).
    pub header_bytes_max: usize,
    /// So much of a boundary counts (`mime_boundary_length_limit`).
    pub boundary_bytes_max: usize,
    /// Parts within parts (`mime_nesting_limit`).
    pub nesting_max: usize,
    /// Everything behind the message's own header is its body (`disable_mime_input_processing`).
    pub flat: bool,
    /// Looks for 8-bit bytes in bodies that are not declared to have them.
    pub watches_bodies: bool,
    /// Who reads encodes bodies that are declared to be 8-bit: an 8-bit `message/global` is one of them.
    pub narrows: bool,
}

impl Default for Reading {
    /// Postfix's defaults.
    fn default() -> Self {
        Reading {
            header_bytes_max: 102_400,
            boundary_bytes_max: 2048,
            nesting_max: 100,
            flat: false,
            watches_bodies: false,
            narrows: false,
        }
    }
}

/// Whose header it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// The message's own.
    Message,
    /// That of a part of a multipart.
    Part,
    /// That of a message within the message.
    Nested,
}

/// A step through a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A header, whole.
    Header(Header),
    /// The header of message or part is over.
    HeaderEnd(HeaderEnd),
    /// A boundary, as it came, and whether it is the last of its multipart; a long one comes in several pieces.
    Boundary(Bytes, bool),
    /// Some of a body, as it came.
    Body(Bytes),
    /// MIME forbids something.
    Fault(Fault),
}

/// A header with its continuations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it stands.
    pub section: Section,
    /// It describes content, wherever it stands.
    pub describes_content: bool,
    /// Its lines with LF between them and none behind; no blanks stand before the colon.
    pub text: Vec<u8>,
}

impl Header {
    /// What a Content-Transfer-Encoding declares; nothing of another header.
    pub fn encoding(&self) -> Option<Domain> {
        let name = field_name(&self.text)?;
        let declares = name.eq_ignore_ascii_case(b"content-transfer-encoding");
        declares.then(|| domain(Some(&first_word(value(&self.text)))))
    }
}

/// What the end of a header decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEnd {
    /// Whose header it was.
    pub section: Section,
    /// An empty line came, which is not told again; otherwise the body, or a boundary, follows at once.
    pub has_blank: bool,
    /// What bytes the body may have.
    pub domain: Domain,
    /// What the content is.
    pub kind: ContentType,
}

/// What MIME forbids; each is told where it is first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Parts within parts beyond the limit; the header that would begin another level.
    TooDeep(Vec<u8>),
    /// An encoding that `multipart` and `message` may not have (RFC 2045 6.4); the encoding.
    EncodedParts(Vec<u8>),
    /// 8-bit bytes in a header; the header.
    EightBitHeader(Vec<u8>),
    /// 8-bit bytes in a body that is declared not to have them, or not declared; the line.
    EightBitBody(Vec<u8>),
}

/// A message being read.
#[derive(Clone, Debug)]
pub struct Mime {
    reading: Reading,
    levels: Levels,
    place: Place,
    /// A line whose kind is not known yet.
    held: Vec<u8>,
    /// What comes next continues a line.
    inside: bool,
    /// That line is a boundary.
    in_boundary: bool,
    /// The block has a header already.
    begun: bool,
    /// The header that is being read.
    header: Vec<u8>,
    /// What its block says of the content.
    kind: Option<ContentType>,
    encoding: Option<Vec<u8>>,
    /// The part that is being read belongs to a digest.
    in_digest: bool,
    /// What the body may hold.
    domain: Domain,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header(Section),
    Body,
}

/// Which faults were told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    too_deep: bool,
    encoded_parts: bool,
    eight_bit_header: bool,
    eight_bit_body: bool,
}

/// What a line of a header is.
enum HeaderLine {
    Blank,
    More,
    Boundary(usize, bool),
    /// A header whose name has so many bytes, and so many stand before its colon.
    Field(usize, usize),
    /// `From ` of an mbox file, or quoted so, at the very beginning.
    Mailbox,
    Other,
}

impl Mime {
    /// A message of which nothing has come.
    pub fn new(reading: Reading) -> Self {
        Mime {
            reading,
            levels: Levels::default(),
            place: Place::Header(Section::Message),
            held: Vec::new(),
            inside: false,
            in_boundary: false,
            begun: false,
            header: Vec::new(),
            kind: None,
            encoding: None,
            in_digest: false,
            domain: Domain::SevenBit,
            told: Told::default(),
        }
    }

    /// The message's own header is over.
    pub fn is_in_body(&self) -> bool {
        self.place != Place::Header(Section::Message)
    }

    /// What comes is body up to the end: no part can begin, and nothing is looked for.
    pub fn is_plain(&self) -> bool {
        self.place == Place::Body && self.levels.is_empty() && !self.watches() && self.held.is_empty()
    }

    /// What comes is the first that the sender wrote: the headers before it were put on top.
    pub fn begin_content(&mut self) {
        self.begun = false;
    }

    /// Takes a piece; pieces break anywhere. What it leads to goes to `out`.
    pub fn feed(&mut self, piece: Bytes, out: &mut Vec<Event>) {
        let mut rest = match self.held.is_empty() {
            true => piece,
            false => {
                let mut whole = std::mem::take(&mut self.held);
                whole.extend_from_slice(&piece);
                Bytes::from(whole)
            }
        };
        while !rest.is_empty() {
            let taken = match self.place {
                _ if self.in_boundary => self.rest_of_boundary(&rest, out),
                Place::Header(section) => self.header_step(section, &rest, out),
                Place::Body => self.body_step(&rest, out),
            };
            match taken {
                Some(taken) => drop(rest.split_to(taken)),
                None => {
                    self.held = rest.to_vec();
                    return;
                }
            }
        }
    }

    /// The message is over: a last line without an end counts as one.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            match self.place {
                Place::Header(_) => {
                    let whole = [&held[..], b"\r\n"].concat();
                    self.feed(Bytes::from(whole), out);
                    // What is no header stays as it came.
                    if let Some(Event::Body(line) | Event::Boundary(line, _)) = out.last_mut() {
                        line.truncate(line.len() - 2);
                    }
                }
                Place::Body => self.body_line(Bytes::from(held), out),
            }
        }
        if let Place::Header(section) = self.place {
            self.end_field(section, out);
        }
    }

    /// Takes a line, or a part of a long one, of a header; nothing where more of it must come.
    fn header_step(&mut self, section: Section, rest: &Bytes, out: &mut Vec<Event>) -> Option<usize> {
        let end = line_end(rest);
        let next = end.unwrap_or(LINE_RECORD_MAX).min(LINE_RECORD_MAX);
        if next > rest.len() {
            return None;
        }
        let ended = end.is_some_and(|end| end <= next);
        // CR and LF stay together.
        let next = if !ended && rest[next - 1] == b'\r' { next - 1 } else { next };
        let line = &rest[..next];
        if self.inside {
            self.lengthen(without_end(line));
            self.inside = !ended;
            return Some(next);
        }
        match self.line_of_header(section, line) {
            HeaderLine::More => {
                if self.header.len() < self.reading.header_bytes_max {
                    self.header.push(b'\n');
                }
                self.lengthen(without_end(line));
            }
            HeaderLine::Field(name, colon) => {
                self.end_field(section, out);
                self.begun = true;
                self.header.extend_from_slice(&line[..name]);
                self.header.extend_from_slice(without_end(&line[colon..]));
            }
            HeaderLine::Mailbox => {
                self.end_field(section, out);
                self.header.extend_from_slice(b"X-Mailbox-Line: ");
                self.header.extend_from_slice(without_end(line));
            }
            HeaderLine::Blank => {
                self.end_header(section, true, out);
                return Some(next);
            }
            HeaderLine::Boundary(level, closes) => {
                self.end_header(section, false, out);
                self.boundary(level, closes, rest.slice(..next), ended, out);
                return Some(next);
            }
            HeaderLine::Other => {
                self.end_header(section, false, out);
                return Some(0);
            }
        }
        self.inside = !ended;
        Some(next)
    }

    fn line_of_header(&self, section: Section, line: &[u8]) -> HeaderLine {
        match without_end(line) {
            [] => return HeaderLine::Blank,
            [b' ' | b'\t', ..] if self.begun => return HeaderLine::More,
            [b' ' | b'\t', ..] => return HeaderLine::Other,
            _ => {}
        }
        if let Some((level, closes)) = self.levels.find(line) {
            return HeaderLine::Boundary(level, closes);
        }
        let unquoted = line.iter().position(|&b| b != b'>').map_or(line, |n| &line[n..]);
        if section == Section::Message && !self.begun && unquoted.starts_with(b"From ") {
            return HeaderLine::Mailbox;
        }
        let name = line.iter().take_while(|&&b| b > b' ' && b < 0x7f && b != b':').count();
        let blanks = line[name..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
        match line.get(name + blanks) {
            Some(b':') if name > 0 => HeaderLine::Field(name, name + blanks),
            _ => HeaderLine::Other,
        }
    }

    /// Adds to the header that is being read, unless it is long enough.
    fn lengthen(&mut self, more: &[u8]) {
        if self.header.len() < self.reading.header_bytes_max {
            self.header.extend_from_slice(more);
        }
    }

    /// The header that was read is whole.
    fn end_field(&mut self, section: Section, out: &mut Vec<Event>) {
        if self.header.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.header);
        let name = &text[..memchr::memchr(b':', &text).unwrap_or(text.len())];
        let describes_content = is_mime_name(name);
        if !text.is_ascii() && !std::mem::replace(&mut self.told.eight_bit_header, true) {
            out.push(Event::Fault(Fault::EightBitHeader(text.clone())));
        }
        if describes_content && !self.reading.flat {
            let value = value(&text);
            if name.eq_ignore_ascii_case(b"content-type") && self.kind.is_none() {
                let kind = content_type(value, self.reading.boundary_bytes_max);
                if let ContentType::Multipart { boundary: Some(boundary), digest } = &kind
                    && !self.levels.open(boundary, *digest, self.reading.nesting_max)
                    && !std::mem::replace(&mut self.told.too_deep, true)
                {
                    out.push(Event::Fault(Fault::TooDeep(text.clone())));
                }
                self.kind = Some(kind);
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                // Of several, the last one counts.
                self.encoding = Some(first_word(value));
            }
        }
        out.push(Event::Header(Header { section, describes_content, text }));
    }

    /// All headers of message or part were read.
    fn end_header(&mut self, section: Section, has_blank: bool, out: &mut Vec<Event>) {
        self.end_field(section, out);
        let (kind, encoding) = (self.kind.take(), self.encoding.take());
        let default = if self.in_digest { ContentType::Message } else { ContentType::Other };
        let kind = kind.unwrap_or(default);
        (self.in_digest, self.begun) = (false, false);
        let declared = domain(encoding.as_deref());
        let nests = match kind {
            ContentType::Global => !self.reading.narrows || declared == Domain::SevenBit,
            _ => kind == ContentType::Message,
        };
        self.domain = declared;
        let end = HeaderEnd { section, has_blank, domain: declared, kind: kind.clone() };
        out.push(Event::HeaderEnd(end));
        if let Some(encoding) = encoding
            && !kind.may_be_encoded(&encoding)
            && !std::mem::replace(&mut self.told.encoded_parts, true)
        {
            out.push(Event::Fault(Fault::EncodedParts(encoding)));
        }
        self.place = if nests { Place::Header(Section::Nested) } else { Place::Body };
    }

    /// A boundary: a part begins, or there are no more of them.
    fn boundary(&mut self, level: usize, closes: bool, line: Bytes, ended: bool, out: &mut Vec<Event>) {
        self.domain = Domain::SevenBit;
        (self.inside, self.in_boundary) = (false, !ended);
        if closes {
            self.levels.truncate(level);
            self.place = Place::Body;
        } else {
            self.in_digest = self.levels.is_digest(level);
            self.levels.truncate(level + 1);
            self.place = Place::Header(Section::Part);
        }
        out.push(Event::Boundary(line, closes));
    }

    /// Takes what stands behind a long boundary.
    fn rest_of_boundary(&mut self, rest: &Bytes, out: &mut Vec<Event>) -> Option<usize> {
        let end = line_end(rest);
        self.in_boundary = end.is_none();
        let taken = end.unwrap_or(rest.len());
        out.push(Event::Boundary(rest.slice(..taken), self.place == Place::Body));
        Some(taken)
    }

    /// Takes body up to a boundary; nothing where a line's beginning may become one.
    fn body_step(&mut self, rest: &Bytes, out: &mut Vec<Event>) -> Option<usize> {
        let mut rest = rest.clone();
        if self.watches() {
            // A fault shows its line.
            let whole = memchr::memrchr(b'\n', &rest).map_or(0, |n| n + 1);
            if whole == 0 && rest.len() < LINE_RECORD_MAX {
                return None;
            }
            if whole > 0 {
                rest.truncate(whole);
            }
        }
        if self.levels.is_empty() {
            self.body(rest.clone(), out);
            return Some(rest.len());
        }
        // Where the next line begins.
        let mut at = 0;
        loop {
            if self.inside {
                match line_end(&rest[at..]) {
                    Some(end) => at += end,
                    None => {
                        self.body(rest.clone(), out);
                        return Some(rest.len());
                    }
                }
                self.inside = false;
            }
            let line = &rest[at..];
            let end = line_end(line);
            let whole = end.is_some() || line.len() >= LINE_RECORD_MAX;
            if may_be_boundary(line) {
                if !whole {
                    if at > 0 {
                        self.body(rest.slice(..at), out);
                        return Some(at);
                    }
                    return None;
                }
                if let Some((level, closes)) = self.levels.find(&line[..end.unwrap_or(line.len())]) {
                    self.body(rest.slice(..at), out);
                    let next = end.unwrap_or(LINE_RECORD_MAX);
                    self.boundary(level, closes, rest.slice(at..at + next), end.is_some(), out);
                    return Some(at + next);
                }
            }
            if line.is_empty() {
                self.body(rest.clone(), out);
                return Some(rest.len());
            }
            self.inside = true;
        }
    }

    /// The last line of the message.
    fn body_line(&mut self, line: Bytes, out: &mut Vec<Event>) {
        match self.levels.find(&line) {
            Some((level, closes)) => self.boundary(level, closes, line, true, out),
            None => self.body(line, out),
        }
    }

    fn body(&mut self, mut piece: Bytes, out: &mut Vec<Event>) {
        if piece.is_empty() {
            return;
        }
        if self.watches()
            && self.domain == Domain::SevenBit
            && let Some(at) = piece.iter().position(|&b| b >= 0x80)
        {
            self.told.eight_bit_body = true;
            let from = memchr::memrchr(b'\n', &piece[..at]).map_or(0, |n| n + 1);
            let to = line_end(&piece[at..]).map_or(piece.len(), |n| at + n);
            let line = without_end(&piece[from..to]);
            let line = line[..line.len().min(LINE_RECORD_MAX)].to_vec();
            // What stands before it is told before it.
            if from > 0 {
                out.push(Event::Body(piece.split_to(from)));
            }
            out.push(Event::Fault(Fault::EightBitBody(line)));
        }
        out.push(Event::Body(piece));
    }

    /// 8-bit bytes in a body would still be told.
    fn watches(&self) -> bool {
        self.reading.watches_bodies && !self.told.eight_bit_body
    }
}

/// Behind the first LF.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|n| n + 1)
}

/// A line without LF or CRLF.
fn without_end(line: &[u8]) -> &[u8] {
    let Some(line) = line.strip_suffix(b"\n") else { return line };
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn may_be_boundary(line: &[u8]) -> bool {
    line.starts_with(b"--") || line == b"-"
}
