//! First bytes of connections from proxies.

use crate::Target;
use protocol::haproxy::{ADDED_BYTES_MAX, Header, LINE_BYTES_MAX, Parsed, binary, line, missing, parse};

pub(super) const TARGET: Target = Target {
    name: "haproxy",
    dictionary: &[
        b"PROXY ",
        b"TCP4 ",
        b"TCP6 ",
        b"UNKNOWN",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 777 25\r\n",
        b"PROXY TCP6 2001:db8::9 2001:db8::1 777 25\r\n",
        b"192.0.2.9 ",
        b"2001:db8::9 ",
        b"::ffff:192.0.2.9 ",
        b"65535 ",
        b"65536 ",
        b"0 ",
        b"01 ",
        b"+1 ",
        b"\r\n",
        b"\n",
        b" ",
        b"\t",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"\x21",
        b"\x20",
        b"\x11",
        b"\0\x0c",
        b"\xff\xff",
        b"\xc0\0\x02\x09\xc0\0\x02\x01\x03\x09\0\x19",
        b"EHLO x\r\n",
        b"\0",
        b"\xff",
    ],
    run,
};

/// A header reads the same whatever stands behind it, and as what it prints; what is only begun is bounded.
fn run(input: &[u8]) {
    let parsed = parse(input);
    assert!(!missing(input).is_empty());
    match parsed {
        Parsed::Header(header, length) => {
            assert_eq!(parse(&input[..length]), parsed, "the header ends where it says");
            assert_eq!(parse(&input[..length - 1]), Parsed::Partial);
            printed(header);
        }
        Parsed::Partial => assert!(input.len() < LINE_BYTES_MAX.max(16 + ADDED_BYTES_MAX)),
        // Nothing that comes later makes it a header.
        Parsed::Other => assert_eq!(parse(&[input, b"x"].concat()), Parsed::Other),
        Parsed::Bad(_) => {}
    }
}

fn printed(header: Header) {
    for bytes in [line(header).map(String::into_bytes), binary(header)].into_iter().flatten() {
        assert_eq!(parse(&bytes), Parsed::Header(header, bytes.len()));
    }
}
