//! The encodings of ENVID and ORCPT: xtext (RFC 3461 4) and its UTF-8 sister (RFC 6533 3).

/// Decodes xtext; `None` where an escape or byte is not allowed.
pub fn decode_xtext(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(coded.len());
    let mut bytes = coded.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            b'=' => return None,
            0x21..=0x7e => out.push(b),
            0x80.. => out.push(b),
            _ => return None,
        }
    }
    Some(out)
}

/// Decodes `utf-8-addr-xtext` and `utf-8-addr-unitext`: escapes are `\x{HEX}`.
pub fn decode_utf8_xtext(coded: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(coded).ok()?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (digits, behind) = rest[at..].strip_prefix("\\x{")?.split_once('}')?;
        if !(2..=6).contains(&digits.len()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = behind;
    }
    out.push_str(rest);
    out.chars().all(|c| !c.is_control()).then(|| out.into_bytes())
}

/// Encodes as xtext.
pub fn encode_xtext(text: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for &b in text {
        match b {
            b'+' | b'=' => {
                let _ = write!(out, "+{b:02X}");
            }
            0x21..=0x7e => out.push(b as char),
            _ => {
                let _ = write!(out, "+{b:02X}");
            }
        }
    }
    out
}

fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded_again() {
        for text in [&b"a+b=c d"[..], b"", b"\x00\xff", b"ann@example.org"] {
            assert_eq!(decode_xtext(encode_xtext(text).as_bytes()).as_deref(), Some(text));
        }
        assert_eq!(decode_utf8_xtext(b"a\\x{E4}@b").as_deref(), Some("aä@b".as_bytes()));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for bad in [&b"+"[..], b"+A", b"+GG", b"a=b", b"a b"] {
            assert_eq!(decode_xtext(bad), None);
        }
        for bad in [&b"\\"[..], b"\\x{}", b"\\x{D800}", b"\\x{0A}", b"\xff"] {
            assert_eq!(decode_utf8_xtext(bad), None);
        }
    }
}
