//! The lines of a body, and a header as lines.

use mail::LINE_RECORD_MAX;

/// A line of a body, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Bytes of it, with its end.
    pub whole: usize,
    /// Bytes of it without its end.
    pub text: usize,
    /// It has an end.
    pub ended: bool,
}

/// The first line of `bytes`; nothing where more must come first.
pub(super) fn first(bytes: &[u8]) -> Option<Line> {
    let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_RECORD_MAX + 2)]);
    if let Some(end) = end {
        let text = if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
        if text <= LINE_RECORD_MAX {
            return Some(Line { whole: end + 1, text, ended: true });
        }
    }
    // The end of a line that is exactly so long comes with it.
    (bytes.len() >= LINE_RECORD_MAX + 2).then_some(Line {
        whole: LINE_RECORD_MAX,
        text: LINE_RECORD_MAX,
        ended: false,
    })
}

/// A header as CRLF lines, of which at most `limit` bytes are kept (`header_size_limit`). As Postfix has it, a line
/// that would begin in the last tenth goes, too.
pub(super) fn folded(text: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut at = 0;
    for line in text.split(|&b| b == b'\n') {
        let room = limit.saturating_sub(at);
        if at > 0 && line.len() > room && at > limit - limit / 10 {
            break;
        }
        // What a table puts in may have lost the blank of a fold; without it the header would end there.
        if at > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            out.push(b'\t');
        }
        out.extend_from_slice(&line[..line.len().min(room)]);
        out.extend_from_slice(b"\r\n");
        if line.len() > room {
            break;
        }
        at += line.len() + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_taken_in_pieces() {
        let line = |whole, text, ended| Some(Line { whole, text, ended });
        assert_eq!(first(b"ab\r\ncd"), line(4, 2, true));
        assert_eq!(first(b"ab"), None);
        let exact = [&[b'x'; LINE_RECORD_MAX][..], b"\r\n"].concat();
        assert_eq!(first(&exact), line(LINE_RECORD_MAX + 2, LINE_RECORD_MAX, true));
        assert_eq!(first(&exact[..LINE_RECORD_MAX + 1]), None);
        let long = [b'x'; 5000];
        assert_eq!(first(&long), line(LINE_RECORD_MAX, LINE_RECORD_MAX, false));
    }

    #[test]
    fn a_header_that_is_too_long_is_cut() {
        let cut = |text: &str| String::from_utf8(folded(text.as_bytes(), 60)).unwrap();
        assert_eq!(cut("X-1: a\n b"), "X-1: a\r\n b\r\n");
        assert_eq!(cut("X-1: a\nb\n\nc"), "X-1: a\r\n\tb\r\n\t\r\n\tc\r\n");
        let fifty = "0123456789".repeat(5);
        assert_eq!(cut(&format!("X-1: {fifty}\n 678")), format!("X-1: {fifty}\r\n 678\r\n"));
        assert_eq!(cut(&format!("X-1: {fifty}\n 678901")), format!("X-1: {fifty}\r\n"));
        assert_eq!(cut(&format!("X-1: {fifty}{fifty}")).len(), 62);
        let forty = &fifty[10..];
        assert_eq!(
            cut(&format!("X-2: {forty}\n 5678901234567890")),
            format!("X-2: {forty}\r\n 5678901234567\r\n")
        );
    }
}
