//! Messages, read in pieces of every size.

use super::*;

const READING: Reading = Reading {
    header_bytes_max: 1000,
    boundary_bytes_max: 100,
    nesting_max: 3,
    flat: false,
    watches_bodies: false,
    narrows: false,
};

/// What is read, one line an event; the same whatever the pieces.
fn read(text: &str, reading: Reading) -> Vec<String> {
    let mut first = None;
    for step in [1, 2, 3, 7, 100_000] {
        let found = read_by(text.as_bytes(), reading, step);
        assert_eq!(*first.get_or_insert(found.clone()), found, "in steps of {step}");
    }
    first.expect("there are steps")
}

fn read_by(text: &[u8], reading: Reading, step: usize) -> Vec<String> {
    let mut mime = Mime::new(reading);
    let mut events = Vec::new();
    for piece in text.chunks(step) {
        mime.feed(Bytes::copy_from_slice(piece), &mut events);
    }
    mime.finish(&mut events);
    show(events)
}

fn show(events: Vec<Event>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "").replace('\n', "|");
    for event in events {
        let (kind, text) = match event {
            Event::Header(header) => {
                let sort = match (header.section, header.describes_content) {
                    (Section::Part, _) | (_, true) => "m",
                    (Section::Message, _) => "h",
                    (Section::Nested, _) => "n",
                };
                (sort, shown(&header.text))
            }
            Event::HeaderEnd(end) => ("-", if end.has_blank { "|".into() } else { String::new() }),
            Event::Boundary(line, _) => ("=", shown(&line)),
            Event::Body(piece) => ("b", shown(&piece)),
            Event::Fault(fault) => ("!", format!("{fault:?}")),
        };
        match out.last_mut() {
            Some(last) if kind == "b" && last.starts_with("b ") => last.push_str(&text),
            _ => out.push(format!("{kind} {text}")),
        }
    }
    out
}

#[test]
fn parts_within_parts_and_messages_within_messages() {
    let text = "From: a\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"outer\"\r\n\r\npre\r\n\
        --outer\r\nX-Any : blank\r\n\r\ntext\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: nested\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n\r\nno header\r\n\
        --inner--\r\nepilogue\r\n--outer\r\nnot a header\r\n--outer--\r\n--outer\r\nX: y\r\n";
    let expected = [
        "h From: a",
        "m MIME-Version: 1.0",
        "m Content-Type: multipart/mixed;| boundary=\"outer\"",
        "- |",
        "b pre|",
        "= --outer|",
        "m X-Any: blank",
        "- |",
        "b text|",
        "= --outer|",
        "m Content-Type: message/rfc822",
        "- |",
        "n Subject: nested",
        "m Content-Type: multipart/alternative; boundary=inner",
        "- |",
        "= --inner|",
        "- |",
        "b no header|",
        "= --inner--|",
        "b epilogue|",
        "= --outer|",
        "- ",
        "b not a header|",
        "= --outer--|",
        "b --outer|X: y|",
    ];
    assert_eq!(read(text, READING), expected);
}

#[test]
fn a_digest_holds_messages_and_a_fragment_holds_text() {
    let text = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n--b\r\n\
        Content-Type: message/partial\r\n\r\nSubject: y\r\n--b\r\nno header\r\n";
    let expected = [
        "m Content-Type: multipart/digest; boundary=b",
        "- |",
        "= --b|",
        "- |",
        "n Subject: x",
        "- |",
        "= --b|",
        "m Content-Type: message/partial",
        "- |",
        "b Subject: y|",
        "= --b|",
        "- ",
        "- ",
        "b no header|",
    ];
    assert_eq!(read(text, READING), expected);
}

#[test]
fn a_boundary_ends_a_header_and_may_go_on() {
    let text = "Content-Type: multipart/mixed; boundary=ab\r\n--abc\r\nX-1: 1\r\n more\r\n--ab trailing\r\n \
        continued\r\n-ab\r\n --ab\r\n--ab-- and more\r\n--ab\r\n";
    let expected = [
        "m Content-Type: multipart/mixed; boundary=ab",
        "- ",
        "= --abc|",
        "m X-1: 1| more",
        "- ",
        "= --ab trailing|",
        "- ",
        "b  continued|-ab| --ab|",
        "= --ab-- and more|",
        "b --ab|",
    ];
    assert_eq!(read(text, READING), expected);
}

#[test]
fn lines_of_an_mbox_come_first_or_not_at_all() {
    let text = ">From a b\r\nFrom c d\r\nSubject: y\r\nFrom e\r\n";
    let expected =
        ["h X-Mailbox-Line: >From a b", "h X-Mailbox-Line: From c d", "h Subject: y", "- ", "b From e|"];
    assert_eq!(read(text, READING), expected);
}

#[test]
fn headers_on_top_change_nothing_for_what_was_sent() {
    for (text, expected) in [("From a b\r\n", "h X-Mailbox-Line: From a b"), (" y\r\n", "b  y|")] {
        let mut mime = Mime::new(READING);
        let mut events = Vec::new();
        mime.feed(Bytes::from_static(b"Received: x\r\n"), &mut events);
        mime.begin_content();
        mime.feed(Bytes::from_static(text.as_bytes()), &mut events);
        mime.finish(&mut events);
        let shown = show(events);
        assert_eq!((shown[0].as_str(), shown.last().unwrap().as_str()), ("h Received: x", expected));
    }
}

#[test]
fn a_flat_message_has_one_header() {
    let text = "Content-Type: message/rfc822\r\nX: 1\r\n\r\nSubject: x\r\n\r\n";
    let expected = ["m Content-Type: message/rfc822", "h X: 1", "- |", "b Subject: x||"];
    assert_eq!(read(text, Reading { flat: true, ..READING }), expected);
}

#[test]
fn of_a_long_header_lines_are_taken_until_it_is_long_enough() {
    let short = Reading { header_bytes_max: 20, ..READING };
    let text = "X: 456789\r\n 12345678901\r\n gone\r\n gone\r\nY: z\r\n\r\n";
    assert_eq!(read(text, short), ["h X: 456789| 12345678901", "h Y: z", "- |"]);
    let long = format!("X: {}\r\nY: z\r\n\r\n", "x".repeat(5000));
    let found = read(&long, short);
    assert_eq!((found[0].len(), found[1].as_str()), (2 + LINE_RECORD_MAX, "h Y: z"));
    assert_eq!(read(&long, Reading { header_bytes_max: 10_000, ..READING })[0].len(), 2 + 5003);
}

#[test]
fn what_mime_forbids_is_told_once() {
    let deep: String =
        (0..9).map(|n| format!("Content-Type: multipart/mixed; boundary={n}\r\n\r\n--{n}\r\n")).collect();
    let told = |text: &str| {
        let found = read(text, Reading { watches_bodies: true, ..READING });
        found.into_iter().filter(|line| line.starts_with('!')).collect::<Vec<_>>()
    };
    let faults = told(&deep);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("! TooDeep"), "{faults:?}");
    assert_eq!(
        told("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: BASE64 (x)\r\n\r\n\r\n").len(),
        1
    );
    assert_eq!(told("A: \u{e4}\r\nB: \u{e4}\r\n\r\n").len(), 1);
    assert_eq!(told("A: b\r\n\r\n\u{e4}\r\n").len(), 1);
    assert_eq!(told("Content-Transfer-Encoding: 8bit\r\n\r\n\u{e4}\r\n"), Vec::<String>::new());
}

#[test]
fn nothing_of_a_body_is_lost_and_little_is_kept() {
    let line = format!("--{}\r\n", "x".repeat(7000));
    let text =
        format!("Content-Type: multipart/mixed; boundary=xy\r\n\r\n{}--xy{line}\r\nbody", line.repeat(20));
    for step in [1, 1000, 100_000] {
        let mut mime = Mime::new(READING);
        let (mut events, mut kept) = (Vec::new(), 0);
        for piece in text.as_bytes().chunks(step) {
            mime.feed(Bytes::copy_from_slice(piece), &mut events);
            kept = kept.max(mime.held.capacity() + mime.header.capacity());
        }
        mime.finish(&mut events);
        let whole: usize = events
            .iter()
            .map(|event| match event {
                Event::Header(header) => header.text.len() + 2,
                Event::HeaderEnd(end) => {
                    if end.has_blank {
                        2
                    } else {
                        0
                    }
                }
                Event::Body(piece) | Event::Boundary(piece, _) => piece.len(),
                Event::Fault(_) => 0,
            })
            .sum();
        assert_eq!(whole, text.len());
        assert!(kept <= 2 * LINE_RECORD_MAX + READING.header_bytes_max, "{kept} bytes at steps of {step}");
    }
}

#[test]
fn who_encodes_bodies_takes_an_8_bit_message_global_for_one() {
    let text = "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: x\r\n";
    let read = |text: &str, narrows: bool| read(text, Reading { narrows, ..READING }).pop().unwrap();
    assert_eq!(read(text, false), "n Subject: x");
    assert_eq!(read(text, true), "b Subject: x|");
    assert_eq!(read(&text.replace("8bit", "7bit"), true), "n Subject: x");
}

#[test]
fn of_several_encodings_the_last_counts_and_none_in_quotes() {
    let domain = |values: &[&str]| {
        let headers: String = values.iter().map(|v| format!("Content-Transfer-Encoding: {v}\r\n")).collect();
        let mut events = Vec::new();
        Mime::new(READING).feed(Bytes::from(headers + "\r\n"), &mut events);
        let declared = events.iter().find_map(|event| match event {
            Event::HeaderEnd(end) => Some(end.domain),
            _ => None,
        });
        declared.unwrap()
    };
    assert_eq!(domain(&["8bit", "7bit"]), Domain::SevenBit);
    assert_eq!(domain(&["7bit", "(x) 8BIT"]), Domain::EightBit);
    assert_eq!(domain(&["\"8bit\""]), Domain::SevenBit);
}
