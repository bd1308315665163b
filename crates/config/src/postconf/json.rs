//! The -j output: one JSON object a line, whose values are strings.

use std::fmt::Write as _;

/// An object with these members in order.
pub(super) fn line(members: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}\"{name}\": \"{}\"", escaped(value));
    }
    out + "}\n"
}

/// A value as the inside of a JSON string; bytes that are no UTF-8 become U+FFFD.
fn escaped(value: &str) -> String {
    let bytes: Vec<u8> = super::bytes(value).collect();
    let mut out = String::new();
    for c in String::from_utf8_lossy(&bytes).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || c == '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    // Output is bytes again: each byte of the UTF-8 text a character.
    super::text(out.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let value = super::super::text("a\"b\\\té\x01".as_bytes()) + "\u{ff}";
        let bytes: Vec<u8> = super::super::bytes(&line(&[("name", "x"), ("value", &value)])).collect();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "{\"name\": \"x\", \"value\": \"a\\\"b\\\\\\té\\u0001\u{fffd}\"}\n");
    }
}
