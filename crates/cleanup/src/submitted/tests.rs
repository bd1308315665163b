//! Heads are read as they were written; lines are known wherever pieces break.

use super::*;
use mail::{Address, Encoding, Notify, Recipient, Ret};

fn submission() -> Submission {
    let recipient = |a: &str| Recipient {
        dsn_orcpt: "rfc822;x@example.org".into(),
        notify: Notify::SUCCESS,
        original: Address::from("list@example.org"),
        ..Recipient::new(Address::from(a))
    };
    Submission {
        sender: Address::from("owner-list@example.org"),
        recipients: vec![recipient("ann@example.org"), recipient("bob@example.net")],
        envid: "abc".into(),
        ret: Some(Ret::Hdrs),
        encoding: Encoding::EightBit,
        smtputf8: true,
        headers: b"Delivered-To: list@example.org\r\n".to_vec(),
    }
}

#[test]
fn a_head_reads_as_it_was_written_and_no_part_of_it_does() {
    let bytes = encode(&submission());
    assert_eq!(decode(&bytes[4..]), Some(submission()));
    for end in 4..bytes.len() {
        assert_eq!(decode(&bytes[4..end]), None, "cut at {end}");
    }
    assert_eq!(decode(&[&bytes[4..], b"x"].concat()), None);
    let nobody = Submission { recipients: vec![], ..submission() };
    assert_eq!(decode(&encode(&nobody)[4..]), None, "a message without recipients is none");
}

#[test]
fn a_file_with_a_false_length_is_refused() {
    for length in [u32::MAX, 1000] {
        let file = sys::sealed_memory_file([&length.to_le_bytes()[..], b"short"]).unwrap();
        assert!(head::read(&file).is_err());
    }
}

#[test]
fn long_lines_and_eight_bits_are_seen_wherever_pieces_break() {
    let text = format!("a\r\n{}\r\nb", "x".repeat(1000));
    for at in 0..text.len() {
        let mut lines = Lines::default();
        lines.seen(Bytes::copy_from_slice(&text.as_bytes()[..at]));
        lines.seen(Bytes::copy_from_slice(&text.as_bytes()[at..]));
        assert!(
            lines.flags.has(ContentFlags::LONG_LINE) && !lines.flags.has(ContentFlags::EIGHT_BIT),
            "{at}"
        );
    }
    let mut lines = Lines::default();
    lines.seen("ä\r\n".into());
    assert!(lines.flags.has(ContentFlags::EIGHT_BIT) && !lines.flags.has(ContentFlags::LONG_LINE));
}
