//! Text of peers, made safe for one log line.

use std::fmt;

/// Bytes of a peer as Postfix logs them: what is no UTF-8 and no printable character becomes `?`.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write_printable(f, chunk.valid())?;
            for _ in chunk.invalid() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

fn write_printable(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_control) {
        out.write_str(&rest[..at])?;
        out.write_str("?")?;
        rest = &rest[at + 1..];
    }
    out.write_str(rest)
}

/// The bytes that end or garble a line. UTF-8 beyond ASCII passes, as with Postfix's `smtputf8_enable = yes`.
pub(crate) fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Appends `text` with control characters as `?`.
pub(crate) fn append_printable(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    out.extend_from_slice(text);
    for byte in &mut out[start..] {
        if is_control(*byte) {
            *byte = b'?';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_broken_utf8_become_question_marks() {
        assert_eq!(Escaped(b"a\r\nb\x7f\tc").to_string(), "a??b??c");
        assert_eq!(Escaped(b"\xff\xc3(\xc3\xa4").to_string(), "??(\u{e4}");
    }
}
