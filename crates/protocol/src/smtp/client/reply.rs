//! Replies of a server, read from whatever pieces they come in, with bounded memory.

use mail::Dsn;

/// Bytes of one line that are kept; the rest of a longer line is dropped. Postfix: `line_length_limit`.
const LINE_BYTES_MAX: usize = 2048;

/// Bytes of a reply's text that are kept; further lines are read and dropped, as Postfix does.
const TEXT_BYTES_MAX: usize = 2048;

/// Lines of one reply. A server that sends more never ends it, and is given up.
const LINES_MAX: usize = 1000;

/// A server's reply with its text as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The code of the last line, 0 to 999.
    pub code: u16,
    /// The enhanced code of the last line, or the one that its class stands for.
    pub dsn: Dsn,
    /// All lines, codes included, divided by `\n`.
    pub text: String,
}

impl Response {
    /// 2xx.
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// The text on one line, as it is logged and reported.
    pub fn one_line(&self) -> String {
        self.text.replace('\n', " ")
    }
}

/// What came of one line of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line of a reply that goes on.
    More,
    /// The last line: [`ReplyReader`] holds the reply until the next line.
    End,
    /// No reply at all.
    Garbage,
    /// A reply that never ends.
    TooMany,
}

/// Cuts input into lines and lines into replies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// A line whose end has not come yet.
    partial: Vec<u8>,
    /// The line that was completed last, without its end.
    line: Vec<u8>,
    text: Vec<u8>,
    lines: usize,
    code: u16,
    ended: bool,
}

impl ReplyReader {
    /// Takes one line off `input`; `None` where it holds no complete one, after keeping its beginning.
    pub fn take_line(&mut self, input: &mut &[u8]) -> Option<Line> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            keep(&mut self.partial, input);
            *input = &[];
            return None;
        };
        std::mem::swap(&mut self.line, &mut self.partial);
        self.partial.clear();
        keep(&mut self.line, &input[..end]);
        *input = &input[end + 1..];
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Some(self.understand())
    }

    fn understand(&mut self) -> Line {
        if std::mem::replace(&mut self.ended, false) {
            self.text.clear();
            self.lines = 0;
        }
        self.lines += 1;
        if self.lines > LINES_MAX {
            return Line::TooMany;
        }
        let digits = self.line.iter().take_while(|b| b.is_ascii_digit()).count();
        let more = match self.line.get(3) {
            _ if digits != 3 => return Line::Garbage,
            Some(b'-') => true,
            Some(b' ') | None => false,
            Some(_) => return Line::Garbage,
        };
        if self.text.len() + self.line.len() < TEXT_BYTES_MAX || self.text.is_empty() {
            if !self.text.is_empty() {
                self.text.push(b'\n');
            }
            self.text.extend_from_slice(&self.line);
        }
        self.code = self.line[..3].iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
        self.ended = !more;
        if more { Line::More } else { Line::End }
    }

    /// The line that was taken last.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// What stands behind the code on the line that was taken last.
    pub fn line_text(&self) -> &[u8] {
        self.line.get(4..).unwrap_or_default()
    }

    /// Whether the reply has one line and nothing but `2`, `0`, `*` and blanks in it: Cisco's PIX shows that much.
    pub fn is_masked(&self) -> bool {
        self.text.iter().all(|b| b"20 *\t".contains(b))
    }

    /// The code of the reply.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reply that has just ended.
    pub fn response(&self) -> Response {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        Response { code: self.code, dsn: self.dsn(), text }
    }

    /// The enhanced code where it agrees with the code's class, else that class alone (RFC 2034 4).
    fn dsn(&self) -> Dsn {
        let class = (self.code / 100) as u8;
        let text = String::from_utf8_lossy(self.line_text());
        match Dsn::parse_prefix(&text) {
            Some((dsn, _)) if dsn.class == class => dsn,
            _ if matches!(class, 2 | 4 | 5) => Dsn::new(class, 0, 0),
            _ => Dsn::new(5, 5, 0),
        }
    }

    /// Gives buffers back while nothing is expected.
    pub fn rest(&mut self) {
        if self.partial.is_empty() {
            *self = ReplyReader::default();
        }
    }
}

fn keep(line: &mut Vec<u8>, more: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(reader: &mut ReplyReader, mut input: &[u8]) -> Vec<Line> {
        std::iter::from_fn(|| reader.take_line(&mut input)).collect()
    }

    #[test]
    fn a_reply_is_the_same_in_whatever_pieces_it_comes() {
        let input = b"250-mx.example.org\r\n250-SIZE 100\r\n250 2.1.0 Ok\r\n";
        for cut in 0..input.len() {
            let mut reader = ReplyReader::default();
            let mut lines = read_all(&mut reader, &input[..cut]);
            lines.extend(read_all(&mut reader, &input[cut..]));
            assert_eq!(lines, [Line::More, Line::More, Line::End], "cut at {cut}");
            let response = reader.response();
            assert_eq!(response.one_line(), "250-mx.example.org 250-SIZE 100 250 2.1.0 Ok");
            assert_eq!((response.code, response.dsn), (250, Dsn::new(2, 1, 0)));
        }
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_not_believed() {
        for (line, dsn) in [
            ("550 5.1.1 no", Dsn::new(5, 1, 1)),
            ("550 4.1.1 no", Dsn::new(5, 0, 0)),
            ("450 no", Dsn::new(4, 0, 0)),
            ("250", Dsn::new(2, 0, 0)),
            ("354 go", Dsn::new(5, 5, 0)),
        ] {
            let mut reader = ReplyReader::default();
            assert_eq!(read_all(&mut reader, format!("{line}\n").as_bytes()), [Line::End]);
            assert_eq!(reader.response().dsn, dsn, "{line}");
        }
    }

    #[test]
    fn lines_without_a_code_are_garbage() {
        for line in ["", "25", "2500 x", "ok", "25x hi", "-250 x", "250x"] {
            let mut reader = ReplyReader::default();
            assert_eq!(read_all(&mut reader, format!("{line}\r\n").as_bytes()), [Line::Garbage], "{line:?}");
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_reply_take_bounded_memory() {
        let mut reader = ReplyReader::default();
        for _ in 0..1000 {
            assert!(read_all(&mut reader, &[b'2'; 4096]).is_empty());
        }
        assert!(reader.partial.capacity() <= 2 * LINE_BYTES_MAX);

        let mut reader = ReplyReader::default();
        let line = format!("250-{}\r\n", "x".repeat(500));
        for n in 1..=LINES_MAX + 1 {
            let got = read_all(&mut reader, line.as_bytes());
            assert_eq!(got, [if n <= LINES_MAX { Line::More } else { Line::TooMany }]);
        }
        assert!(reader.text.len() <= TEXT_BYTES_MAX);
    }
}
