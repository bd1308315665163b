//! Messages and their parts.

use super::*;

/// One line an item: `H p Name: …` (p, a or n for the place), `E … …` and `L text`.
fn items(message: &[u8], cut: usize, limits: Limits) -> Vec<String> {
    let mut parser = Parser::new(limits);
    let mut found = Vec::new();
    for mut input in [&message[..cut], &message[cut..]] {
        while let Some(item) = parser.next(&mut input) {
            found.push(shown(item, parser.text()));
        }
        assert!(input.is_empty());
    }
    while let Some(item) = parser.end() {
        found.push(shown(item, parser.text()));
    }
    found
}

fn shown(item: Item, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match item {
        Item::Header(place) => format!("{place:?} {}", text.replace("\r\n", "\\")),
        Item::HeadersEnd { transfer, holds, blank, .. } => {
            format!("end {transfer:?} {holds:?}{}", if blank { " blank" } else { "" })
        }
        Item::Line { ends: true, .. } => format!("| {text}"),
        Item::Line { ends: false, .. } => format!("| {text}…"),
    }
}

fn check(message: &str, expected: &[&str]) {
    let message = message.replace('\n', "\r\n");
    for cut in 0..=message.len() {
        assert_eq!(items(message.as_bytes(), cut, Limits::default()), expected, "cut at {cut}");
    }
}

#[test]
fn headers_are_whole_and_a_body_follows() {
    check(
        "From: a\nSubject: b\n c\n\tAnd: d\n\nbody\n\nlast",
        &[
            "Primary From: a",
            "Primary Subject: b\\ c\\\tAnd: d",
            "end Narrow Text blank",
            "| body",
            "| ",
            "| last…",
        ],
    );
}

#[test]
fn what_is_no_header_ends_the_headers() {
    check("A: b\nno header\nC: d\n", &["Primary A: b", "end Narrow Text", "| no header", "| C: d"]);
    check("A: b\n", &["Primary A: b", "end Narrow Text"]);
    check("", &["end Narrow Text"]);
    check("\nbody\n", &["end Narrow Text blank", "| body"]);
}

#[test]
fn parts_are_found_by_their_boundaries_inner_ones_first() {
    check(
        "Content-Type: multipart/mixed; boundary=o\n\npreamble\n--o\nContent-Type: multipart/x; boundary=i\n\n--i\nContent-Transfer-Encoding: (c) 8BIT\n\none\n--o\n\ntwo\n--o--\n--o\n",
        &[
            "Primary Content-Type: multipart/mixed; boundary=o",
            "end Narrow Parts blank",
            "| preamble",
            "| --o",
            "Part Content-Type: multipart/x; boundary=i",
            "end Narrow Parts blank",
            "| --i",
            "Part Content-Transfer-Encoding: (c) 8BIT",
            "end Wide Text blank",
            "| one",
            "| --o",
            "end Narrow Text blank",
            "| two",
            "| --o--",
            "| --o",
        ],
    );
}

#[test]
fn messages_within_messages_have_headers_of_their_own() {
    check(
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\nx\n--b\nContent-Type: text/plain\n--b\nContent-Type: message/rfc822\n\nA: b\n\n--b--\n",
        &[
            "Primary Content-Type: multipart/digest; boundary=b",
            "end Narrow Parts blank",
            "| --b",
            "end Narrow Message blank",
            "Nested Subject: inner",
            "end Narrow Text blank",
            "| x",
            "| --b",
            "Part Content-Type: text/plain",
            "end Narrow Text",
            "| --b",
            "Part Content-Type: message/rfc822",
            "end Narrow Message blank",
            "Nested A: b",
            "end Narrow Text blank",
            "| --b--",
        ],
    );
}

#[test]
fn what_comes_without_bound_takes_bounded_memory() {
    let limits = Limits { nesting: 1, boundary_bytes: 2, header_bytes: 20 };
    let deep = b"Content-Type: multipart/x; boundary=abcd\r\n\r\n--ab\r\nContent-Type: multipart/x; boundary=y\r\n\r\n--y\r\n";
    let found = items(deep, 0, Limits { header_bytes: 1000, ..limits });
    assert_eq!(found.last().map(String::as_str), Some("| --y"));
    let long = [&b"A: "[..], &[b'x'; 10_000], b"\r\n more\r\nB: c\r\n\r\nbody\r\n"].concat();
    let found = items(&long, 0, limits);
    assert_eq!(found[1..], ["Primary B: c", "end Narrow Text blank", "| body"]);
    assert!(found[0].len() <= limits.header_bytes + PIECE_BYTES_MAX, "{}", found[0].len());
}

#[test]
fn a_line_of_any_length_comes_out_whole() {
    for length in PIECE_BYTES_MAX - 3..=PIECE_BYTES_MAX + 3 {
        let line = "y".repeat(length);
        for (message, end) in
            [(format!("\n{line}\r\nz"), "\r\n"), (format!("\n{line}\r"), ""), (format!("\n{line}\rz"), "")]
        {
            let mut parser = Parser::new(Limits::default());
            let (mut input, mut all) = (message.as_bytes(), Vec::new());
            while let Some(item) = parser.next(&mut input).or_else(|| parser.end()) {
                all.extend_from_slice(parser.text());
                if matches!(item, Item::Line { ends: true, .. }) {
                    all.extend_from_slice(end.as_bytes());
                }
            }
            assert_eq!(String::from_utf8(all).unwrap(), message[1..], "{length}");
        }
    }
}
