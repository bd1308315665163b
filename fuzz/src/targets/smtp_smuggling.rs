//! What a correct client sends as one message arrives as one message, whatever is in it.
//!
//! The client knows only CRLF as a line's end (RFC 5321 2.3.8): bare CR and LF are text to it and are not stuffed.

use super::smtp_server::{settings, talk};
use crate::Target;
use crate::input::Random;
use protocol::smtp::server::BareNewline;

pub(super) const TARGET: Target = Target {
    name: "smtp_smuggling",
    dictionary: &[
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b"\n.\n",
        b"\r\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r\n.\r\r\n",
        b"\n.\r",
        b"\0",
        b"..",
        b"MAIL FROM:<evil@example.net>",
        b"RCPT TO:<b@example.org>",
        b"DATA",
        b"QUIT",
        b"RSET",
        b"x",
        b" ",
        b"BDAT 1",
    ],
    run,
};

/// What a correct client makes of a text: its lines, those with a dot in front stuffed, and the end.
fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        if rest.first() == Some(&b'.') {
            out.push(b'.');
        }
        match rest.windows(2).position(|w| w == b"\r\n") {
            Some(n) => {
                out.extend_from_slice(&rest[..n + 2]);
                rest = &rest[n + 2..];
                if rest.is_empty() {
                    break;
                }
            }
            None => {
                out.extend_from_slice(rest);
                out.extend_from_slice(b"\r\n");
                break;
            }
        }
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn run(text: &[u8]) {
    let envelope = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
    let wire = [envelope.as_bytes(), &encoded(text), b"NOOP\r\n"].concat();
    let replies = "220 mx.example.org ESMTP Postfix\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n\
                   354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: queued as ID\r\n250 2.0.0 Ok\r\n";
    let mut random = Random::new(text.len() as u64);
    for step in [usize::MAX, 1, 2, 7] {
        let told = talk(&wire, settings(0), BareNewline::Normalize, || match step {
            7 => 1 + random.below(20),
            step => step,
        });
        assert_eq!(told.messages.len(), 1, "one message");
        assert_eq!(String::from_utf8_lossy(&told.replies), replies, "and no command of its text");
        let plain =
            |bytes: &[u8]| bytes.iter().copied().filter(|b| !b" .\r\n".contains(b)).collect::<Vec<_>>();
        assert_eq!(plain(&told.messages[0]), plain(text), "and the text is all there");
    }
    // Where bare newlines are refused, nothing of the text is taken for a command either.
    let told = talk(&wire, settings(0), BareNewline::Reject, || 3);
    assert!(told.messages.len() <= 1);
    assert!(!String::from_utf8_lossy(&told.replies).contains("2.1.5 Ok\r\n250 2.1.5"));
}
