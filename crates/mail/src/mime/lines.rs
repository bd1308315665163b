//! The lines of a body.

use crate::LINE_RECORD_MAX;

/// A line of a body, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Bytes of it, with its end.
    pub whole: usize,
    /// Bytes of it without its end.
    pub text: usize,
    /// It has an end.
    pub ended: bool,
}

/// The first line of `bytes`; nothing where more must come first.
pub fn first_line(bytes: &[u8]) -> Option<Line> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_taken_in_pieces() {
        let line = |whole, text, ended| Some(Line { whole, text, ended });
        assert_eq!(first_line(b"ab\r\ncd"), line(4, 2, true));
        assert_eq!(first_line(b"ab"), None);
        let exact = [&[b'x'; LINE_RECORD_MAX][..], b"\r\n"].concat();
        assert_eq!(first_line(&exact), line(LINE_RECORD_MAX + 2, LINE_RECORD_MAX, true));
        assert_eq!(first_line(&exact[..LINE_RECORD_MAX + 1]), None);
        let long = [b'x'; 5000];
        assert_eq!(first_line(&long), line(LINE_RECORD_MAX, LINE_RECORD_MAX, false));
    }
}
