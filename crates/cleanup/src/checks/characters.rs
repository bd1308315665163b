//! Characters that are taken out of content, or that it is refused for.
//!
//! Postfix: `message_strip_characters`, `message_reject_characters`. Lines keep their ends, whatever is stripped.

use bytes::Bytes;

/// Sets of bytes that content may not have.
#[derive(Clone, Debug, Default)]
pub struct Characters {
    strip: Option<Box<[bool; 256]>>,
    reject: Option<Box<[bool; 256]>>,
}

impl Characters {
    /// From the values of the parameters: characters, with C's escapes.
    pub fn parse(strip: &str, reject: &str) -> Characters {
        Characters { strip: set(strip), reject: set(reject) }
    }

    /// Nothing is looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.strip.is_none() && self.reject.is_none()
    }

    /// The piece without what is stripped; nothing where it is as it was.
    pub(super) fn stripped(&self, piece: &[u8]) -> Option<Bytes> {
        let strip = self.strip.as_deref()?;
        let goes = |at: usize| strip[usize::from(piece[at])] && !ends_line(piece, at);
        if !(0..piece.len()).any(goes) {
            return None;
        }
        Some((0..piece.len()).filter(|&at| !goes(at)).map(|at| piece[at]).collect())
    }

    /// Where the first byte stands that content is refused for.
    pub(super) fn rejected(&self, piece: &[u8]) -> Option<usize> {
        let reject = self.reject.as_deref()?;
        (0..piece.len()).find(|&at| reject[usize::from(piece[at])] && !ends_line(piece, at))
    }
}

/// The byte belongs to a line's CRLF.
fn ends_line(piece: &[u8], at: usize) -> bool {
    match piece[at] {
        b'\n' => true,
        // A CR at the end of a piece is taken for half of one.
        b'\r' => piece.get(at + 1).is_none_or(|&next| next == b'\n'),
        _ => false,
    }
}

fn set(value: &str) -> Option<Box<[bool; 256]>> {
    let mut set = Box::new([false; 256]);
    let bytes = unescape(value.as_bytes());
    bytes.iter().for_each(|&b| set[usize::from(b)] = true);
    (!bytes.is_empty()).then_some(set)
}

/// `\a \b \f \n \r \t \v`, `\` with one to three octal digits, `\` with itself.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = text {
        text = rest;
        let (b'\\', [escaped, rest @ ..]) = (*first, rest) else {
            out.push(*first);
            continue;
        };
        text = rest;
        out.push(match escaped {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let digits = [&[*escaped], &rest[..more]].concat();
                text = &rest[more..];
                // Three digits may say more than a byte holds.
                digits.iter().fold(0u16, |sum, digit| sum * 8 + u16::from(digit - b'0')).to_le_bytes()[0]
            }
            other => *other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends() {
        let characters = Characters::parse("\\0\\r\\n", "");
        assert_eq!(characters.stripped(b"a\0b\rc\r\n").as_deref(), Some(&b"abc\r\n"[..]));
        assert_eq!(characters.stripped(b"abc\r\n"), None);
        assert_eq!(Characters::parse("", "\\001").rejected(b"ab\x01"), Some(2));
        assert!(Characters::parse("", "").is_empty());
    }

    #[test]
    fn characters_are_written_as_in_c() {
        assert_eq!(unescape(b"a\\t\\\\\\0\\1012\\377"), b"a\t\\\0A2\xff");
    }
}
