//! The encoding quoted-printable (RFC 2045 6.7), for text that comes in pieces.

/// Where a line is broken: Postfix's lines are no longer than this, with the `=` behind it.
const COLUMN_MAX: usize = 72;

/// Turns lines into quoted-printable.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    column: usize,
    /// A blank whose line may end behind it; then it must not stand there bare.
    held: Option<u8>,
}

impl QuotedPrintable {
    /// Appends the encoded form of a piece of a line; `ends` says that the line ends behind it. Its end is not written.
    pub fn encode(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        for &byte in text {
            if let Some(blank) = self.held.take() {
                self.put(blank, true, out);
            }
            match byte {
                b' ' | b'\t' => self.held = Some(byte),
                b'=' => self.put(byte, false, out),
                _ => self.put(byte, matches!(byte, b'!'..=b'~'), out),
            }
        }
        if ends {
            if let Some(blank) = self.held.take() {
                self.put(blank, false, out);
            }
            self.column = 0;
        }
    }

    fn put(&mut self, byte: u8, bare: bool, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if self.column > COLUMN_MAX {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        if bare {
            out.push(byte);
            self.column += 1;
        } else {
            out.extend([b'=', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            self.column += 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8], cut: usize) -> String {
        let (mut encoder, mut out) = (QuotedPrintable::default(), Vec::new());
        encoder.encode(&text[..cut], false, &mut out);
        encoder.encode(&text[cut..], true, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_comes_out_the_same_wherever_it_is_cut() {
        let x = "x".repeat(73);
        for (text, expected) in [
            (&b""[..], String::new()),
            (b"gr\xc3\xbcn = 100%", "gr=C3=BCn =3D 100%".into()),
            (b"two  ", "two =20".into()),
            (b"\t", "=09".into()),
            (b"a\tb\x7f\x01", "a\tb=7F=01".into()),
            (x.as_bytes(), x.clone()),
            (format!("{x}y").as_bytes(), format!("{x}=\r\ny")),
            (format!("{x} ").as_bytes(), format!("{x}=\r\n=20")),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(encoded(text, cut), expected, "cut at {cut}");
            }
        }
    }
}
