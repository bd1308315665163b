//! Turns the text of a message into records, as it is read.

use crate::addresses::parse_list;
use queue::record::kind;
use std::io;

/// Takes records: the file in `maildrop/`, or the pipe to postdrop.
pub trait Records {
    /// Takes one record.
    fn record(&mut self, kind: u8, data: &[u8]) -> io::Result<()>;
}

/// Whether a carriage return before a line feed belongs to the line's end (`sendmail_fix_line_endings`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// It does.
    Always,
    /// It does where it stands in the first line.
    Strict,
    /// It does not.
    Never,
}

/// How the text is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A line with one dot is a line like any other.
    pub ignore_dots: bool,
    /// Recipients are taken from the header.
    pub extract: bool,
    /// What ends a line.
    pub line_ends: LineEnds,
}

/// Postfix's `line_length_limit`.
pub const LINE_LENGTH_LIMIT: usize = 2048;

/// Bytes of one field that are looked at for recipients; beyond its tokens nothing is found anyway.
const FIELD_MAX: usize = 1 << 20;
/// Recipients that a message can have from its header; the field in which there were more counts to its end.
const RECIPIENTS_MAX: usize = 100_000;

/// The text so far.
pub struct Message<'a, R: Records> {
    rules: Rules,
    records: &'a mut R,
    /// The line so far, at most LINE_LENGTH_LIMIT bytes.
    line: Vec<u8>,
    /// Pieces of the line were given out already.
    continued: bool,
    /// The rest of the line is dropped.
    dropped: bool,
    /// Nothing but `From ` lines was seen.
    at_top: bool,
    ended: bool,
    header: Option<Header>,
}

#[derive(Default)]
struct Header {
    /// What the current field does to recipients.
    field: Field,
    /// The value of the current field so far.
    value: Vec<u8>,
    plain: Vec<Vec<u8>>,
    resent: Vec<Vec<u8>>,
    has_resent: bool,
    ended: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Other,
    Recipients,
    ResentRecipients,
}

impl<'a, R: Records> Message<'a, R> {
    /// Begins the content; the caller has given out record `M`.
    pub fn new(rules: Rules, records: &'a mut R) -> Self {
        let header = rules.extract.then(Header::default);
        Message {
            rules,
            records,
            line: Vec::new(),
            continued: false,
            dropped: false,
            at_top: true,
            ended: false,
            header,
        }
    }

    /// Takes more text; false when the message has ended and the rest is not wanted.
    pub fn feed(&mut self, mut text: &[u8]) -> io::Result<bool> {
        while !text.is_empty() && !self.ended {
            let room = LINE_LENGTH_LIMIT - self.line.len();
            let window = &text[..text.len().min(room)];
            match memchr(window) {
                Some(lf) => {
                    self.line.extend_from_slice(&text[..lf]);
                    self.end_line()?;
                    text = &text[lf + 1..];
                }
                None if window.len() == room && text.len() > room => {
                    self.line.extend_from_slice(window);
                    text = &text[room..];
                    if text[0] != b'\n' {
                        self.piece()?;
                    }
                    if self.line.len() == LINE_LENGTH_LIMIT {
                        self.end_line()?;
                        text = &text[1..];
                    }
                }
                None if window.len() == room => {
                    // Full, and what follows is not known yet: a line end would make it a whole line.
                    self.line.extend_from_slice(window);
                    self.piece()?;
                    text = &text[room..];
                }
                None => {
                    self.line.extend_from_slice(window);
                    text = &text[window.len()..];
                }
            }
        }
        Ok(!self.ended)
    }

    /// Ends the text; gives the recipients from the header.
    pub fn finish(mut self) -> io::Result<Vec<Vec<u8>>> {
        match self.line.as_slice() {
            _ if self.ended => {}
            b"" => {}
            b"." if !self.continued && !self.rules.ignore_dots => {}
            // A line without an end is a piece; cleanup ends it.
            _ => self.piece()?,
        }
        let Some(mut header) = self.header else { return Ok(Vec::new()) };
        header.end_field();
        Ok(if header.has_resent { header.resent } else { header.plain })
    }

    fn end_line(&mut self) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.line);
        if self.at_top && !self.continued && self.rules.line_ends == LineEnds::Strict {
            self.rules.line_ends = if line.ends_with(b"\r") { LineEnds::Always } else { LineEnds::Never };
        }
        if self.rules.line_ends == LineEnds::Always && line.ends_with(b"\r") {
            line.pop();
        }
        if !self.continued && !self.rules.ignore_dots && line == b"." {
            self.ended = true;
            return Ok(());
        }
        self.begin_line(&line);
        if !self.dropped {
            self.records.record(kind::LINE, &line)?;
        }
        line.clear();
        (self.line, self.continued, self.dropped) = (line, false, false);
        Ok(())
    }

    fn piece(&mut self) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.line);
        self.begin_line(&line);
        if !self.dropped {
            self.records.record(kind::LINE_PIECE, &line)?;
        }
        line.clear();
        (self.line, self.continued) = (line, true);
        Ok(())
    }

    /// Looks at the beginning of a line, and at what goes on in a header.
    fn begin_line(&mut self, line: &[u8]) {
        if !self.continued {
            self.dropped = self.at_top && (line.starts_with(b"From ") || line.starts_with(b">From "));
            self.at_top &= self.dropped;
        }
        if self.dropped {
            return;
        }
        if let Some(header) = self.header.as_mut().filter(|header| !header.ended) {
            header.take(line, self.continued);
        }
    }
}

impl Header {
    fn take(&mut self, line: &[u8], continued: bool) {
        if continued || line.starts_with(b" ") || line.starts_with(b"\t") {
            return self.add(line);
        }
        self.end_field();
        let colon = line.iter().position(|&byte| byte == b':');
        let Some((name, value)) =
            colon.map(|at| (&line[..at], &line[at + 1..])).filter(|(n, _)| is_field_name(n))
        else {
            self.ended = true;
            return;
        };
        self.field = match name.trim_ascii_end().to_ascii_lowercase().as_slice() {
            b"to" | b"cc" | b"bcc" => Field::Recipients,
            b"resent-to" | b"resent-cc" | b"resent-bcc" => Field::ResentRecipients,
            _ => Field::Other,
        };
        self.has_resent |= self.field == Field::ResentRecipients;
        self.add(value);
    }

    fn add(&mut self, text: &[u8]) {
        if self.field != Field::Other && self.value.len() + text.len() <= FIELD_MAX {
            self.value.extend_from_slice(text);
        }
    }

    fn end_field(&mut self) {
        let value = std::mem::take(&mut self.value);
        let recipients = match std::mem::take(&mut self.field) {
            Field::Other => return,
            Field::Recipients => &mut self.plain,
            Field::ResentRecipients => &mut self.resent,
        };
        if recipients.len() < RECIPIENTS_MAX {
            recipients.extend(parse_list(&value));
        }
    }
}

fn is_field_name(name: &[u8]) -> bool {
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Kept(Vec<(u8, Vec<u8>)>);

    impl Records for Kept {
        fn record(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
            self.0.push((kind, data.to_vec()));
            Ok(())
        }
    }

    const RULES: Rules = Rules { ignore_dots: false, extract: false, line_ends: LineEnds::Always };

    fn converted(text: &[u8], rules: Rules, step: usize) -> (Vec<(u8, Vec<u8>)>, Vec<String>) {
        let mut kept = Kept::default();
        let mut message = Message::new(rules, &mut kept);
        for piece in text.chunks(step) {
            message.feed(piece).unwrap();
        }
        let found = message.finish().unwrap();
        (kept.0, found.into_iter().map(|a| String::from_utf8(a).unwrap()).collect())
    }

    fn lines(text: &[u8], rules: Rules) -> Vec<String> {
        let text_of =
            |(kind, data): (u8, Vec<u8>)| format!("{}{}", char::from(kind), String::from_utf8(data).unwrap());
        converted(text, rules, 7).0.into_iter().map(text_of).collect()
    }

    #[test]
    fn a_dot_ends_the_message_unless_told_otherwise() {
        assert_eq!(lines(b"a\n.\nb\n", RULES), ["Na"]);
        assert_eq!(lines(b"a\r\n.\r\nb\r\n", RULES), ["Na"]);
        assert_eq!(lines(b"a\n.\nb\n", Rules { ignore_dots: true, ..RULES }), ["Na", "N.", "Nb"]);
        // A line without an end is a piece of one.
        assert_eq!(lines(b"a\n..\nlast", RULES), ["Na", "N..", "Llast"]);
        assert_eq!(lines(b"a\n.", RULES), ["Na"]);
    }

    #[test]
    fn lines_of_a_mailbox_in_front_are_dropped() {
        assert_eq!(lines(b"From u@h Mon\n>From x\nTo: a\n\nFrom b\n", RULES), ["NTo: a", "N", "NFrom b"]);
    }

    #[test]
    fn carriage_returns_are_line_ends_as_the_parameter_says() {
        let rules = |line_ends| Rules { line_ends, ..RULES };
        assert_eq!(lines(b"a\r\nb\n", rules(LineEnds::Always)), ["Na", "Nb"]);
        assert_eq!(lines(b"a\nb\r\n", rules(LineEnds::Strict)), ["Na", "Nb\r"]);
        assert_eq!(lines(b"a\r\nb\r\n", rules(LineEnds::Strict)), ["Na", "Nb"]);
        assert_eq!(lines(b"a\r\n", rules(LineEnds::Never)), ["Na\r"]);
    }

    #[test]
    fn long_lines_are_split() {
        for length in [2047, 2048, 2049, 4096, 5000] {
            let text = [vec![b'x'; length], b"\n".to_vec()].concat();
            for step in [1, 1000, 100_000] {
                let (records, _) = converted(&text, RULES, step);
                let whole: Vec<u8> = records.iter().flat_map(|r| r.1.clone()).collect();
                assert_eq!(whole.len(), length);
                assert_eq!(records.last().unwrap().0, b'N');
                assert!(records[..records.len() - 1].iter().all(|r| r.0 == b'L' && r.1.len() == 2048));
            }
        }
    }

    #[test]
    fn recipients_come_from_the_header() {
        let rules = Rules { extract: true, ..RULES };
        let text = b"To: Ann <ann@example.org>,\n bob@example.org\nSubject: To: x\nBcc: eve@example.org\n\nTo: not@this\n";
        assert_eq!(converted(text, rules, 5).1, ["ann@example.org", "bob@example.org", "eve@example.org"]);
        let text = b"To: ann@example.org\nResent-To: bob@example.org\n\n";
        assert_eq!(converted(text, rules, 5).1, ["bob@example.org"]);
        assert!(converted(b"no header\nTo: x@y\n", rules, 5).1.is_empty());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in proptest::collection::vec("[\na.\r]", 0..60), step in 1usize..9) {
            let text = text.concat().into_bytes();
            prop_assert_eq!(converted(&text, RULES, step), converted(&text, RULES, 1000));
        }
    }
}
