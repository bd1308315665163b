//! Carriage returns within lines become blanks: a relay behind us may read them as the end of a line (SMTP smuggling).
//!
//! Postfix: `cleanup_replace_stray_cr_lf`. What comes by SMTP was cared for where it was read.

use bytes::Bytes;

/// Replaces them in content that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct StrayReturns {
    /// The last piece ended with a CR, which waits for what follows it.
    held: bool,
}

impl StrayReturns {
    /// The next piece with blanks in place of CRs that no LF follows.
    pub(crate) fn replace(&mut self, piece: Bytes) -> Bytes {
        if !self.held && !has_stray(&piece) {
            return piece;
        }
        let mut out = Vec::with_capacity(piece.len() + 1);
        for &byte in &piece {
            if self.held {
                out.push(if byte == b'\n' { b'\r' } else { b' ' });
            }
            self.held = byte == b'\r';
            if !self.held {
                out.push(byte);
            }
        }
        out.into()
    }

    /// What stands for a CR at the end of all.
    pub(crate) fn rest(self) -> Option<Bytes> {
        self.held.then(|| Bytes::from_static(b" "))
    }
}

fn has_stray(piece: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', piece).any(|at| piece.get(at + 1) != Some(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pieces: &[&'static [u8]]) -> Vec<u8> {
        let mut stray = StrayReturns::default();
        let mut out: Vec<u8> =
            pieces.iter().flat_map(|piece| stray.replace(Bytes::from_static(piece))).collect();
        out.extend(stray.rest().into_iter().flatten());
        out
    }

    #[test]
    fn only_returns_before_a_line_feed_stay() {
        assert_eq!(replaced(&[b"a\rb\r\n\r\r\nc\r\n"]), b"a b\r\n \r\nc\r\n");
    }

    #[test]
    fn a_return_at_the_end_of_a_piece_waits_for_the_next() {
        assert_eq!(replaced(&[b"a\r", b"\nb\r", b"c\r", b"\r", b"\n", b"d\r"]), b"a\r\nb c \r\nd ");
    }
}
