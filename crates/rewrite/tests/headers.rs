//! Headers with addresses, completed as Debian's cleanup did (`golden/headers.txt`).
#![allow(clippy::unwrap_used)]

use mail::AddressHeader;
use rewrite::Rules;

fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('n')) => out.push_str("\r\n"),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('x')) => {
                let digits: String = rest.by_ref().take(2).collect();
                out.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
            }
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

#[test]
fn headers_are_completed_and_written_as_postfix_does() {
    let rules = Rules {
        origin: Some("mail.example.com".to_owned()),
        parent: None,
        swap_bangpath: true,
        allow_percent_hack: true,
    };
    let lines = include_str!("../golden/headers.txt").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (value, expected) = line.split_once(" => ").unwrap();
        let mut header = AddressHeader::parse(plain(value).as_bytes(), 10_240);
        for at in 0..header.len() {
            if let Some(canonical) = rules.canonical_written(&header.address(at)) {
                header.replace(at, &canonical);
            }
        }
        let written = match header.is_changed() {
            true => String::from_utf8(header.write(b"To")).unwrap(),
            false => format!("To: {}\r\n", plain(value)),
        };
        assert_eq!(written, format!("To: {}\r\n", plain(expected)), "{value}");
        count += 1;
    }
    assert!(count > 300, "{count}");
}
