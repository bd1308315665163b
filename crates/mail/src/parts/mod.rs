//! The parts of a message, found line by line in constant memory: headers, bodies, boundaries. RFC 2045, RFC 2046.
//!
//! Lines go in by [`Parser::next`] and come out as they are, each with what it is. Nothing is changed here: who wants
//! to convert or check a message writes what he makes of the lines. Follows Postfix's reading of MIME where that
//! differs from the letter: a boundary is found by its beginning, and only in a part that has one.

mod field;
mod quoted_printable;

pub use field::{MediaType, Token, field_name, tokens, value};
pub use quoted_printable::QuotedPrintable;

/// Bytes of a line that are kept at once; a longer one comes in pieces.
const PIECE_BYTES_MAX: usize = 4096;

/// How far a message is looked into.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Multiparts within one another; deeper ones are text (`mime_nesting_limit`).
    pub nesting: usize,
    /// Bytes of a boundary that count (`mime_boundary_length_limit`).
    pub boundary_bytes: usize,
    /// Bytes of a header; the lines, or pieces of lines, behind them are left out (`header_size_limit`).
    pub header_bytes: usize,
}

impl Default for Limits {
    /// Postfix's defaults.
    fn default() -> Self {
        Limits { nesting: 100, boundary_bytes: 2048, header_bytes: 102_400 }
    }
}

/// Where a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the beginning of the message.
    Primary,
    /// At the beginning of a part.
    Part,
    /// At the beginning of a message within the message.
    Nested,
}

/// How the content of a part is encoded, as its Content-Transfer-Encoding says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// `8bit`, `binary`: octets beyond ASCII may come.
    Wide,
    /// All others, and where it does not say.
    #[default]
    Narrow,
}

impl Transfer {
    /// Reads the value of a Content-Transfer-Encoding.
    pub fn read(value: &[u8]) -> Transfer {
        let token = tokens(value).into_iter().next();
        let is = |word: &str| token.as_ref().is_some_and(|t| t.is_word(word));
        if is("8bit") || is("binary") { Transfer::Wide } else { Transfer::Narrow }
    }
}

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Something that is no MIME structure.
    Text,
    /// Parts.
    Parts,
    /// A message.
    Message,
    /// A piece of a message, a report on one …: `message/…` other than `rfc822`.
    MessageLike,
}

/// What [`Parser::text`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole header; its lines are divided by CR LF, the last one has no end.
    Header(Place),
    /// No more headers of this part come; there is no text. `blank` says whether an empty line stands here.
    HeadersEnd {
        /// Where the headers stood.
        place: Place,
        /// How the content is encoded.
        transfer: Transfer,
        /// What the content is.
        holds: Holds,
        /// Whether an empty line follows.
        blank: bool,
    },
    /// A line of a body, a boundary among them, or a piece of a long one.
    Line {
        /// The line begins here.
        begins: bool,
        /// The line ends here; CR LF, or LF alone, stood behind it.
        ends: bool,
        /// It stands between parts, or behind the last one.
        is_boundary: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Headers(Place),
    Body,
}

/// A multipart around where we are.
#[derive(Debug)]
struct Level {
    boundary: Vec<u8>,
    is_digest: bool,
}

/// Finds the parts of one message.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    levels: Vec<Level>,
    /// The headers that have been read, and not given out.
    header: Vec<u8>,
    /// The line, or piece of one, that is looked at.
    line: Vec<u8>,
    /// `line` is complete: it has come to its end or is as long as a piece may be.
    has_line: bool,
    /// A CR stood at the end of the piece before.
    held_cr: bool,
    begins: bool,
    ends: bool,
    next_begins: bool,
    /// What [`Parser::text`] shows.
    shown: Vec<u8>,
    transfer: Transfer,
    media: MediaType,
    /// A part without a type of its own is a message: it stands in a digest.
    in_digest: bool,
}

impl Parser {
    /// A parser at the beginning of a message.
    pub fn new(limits: Limits) -> Self {
        Parser {
            limits,
            state: State::Headers(Place::Primary),
            levels: Vec::new(),
            header: Vec::new(),
            line: Vec::new(),
            has_line: false,
            held_cr: false,
            begins: true,
            ends: false,
            next_begins: true,
            shown: Vec::new(),
            transfer: Transfer::Narrow,
            media: MediaType::default(),
            in_digest: false,
        }
    }

    /// The text of the item that was given out last.
    pub fn text(&self) -> &[u8] {
        &self.shown
    }

    /// The next item, taking from `input` what it needs; nothing once that is empty and more is needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Item> {
        loop {
            if !self.has_line && !self.take_line(input) {
                return None;
            }
            if let Some(item) = self.look() {
                return Some(item);
            }
        }
    }

    /// What is left behind the last input, item by item.
    pub fn end(&mut self) -> Option<Item> {
        if std::mem::take(&mut self.held_cr) {
            self.line.push(b'\r');
        }
        if !self.has_line && !self.line.is_empty() {
            (self.has_line, self.begins, self.ends) = (true, self.next_begins, false);
        }
        while self.has_line {
            if let Some(item) = self.look() {
                return Some(item);
            }
        }
        match self.state {
            State::Headers(place) if !self.header.is_empty() => Some(self.give_header(place)),
            State::Headers(place) => Some(self.end_headers(place, false)),
            State::Body => None,
        }
    }

    /// Takes one line, or a piece, off the input. False where it has not come to its end.
    fn take_line(&mut self, input: &mut &[u8]) -> bool {
        if input.is_empty() {
            return false;
        }
        if std::mem::take(&mut self.held_cr) {
            self.line.push(b'\r');
        }
        let room = PIECE_BYTES_MAX - self.line.len();
        let window = &input[..input.len().min(room)];
        let end = memchr::memchr(b'\n', window);
        self.line.extend_from_slice(&window[..end.unwrap_or(window.len())]);
        *input = &input[end.map_or(window.len(), |end| end + 1)..];
        if end.is_none() && self.line.len() < PIECE_BYTES_MAX {
            return false;
        }
        (self.has_line, self.begins, self.ends) = (true, self.next_begins, end.is_some());
        self.next_begins = self.ends;
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
            // Behind a full piece: the LF that it belongs to may come next.
            self.held_cr = !self.ends;
        }
        true
    }

    fn look(&mut self) -> Option<Item> {
        match self.state {
            State::Headers(place) => self.in_headers(place),
            State::Body => Some(self.in_body()),
        }
    }

    fn in_headers(&mut self, place: Place) -> Option<Item> {
        let has_header = !self.header.is_empty();
        let goes_on = has_header && (!self.begins || matches!(self.line.first(), Some(b' ' | b'\t')));
        if goes_on {
            if self.header.len() < self.limits.header_bytes {
                if self.begins {
                    self.header.extend_from_slice(b"\r\n");
                }
                self.header.append(&mut self.line);
            }
            self.line.clear();
            self.has_line = false;
            return None;
        }
        if has_header {
            return Some(self.give_header(place));
        }
        if self.begins && self.boundary().is_some() {
            return Some(self.end_headers(place, false));
        }
        if self.line.is_empty() && self.begins {
            self.has_line = false;
            return Some(self.end_headers(place, true));
        }
        if self.begins && field_name(&self.line).is_some() {
            self.header.append(&mut self.line);
            self.has_line = false;
            return None;
        }
        Some(self.end_headers(place, false))
    }

    /// Gives a header out, and takes from it what it says of the part.
    fn give_header(&mut self, place: Place) -> Item {
        self.shown = std::mem::take(&mut self.header);
        match field_name(&self.shown) {
            Some(name) if name.eq_ignore_ascii_case(b"content-type") => {
                self.media = MediaType::read(field::value(&self.shown));
            }
            Some(name) if name.eq_ignore_ascii_case(b"content-transfer-encoding") => {
                self.transfer = Transfer::read(field::value(&self.shown));
            }
            _ => {}
        }
        Item::Header(place)
    }

    fn end_headers(&mut self, place: Place, blank: bool) -> Item {
        self.shown.clear();
        let transfer = std::mem::take(&mut self.transfer);
        let media = std::mem::take(&mut self.media);
        let is_message = media.is("message", "rfc822") || (media.is_absent() && self.in_digest);
        let room = self.levels.len() < self.limits.nesting;
        self.in_digest = false;
        self.state = State::Body;
        let holds = if is_message {
            self.state = State::Headers(Place::Nested);
            Holds::Message
        } else if media.is_kind("message") && !media.is("message", "global") {
            Holds::MessageLike
        } else if media.is_kind("multipart") {
            if let Some(mut boundary) = media.boundary.clone().filter(|_| room) {
                boundary.truncate(self.limits.boundary_bytes);
                self.levels.push(Level { boundary, is_digest: media.is("multipart", "digest") });
            }
            Holds::Parts
        } else {
            Holds::Text
        };
        Item::HeadersEnd { place, transfer, holds, blank }
    }

    fn in_body(&mut self) -> Item {
        let boundary = if self.begins { self.boundary() } else { None };
        if let Some((level, is_end)) = boundary {
            self.levels.truncate(level + 1);
            if is_end {
                self.levels.truncate(level);
            } else {
                self.in_digest = self.levels[level].is_digest;
                self.state = State::Headers(Place::Part);
            }
        }
        std::mem::swap(&mut self.shown, &mut self.line);
        self.line.clear();
        self.has_line = false;
        Item::Line { begins: self.begins, ends: self.ends, is_boundary: boundary.is_some() }
    }

    /// The multipart whose boundary the line is, and whether it is the last one of it.
    fn boundary(&self) -> Option<(usize, bool)> {
        let text = self.line.strip_prefix(b"--")?;
        let found = self.levels.iter().rposition(|level| text.starts_with(&level.boundary))?;
        Some((found, text[self.levels[found].boundary.len()..].starts_with(b"--")))
    }
}

#[cfg(test)]
mod tests;
