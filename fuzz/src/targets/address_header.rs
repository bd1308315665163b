//! The addresses of a header, whatever stands in it: no panic, and what is written again is one header.

use crate::Target;
use mail::{AddressHeader, Written};

pub(super) const TARGET: Target = Target {
    name: "address_header",
    dictionary: &[
        b"ann",
        b"@",
        b"example.org",
        b"<",
        b">",
        b",",
        b":",
        b";",
        b".",
        b"!",
        b"%",
        b"(",
        b")",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b" ",
        b"\t",
        b"\r\n ",
        b"\r\n",
        b"Ann Other <ann>",
        b"team: a, b;",
        b"(comment)",
        b"\"q r\"",
        b"\xff",
        b"\0",
    ],
    run,
};

fn run(input: &[u8]) {
    for limit in [0, 3, 10_240] {
        let mut header = AddressHeader::parse(input, limit);
        for at in 0..header.len() {
            let mut address = header.address(at);
            assert_eq!(address, header.address(at));
            let _ = (address.to_external(), Written::of(&address.to_internal()));
            if address.last(b'@').is_none() {
                address.push(b'@');
                address.push_domain(b"example.org");
                header.replace(at, &address);
            }
        }
        let written = header.write(b"To");
        let text = written.strip_prefix(b"To: ").expect("the name stands first");
        let text = text.strip_suffix(b"\r\n").expect("a line has an end");
        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        assert!(
            lines[1..].iter().all(|line| matches!(line.first(), Some(b' ' | b'\t'))),
            "another header begins"
        );
        let before = &lines[..lines.len() - 1];
        assert!(before.iter().all(|line| line.ends_with(b"\r")), "a line without CR");
    }
}
