//! Command lines, addresses and their encodings: nothing panics, and what was printed is read as the same again.

use crate::Target;
use protocol::smtp::path::{self, Rules};
use protocol::smtp::{command, xtext};

pub(super) const TARGET: Target = Target {
    name: "smtp_command",
    dictionary: &[
        b"MAIL FROM:",
        b"RCPT TO:",
        b"<",
        b">",
        b"\"",
        b"\\",
        b"(",
        b")",
        b"[",
        b"]",
        b"@",
        b".",
        b",",
        b":",
        b";",
        b" ",
        b"\t",
        b"a",
        b"example.org",
        b"[IPv6:::1]",
        b"[192.0.2.1]",
        b"@r,@s:",
        b"SIZE=",
        b"ORCPT=rfc822;",
        b"+2B",
        b"\\x{E4}",
        b"\xc3\xa4",
        b"\xff",
        b"\0",
        b"-",
        b"_",
        b"1",
    ],
    run,
};

fn run(input: &[u8]) {
    for word in command::words(input) {
        assert!(input.windows(word.text.len().max(1)).any(|w| w == word.text) || word.text.is_empty());
        for strict in [false, true] {
            let rules = Rules { may_be_null: true, strict, utf8: true };
            let Some(address) = path::parse(word.text, rules) else { continue };
            let printed = [b"<", &address.to_external()[..], b">"].concat();
            // A NUL or a line end never comes that far: the session takes lines and ends them at NUL.
            if !address.as_bytes().iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
                let again = path::parse(&printed, rules);
                assert_eq!(again.as_ref(), Some(&address), "{:?}", String::from_utf8_lossy(&printed));
            }
        }
        if let Some(text) = xtext::decode_xtext(word.text) {
            assert_eq!(xtext::decode_xtext(xtext::encode_xtext(&text).as_bytes()), Some(text));
        }
        let _ = xtext::decode_utf8_xtext(word.text);
    }
}
