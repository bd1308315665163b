//! Content as DATA wants it: dots stuffed, lines no longer than the limit, one end.

/// Turns content (CRLF lines) into the form that goes behind 354, piece by piece.
///
/// Only for content that needs it: what has neither a leading dot nor a long line is sent as it lies,
/// with [`end_of_data`] behind it.
#[derive(Debug)]
pub struct DataEncoder {
    /// Bytes of a line without CRLF; 0 means no limit. Postfix: `smtp_line_length_limit`.
    line_bytes_max: usize,
    /// Bytes of the current line so far.
    column: usize,
    /// The last byte was CR and has not been written.
    held_cr: bool,
    divided: bool,
}

/// What ends the data: CRLF first where the content ends without one.
pub fn end_of_data(ends_with_newline: bool) -> &'static [u8] {
    if ends_with_newline { b".\r\n" } else { b"\r\n.\r\n" }
}

impl DataEncoder {
    /// An encoder at the beginning of a content.
    pub fn new(line_bytes_max: usize) -> Self {
        DataEncoder { line_bytes_max, column: 0, held_cr: false, divided: false }
    }

    /// Whether a line was longer than the limit and divided.
    pub fn divided(&self) -> bool {
        self.divided
    }

    /// Appends the encoded form of the next piece to `out`.
    pub fn encode(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 64 + 16);
        while !piece.is_empty() {
            let end = memchr::memchr(b'\n', piece);
            let line = &piece[..end.unwrap_or(piece.len())];
            self.part_of_line(line, end.is_some(), out);
            piece = &piece[end.map_or(piece.len(), |end| end + 1)..];
        }
    }

    fn part_of_line(&mut self, mut part: &[u8], ends: bool, out: &mut Vec<u8>) {
        if self.held_cr && !(part.is_empty() && ends) {
            self.held_cr = false;
            self.text(b"\r", out);
        }
        // A CR at the end belongs to the line's end, which may come with the next piece.
        let cr = part.last() == Some(&b'\r');
        if cr {
            part = &part[..part.len() - 1];
        }
        self.text(part, out);
        if ends {
            self.held_cr = false;
            self.column = 0;
            out.extend_from_slice(b"\r\n");
        } else if cr {
            self.held_cr = true;
        }
    }

    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        if self.column == 0 && text.first() == Some(&b'.') {
            out.push(b'.');
        }
        while self.line_bytes_max > 0 && text.len() > self.line_bytes_max - self.column {
            let (head, tail) = text.split_at(self.line_bytes_max - self.column);
            out.extend_from_slice(head);
            out.extend_from_slice(b"\r\n ");
            self.divided = true;
            self.column = 1.min(self.line_bytes_max - 1);
            text = tail;
        }
        out.extend_from_slice(text);
        self.column += text.len();
    }

    /// Appends the end of the data.
    pub fn end(mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            self.text(b"\r", out);
        }
        out.extend_from_slice(end_of_data(self.column == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(content: &[u8], cut: usize, line_bytes_max: usize) -> String {
        let (mut encoder, mut out) = (DataEncoder::new(line_bytes_max), Vec::new());
        encoder.encode(&content[..cut], &mut out);
        encoder.encode(&content[cut..], &mut out);
        encoder.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn content_comes_out_the_same_wherever_it_is_cut() {
        for (content, expected) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r", "a\r\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..\r\n.a\r\n\r\n.", "...\r\n..a\r\n\r\n..\r\n.\r\n"),
            ("a\r.b\r\n", "a\r.b\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
        ] {
            for cut in 0..=content.len() {
                assert_eq!(encoded(content.as_bytes(), cut, 998), expected, "{content:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn long_lines_go_on_behind_a_blank() {
        for (content, expected) in [
            ("12345\r\n", "12345\r\n.\r\n"),
            ("123456\r\n", "12345\r\n 6\r\n.\r\n"),
            ("1234567890\r\n", "12345\r\n 6789\r\n 0\r\n.\r\n"),
            (".2345\r\n", "..2345\r\n.\r\n"),
            ("12345.\r\n", "12345\r\n .\r\n.\r\n"),
            ("123456789", "12345\r\n 6789\r\n.\r\n"),
        ] {
            for cut in 0..=content.len() {
                assert_eq!(encoded(content.as_bytes(), cut, 5), expected, "{content:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn without_a_limit_lines_stay_whole() {
        let content = "x".repeat(100_000);
        assert_eq!(encoded(content.as_bytes(), 500, 0), format!("{content}\r\n.\r\n"));
    }
}
