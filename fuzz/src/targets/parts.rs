//! The parts of a message, whatever it is and however it is cut: the lines that come out are those that went in.

use crate::Target;
use mail::parts::{Item, Limits, Parser};

pub(super) const TARGET: Target = Target {
    name: "parts",
    dictionary: &[
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/digest; boundary=\"c \\\"\"\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"content-transfer-encoding : (x) 8bit\r\n",
        b"Subject: x\r\n",
        b" folded\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"--c \"",
        b"\r\n",
        b"\n",
        b"\r",
        b"text\r\n",
        b"=",
        b";",
        b":",
        b"(",
        b"\"",
        b"\\",
        b"\0",
        b"\xff",
    ],
    run,
};

fn run(input: &[u8]) {
    let whole = through(input, input.len(), Limits::default());
    for cut in [0, 1, input.len() / 3, input.len() / 2] {
        assert_eq!(through(input, cut.min(input.len()), Limits::default()), whole, "cut at {cut}");
    }
    let lines = |text: &[u8]| {
        text.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l).to_vec()).collect::<Vec<_>>()
    };
    // A last line without an end has got one.
    let mut expected = input.to_vec();
    if !input.is_empty() && !input.ends_with(b"\n") && whole.ends_with(b"\n") {
        expected.extend_from_slice(b"\r\n");
    }
    assert_eq!(lines(&whole), lines(&expected));
    through(input, 0, Limits { nesting: 1, boundary_bytes: 1, header_bytes: 10 });
}

/// The message as who changes nothing would write it.
fn through(input: &[u8], cut: usize, limits: Limits) -> Vec<u8> {
    let mut parser = Parser::new(limits);
    let mut out = Vec::new();
    for mut piece in [&input[..cut], &input[cut..]] {
        while let Some(item) = parser.next(&mut piece) {
            write(item, parser.text(), &mut out);
        }
        assert!(piece.is_empty());
    }
    while let Some(item) = parser.end() {
        write(item, parser.text(), &mut out);
    }
    out
}

fn write(item: Item, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    let ends = match item {
        Item::Header(_) => true,
        Item::HeadersEnd { blank, .. } => blank,
        Item::Line { ends, .. } => ends,
    };
    if ends {
        out.extend_from_slice(b"\r\n");
    }
}
