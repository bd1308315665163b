//! Reads a message's header as it comes: which headers there are, which are dropped, where the body begins.
//!
//! Streaming: only an unfinished line is held back. What is kept is passed on as slices of the input.

use bytes::Bytes;
use rewrite::HeaderClass;

/// An unfinished line longer than this is classified by its beginning; its rest passes through.
const HELD_MAX: usize = 64 * 1024;

/// So much of a header with addresses is looked at (`header_size_limit`); the rest of it is cut off.
const ADDRESSES_MAX: usize = 102_400;

/// So much of a Message-Id is kept for the log.
const CAPTURE_MAX: usize = 998;

/// Headers whose presence matters, as bits.
pub(crate) mod seen {
    pub(crate) const MESSAGE_ID: u16 = 1;
    pub(crate) const DATE: u16 = 2;
    pub(crate) const FROM: u16 = 4;
    pub(crate) const RESENT_MESSAGE_ID: u16 = 8;
    pub(crate) const RESENT_DATE: u16 = 16;
    pub(crate) const RESENT_FROM: u16 = 32;
    /// To, Cc and their Resent- sisters.
    pub(crate) const RECIPIENTS: u16 = 64;
}

/// A header being read.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// Which of [`seen`].
    pub(crate) seen: u16,
    /// There is a Resent- header.
    pub(crate) resent: bool,
    /// Received headers.
    pub(crate) hops: u64,
    /// Message-Id and Resent-Message-Id headers in order: whether resent, and the value. None are read from the header
    /// on that makes a loop.
    pub(crate) message_ids: Vec<(bool, Vec<u8>)>,
    /// Some line got longer than it came.
    pub(crate) lengthened: bool,
    /// So many Received headers make a loop.
    hopcount_limit: u64,
    held: Vec<u8>,
    /// Inside a line whose beginning was passed on or dropped already.
    inside: bool,
    /// The header that is being read is kept.
    keep: bool,
    /// Continuation lines belong to the last of `message_ids`.
    capture: bool,
    /// Headers with addresses are gathered, since they may be rewritten.
    gathers: bool,
    /// The one that is being read.
    gathered: Option<(HeaderClass, Vec<u8>)>,
    /// Some header was read; before, a line with leading blanks is no continuation.
    begun: bool,
}

/// The body's beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// There is no empty line before it: one must be added.
    pub(crate) needs_blank: bool,
    /// What came of it so far.
    pub(crate) rest: Bytes,
}

/// What is kept of a header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// As it came.
    Piece(Bytes),
    /// A header with addresses, whole.
    Addresses(HeaderClass, Vec<u8>),
}

/// Message-Id headers that are logged; further ones are not.
const MESSAGE_IDS_MAX: usize = 16;

enum Kind {
    /// The empty line.
    Blank,
    /// A continuation of the header before.
    More,
    /// A header; the length of its name.
    Header(usize),
    /// `From ` of an mbox file, or quoted so.
    Mailbox,
    /// Text.
    Other,
}

impl Header {
    /// A header of which nothing is known yet.
    pub(crate) fn new(hopcount_limit: u64) -> Self {
        Header { hopcount_limit, ..Header::default() }
    }

    /// A header that begins with our own Received.
    pub(crate) fn behind_received(hopcount_limit: u64) -> Self {
        Header { hops: 1, ..Header::new(hopcount_limit) }
    }

    /// The same, with headers that hold addresses gathered where `gathers` says so.
    pub(crate) fn gathering(self, gathers: bool) -> Self {
        Header { gathers, ..self }
    }

    /// The message went in circles.
    pub(crate) fn is_loop(&self) -> bool {
        self.hops >= self.hopcount_limit
    }

    /// Takes a piece; what is kept goes to `out`. The body's beginning, once it is there.
    pub(crate) fn feed(&mut self, piece: Bytes, drop: &[String], out: &mut Vec<Kept>) -> Option<Body> {
        let piece = match self.held.is_empty() {
            true => piece,
            false => {
                let mut whole = std::mem::take(&mut self.held);
                whole.extend_from_slice(&piece);
                Bytes::from(whole)
            }
        };
        // `from..at` is kept and not yet passed on.
        let (mut from, mut at) = (0, 0);
        while at < piece.len() {
            let end = memchr::memchr(b'\n', &piece[at..]).map(|n| at + n + 1);
            if self.inside {
                let next = end.unwrap_or(piece.len());
                if self.keep {
                    self.pass(piece.slice(from..next), out);
                }
                (from, at, self.inside) = (next, next, end.is_none());
                continue;
            }
            if end.is_none() && piece.len() - at <= HELD_MAX {
                self.pass(piece.slice(from..at), out);
                self.held = piece[at..].to_vec();
                return None;
            }
            let next = end.unwrap_or(piece.len());
            let line = &piece[at..next];
            match self.kind(line) {
                Kind::Blank => {
                    self.pass(piece.slice(from..at), out);
                    self.end_gathered(out);
                    return Some(Body { needs_blank: false, rest: piece.slice(at..) });
                }
                Kind::Other => {
                    self.pass(piece.slice(from..at), out);
                    self.end_gathered(out);
                    return Some(Body { needs_blank: true, rest: piece.slice(at..) });
                }
                Kind::Mailbox => {
                    self.pass(piece.slice(from..at), out);
                    out.push(Kept::Piece(Bytes::from_static(b"X-Mailbox-Line: ")));
                    from = at;
                    self.keep = true;
                    self.lengthened = true;
                }
                Kind::More => self.continue_capture(line),
                Kind::Header(length) => {
                    if self.gathers {
                        self.pass(piece.slice(from..at), out);
                        self.end_gathered(out);
                        from = at;
                    }
                    self.begin(&line[..length], &line[length..], drop);
                    // Blanks in front of the colon go, as Postfix has it.
                    let blanks = line[length..].iter().take_while(|&&b| b != b':').count();
                    if self.keep && blanks > 0 {
                        self.pass(piece.slice(from..at + length), out);
                        from = at + length + blanks;
                    }
                }
            }
            if !self.keep {
                self.pass(piece.slice(from..at), out);
                from = next;
            }
            at = next;
            self.inside = end.is_none();
        }
        if self.keep {
            self.pass(piece.slice(from..at), out);
        }
        None
    }

    /// The end of a message that has no body: what was held back. A header line without CRLF is kept as it is.
    pub(crate) fn finish(&mut self, drop: &[String], out: &mut Vec<Kept>) -> Option<Body> {
        if self.held.is_empty() {
            self.end_gathered(out);
            return None;
        }
        let held = Bytes::from(std::mem::take(&mut self.held));
        match self.kind(&held) {
            Kind::Blank | Kind::Other | Kind::Mailbox => {
                self.end_gathered(out);
                return Some(Body { needs_blank: true, rest: held });
            }
            Kind::More => self.continue_capture(&held),
            Kind::Header(length) => {
                self.end_gathered(out);
                self.begin(&held[..length], &held[length..], drop);
            }
        }
        if self.keep {
            self.pass(held, out);
        }
        self.end_gathered(out);
        None
    }

    /// Keeps a piece: of a header that is gathered it waits for the rest.
    fn pass(&mut self, piece: Bytes, out: &mut Vec<Kept>) {
        match &mut self.gathered {
            Some((_, text)) => {
                let room = ADDRESSES_MAX.saturating_sub(text.len());
                text.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            None if piece.is_empty() => {}
            None => out.push(Kept::Piece(piece)),
        }
    }

    /// Keeps a header that is gathered: all of it was fed.
    pub(crate) fn end_gathered(&mut self, out: &mut Vec<Kept>) {
        if let Some((class, text)) = self.gathered.take() {
            out.push(Kept::Addresses(class, text));
        }
    }

    fn kind(&self, line: &[u8]) -> Kind {
        match line {
            [b'\r', b'\n', ..] | [b'\n', ..] => return Kind::Blank,
            [b' ' | b'\t', ..] if self.begun => return Kind::More,
            [b' ' | b'\t', ..] => return Kind::Other,
            _ => {}
        }
        let unquoted = line.iter().position(|&b| b != b'>').map_or(line, |n| &line[n..]);
        if !self.begun && unquoted.starts_with(b"From ") {
            return Kind::Mailbox;
        }
        let name = line.iter().take_while(|&&b| b > b' ' && b < 0x7f && b != b':').count();
        let colon = line[name..].iter().position(|&b| b != b' ' && b != b'\t').map(|n| name + n);
        match colon {
            Some(colon) if name > 0 && line[colon] == b':' => Kind::Header(name),
            _ => Kind::Other,
        }
    }

    fn begin(&mut self, name: &[u8], rest: &[u8], drop: &[String]) {
        self.begun = true;
        self.keep = !drop.iter().any(|d| d.as_bytes().eq_ignore_ascii_case(name));
        let class = if self.gathers && self.keep { HeaderClass::of(name) } else { None };
        self.gathered = class.map(|class| (class, Vec::new()));
        self.capture = false;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let (resent, plain) = match name.split_at_checked(7) {
            Some((head, tail)) if head.eq_ignore_ascii_case(b"resent-") => (true, tail),
            _ => (false, name),
        };
        let plain_is = |other: &str| plain.eq_ignore_ascii_case(other.as_bytes());
        let bit = |normal: u16, sister: u16| if resent { sister } else { normal };
        if is("received") {
            self.hops += 1;
        } else if plain_is("message-id") {
            self.seen |= bit(seen::MESSAGE_ID, seen::RESENT_MESSAGE_ID);
            if self.message_ids.len() < MESSAGE_IDS_MAX && !self.is_loop() {
                let value = rest.iter().position(|&b| b == b':').map_or(&b""[..], |n| &rest[n + 1..]);
                self.message_ids.push((resent, Vec::new()));
                self.capture = true;
                self.continue_capture(value);
            }
        } else if plain_is("date") {
            self.seen |= bit(seen::DATE, seen::RESENT_DATE);
        } else if plain_is("from") {
            self.seen |= bit(seen::FROM, seen::RESENT_FROM);
        } else if plain_is("to") || plain_is("cc") {
            self.seen |= seen::RECIPIENTS;
        }
        let known = ["bcc", "cc", "date", "from", "message-id", "reply-to", "sender", "to"];
        self.resent |= resent && known.iter().any(|k| plain_is(k));
    }

    /// Adds a line to the Message-Id that is being read; its line ends become newlines, which the log shows as `?`.
    fn continue_capture(&mut self, line: &[u8]) {
        let Some((_, value)) = self.message_ids.last_mut().filter(|_| self.capture) else { return };
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        if value.is_empty() {
            value.extend(line.trim_ascii_start());
        } else {
            value.push(b'\n');
            value.extend_from_slice(line);
        }
        value.truncate(CAPTURE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, step: usize) -> (String, Option<(bool, String)>, Header) {
        let drop = ["bcc".to_owned(), "return-path".to_owned()];
        let mut header = Header::behind_received(100).gathering(true);
        let mut out = Vec::new();
        let mut body: Option<(bool, Vec<u8>)> = None;
        for part in text.as_bytes().chunks(step) {
            match &mut body {
                Some((_, rest)) => rest.extend_from_slice(part),
                None => {
                    let found = header.feed(Bytes::copy_from_slice(part), &drop, &mut out);
                    body = found.map(|b| (b.needs_blank, b.rest.to_vec()));
                }
            }
        }
        if body.is_none() {
            body = header.finish(&drop, &mut out).map(|b| (b.needs_blank, b.rest.to_vec()));
        }
        let text = |v: Vec<u8>| String::from_utf8(v).unwrap();
        let kept = out.into_iter().map(|kept| match kept {
            Kept::Piece(piece) => piece.to_vec(),
            Kept::Addresses(_, text) => text,
        });
        (text(kept.collect::<Vec<_>>().concat()), body.map(|(n, b)| (n, text(b))), header)
    }

    #[test]
    fn dropped_headers_go_with_their_continuations_whatever_the_pieces() {
        let mail = "Return-Path: <x>\r\nA: 1\r\n 2\r\nbcc : x,\r\n\ty\r\nReceived: q\r\n\r\nBcc: body\r\n";
        for step in 1..=mail.len() {
            let (kept, body, header) = read(mail, step);
            assert_eq!(kept, "A: 1\r\n 2\r\nReceived: q\r\n", "{step}");
            assert_eq!(body, Some((false, "\r\nBcc: body\r\n".into())), "{step}");
            assert_eq!(header.hops, 2);
        }
    }

    #[test]
    fn text_that_is_no_header_begins_the_body() {
        for (mail, head, body) in [
            ("Subject: y\r\nhello world\r\n", "Subject: y\r\n", "hello world\r\n"),
            ("  Subject: y\r\n", "", "  Subject: y\r\n"),
            (": x\r\n", "", ": x\r\n"),
        ] {
            for step in 1..=mail.len() {
                let (kept, found, _) = read(mail, step);
                assert_eq!((kept.as_str(), found), (head, Some((true, body.into()))));
            }
        }
    }

    #[test]
    fn lines_of_an_mbox_at_the_front_become_headers() {
        let (kept, _, _) = read(">From a b\r\nFrom c d\r\nSubject: y\r\n\r\n", 100);
        assert_eq!(kept, "X-Mailbox-Line: >From a b\r\nX-Mailbox-Line: From c d\r\nSubject: y\r\n");
    }

    #[test]
    fn message_ids_are_read_with_their_continuations() {
        let (_, _, header) =
            read("Message-Id:  <a\r\n b> (c)\r\nResent-To: x\r\nRESENT-message-id: <3>\r\n\r\n", 5);
        assert_eq!(header.message_ids, [(false, b"<a\n b> (c)".to_vec()), (true, b"<3>".to_vec())]);
        assert!(header.resent);
        assert_eq!(header.seen, seen::MESSAGE_ID | seen::RESENT_MESSAGE_ID | seen::RECIPIENTS);
    }

    #[test]
    fn a_header_with_addresses_comes_whole_and_not_beyond_its_limit() {
        let mail = format!("A: b\r\nTo : a,\r\n b\r\nC: d\r\nCc: {}\r\n\r\n", "x,".repeat(100_000));
        for step in [1, 7, 100_000, 1_000_000] {
            let mut header = Header::new(100).gathering(true);
            let mut out = Vec::new();
            for part in mail.as_bytes().chunks(step) {
                header.feed(Bytes::copy_from_slice(part), &[], &mut out);
            }
            let addresses: Vec<_> = out
                .into_iter()
                .filter_map(|kept| match kept {
                    Kept::Addresses(_, text) => Some(text),
                    Kept::Piece(_) => None,
                })
                .collect();
            assert_eq!(addresses[0], b"To: a,\r\n b\r\n", "{step}");
            assert_eq!((addresses.len(), addresses[1].len()), (2, ADDRESSES_MAX), "{step}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_gathered_without_bound() {
        let mail = format!("Bcc: {}\r\nA: {}\r\n\r\n", "x".repeat(200_000), "y".repeat(200_000));
        for step in [1000, 70_000, 500_000] {
            let (kept, body, header) = read(&mail, step);
            assert_eq!(kept, format!("A: {}\r\n", "y".repeat(200_000)), "{step}");
            assert_eq!(body, Some((false, "\r\n".into())));
            assert!(header.held.capacity() <= HELD_MAX + step);
        }
    }
}
