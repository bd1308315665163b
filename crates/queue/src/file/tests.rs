//! Tests of queue files: what Postfix wrote, what we write, what is broken.

use super::*;
use crate::record::{Records, put};
use bytes::Bytes;
use mail::{Address, Content, ContentFlags, Encoding, Envelope, Notify, Recipient, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

fn sample() -> Envelope {
    let mut envelope =
        Envelope::new(Address::from("ann@example.org"), Timestamp::from_micros(1_764_000_000_000_042));
    let mut bob = Recipient::new(Address::from("bob@example.net"));
    bob.notify = Notify::SUCCESS;
    bob.dsn_orcpt = "rfc822;robert@example.net".into();
    envelope.recipients = vec![bob, Recipient::new(Address::from("carl x@example.net"))];
    envelope.encoding = Encoding::EightBit;
    envelope.smtputf8 = 1;
    envelope
}

fn content(text: &[u8]) -> Content {
    Content::in_memory(vec![Bytes::copy_from_slice(text)], ContentFlags::default())
}

/// The size in the queue, counted whatever the lines are.
fn queue_size(text: &[u8]) -> u64 {
    Content::in_memory(vec![Bytes::copy_from_slice(text)], ContentFlags::WIDE_LINE).queue_size()
}

fn read_back(bytes: Vec<u8>) -> FileMessage {
    read(Arc::new(bytes)).unwrap()
}

fn kinds(bytes: &[u8]) -> String {
    Records::new(bytes).map(|r| char::from(r.unwrap().kind)).collect()
}

#[test]
fn a_file_is_laid_out_as_postfix_does() {
    let (bytes, marks) = to_bytes(&sample(), &content(b"Subject: x\r\n\r\nbody\r\n")).unwrap();
    assert_eq!(kinds(&bytes), "CTAASAAAORAORMNNNXAE");
    let c = String::from_utf8(bytes[2..97].to_vec()).unwrap();
    assert_eq!(c.split_whitespace().collect::<Vec<_>>(), ["20", "368", "2", "4", "20", "1"]);
    assert_eq!(&bytes[366..380], b"M\x00N\x0aSubject: x");
    assert_eq!(bytes[marks[0].offset as usize], b'R');
}

#[test]
fn files_that_postfix_wrote_are_read_and_written_again_to_the_byte() {
    for (name, file) in [
        ("smtp", &include_bytes!("../../testdata/smtp")[..]),
        ("null-sender", include_bytes!("../../testdata/null-sender")),
        ("local", include_bytes!("../../testdata/local")),
    ] {
        let message = read_back(file.to_vec());
        let (again, marks) = to_bytes(&message.envelope, &message.content).unwrap();
        assert_eq!(again.escape_ascii().to_string(), file.escape_ascii().to_string(), "{name}");
        assert_eq!(marks, message.marks);
    }
}

#[test]
fn the_envelope_alone_is_that_of_the_whole() {
    for file in
        [&include_bytes!("../../testdata/smtp")[..], include_bytes!("../../testdata/local-t"), &edited()]
    {
        let whole = read_back(file.to_vec());
        let alone = read_envelope(Arc::new(file.to_vec())).unwrap();
        assert_eq!((alone.envelope, alone.marks, alone.sizes), (whole.envelope, whole.marks, whole.sizes));
    }
}

#[test]
fn a_submission_is_read_with_or_without_the_time() {
    let mut file = Vec::new();
    put(&mut file, b'T', b"1764000000 42");
    let time = file.len();
    for (kind, data) in [
        (b'A', &b"rewrite_context=local"[..]),
        (b'F', b"Ann"),
        (b'S', b"ann"),
        (b'R', b"bob"),
        (b'M', b""),
        (b'N', b"Subject: x"),
        (b'X', b""),
        (b'R', b"carl"),
        (b'E', b""),
    ] {
        put(&mut file, kind, data);
    }
    let modified = Timestamp::from_secs(7);
    let message = submission::read(Arc::new(file.clone()), modified).unwrap();
    assert_eq!(message.envelope.arrival, Timestamp::from_micros(1_764_000_000_000_042));
    assert_eq!(message.envelope.recipients.len(), 2);
    assert_eq!(message.content.to_vec().unwrap(), b"Subject: x\r\n");
    let message = submission::read(Arc::new(file[time..].to_vec()), modified).unwrap();
    assert_eq!(message.envelope.arrival, modified);
    assert!(!message.requeued);
    let requeued =
        submission::read(Arc::new(include_bytes!("../../testdata/smtp").to_vec()), modified).unwrap();
    assert!(requeued.requeued);
}

#[test]
fn recipients_behind_the_content_are_read() {
    let message = read_back(include_bytes!("../../testdata/local-t").to_vec());
    let addresses: Vec<_> = message.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    assert_eq!(addresses, ["dave@example.org", "eve@example.org"]);
    assert_eq!(message.marks.iter().map(|m| m.offset).collect::<Vec<_>>(), [576, 649]);
    assert_eq!(message.envelope.full_name, "Full Name");
    assert_eq!(message.sizes.plain_size, queue_size(&message.content.to_vec().unwrap()));
}

#[test]
fn what_was_written_is_read_back() {
    let text = b"Subject: \xc3\xa4\r\n\r\n.dot\r\n\r\nlast \x00\xff\r\n";
    let (bytes, marks) = to_bytes(&sample(), &content(text)).unwrap();
    let message = read_back(bytes);
    assert_eq!(message.envelope, sample());
    assert_eq!(message.marks, marks);
    assert_eq!(message.content.to_vec().unwrap(), text);
    let all = ContentFlags::EIGHT_BIT.with(ContentFlags::LEADING_DOT).with(ContentFlags::UTF8_HEADER);
    assert_eq!((message.content.size, message.content.flags), (text.len() as u64, all));
}

#[test]
fn long_lines_are_split_and_joined() {
    for length in [2047, 2048, 2049, 4096, 4097, 10_000] {
        let text = [vec![b'a'; length], b"\r\n".to_vec()].concat();
        let (bytes, _) = to_bytes(&sample(), &content(&text)).unwrap();
        let pieces = kinds(&bytes).matches('L').count();
        // As Postfix reads: a full record is written before it is known what follows.
        assert_eq!(pieces, length / 2048, "{length}");
        let message = read_back(bytes);
        assert_eq!(message.content.to_vec().unwrap(), text);
        assert!(message.content.flags.has(ContentFlags::LONG_LINE));
        assert_eq!(message.content.queue_size(), message.sizes.plain_size);
        assert_eq!(message.sizes.content_records, queue_size(&text));
    }
}

#[test]
fn a_content_without_a_last_line_end_keeps_that() {
    for text in [&b"a\r\nno end"[..], b"a\r\nends with CR\r", b""] {
        let (bytes, _) = to_bytes(&sample(), &content(text)).unwrap();
        let message = read_back(bytes);
        assert_eq!(message.content.to_vec().unwrap(), text);
        assert_eq!(message.content.flags.has(ContentFlags::NO_FINAL_NEWLINE), !text.is_empty());
    }
}

#[test]
fn a_line_feed_inside_a_record_cannot_end_the_line() {
    let (bytes, _) = to_bytes(&sample(), &content(b"one\r\nx...y\r\n")).unwrap();
    let at = bytes.windows(5).position(|w| w == b"x...y").unwrap();
    let mut bytes = bytes;
    bytes[at + 1..at + 4].copy_from_slice(b"\n.\n");
    assert_eq!(read_back(bytes).content.to_vec().unwrap(), b"one\r\nx . y\r\n");
}

#[test]
fn the_envelope_may_come_behind_the_content() {
    for recipients in [2, 40, 1000] {
        let mut envelope = sample();
        envelope.recipients =
            (0..recipients).map(|n| Recipient::new(Address::new(format!("r{n}@example.net")))).collect();
        let text = b"Subject: late\r\n\r\nbody\r\n";
        let mut writer = Writer::with_room(Vec::new()).unwrap();
        for byte in text {
            writer.content(&[*byte]).unwrap();
        }
        let finished = writer.finish(&envelope).unwrap();
        let mut bytes = finished.out;
        assert_eq!(bytes.len() as u64, finished.file_size);
        bytes[..finished.head.len()].copy_from_slice(&finished.head);
        for mark in &finished.marks {
            assert_eq!(bytes[mark.offset as usize], b'R');
        }
        let message = read_back(bytes);
        assert_eq!(message.envelope, envelope);
        assert_eq!(message.marks, finished.marks);
        assert_eq!(message.content.to_vec().unwrap(), text);
    }
}

#[test]
fn a_recipient_is_marked_in_place() {
    let dir = std::env::temp_dir().join(format!("queue-mark-{}", std::process::id()));
    let (bytes, marks) = to_bytes(&sample(), &content(b"x\r\n")).unwrap();
    std::fs::write(&dir, bytes).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&dir).unwrap();
    mark_done(&file, marks[1].offset).unwrap();
    assert!(matches!(mark_done(&file, marks[1].offset + 1), Err(ReadError::Damaged(_))));
    let message = read(Arc::new(file)).unwrap();
    assert_eq!(message.marks.iter().map(|m| m.done).collect::<Vec<_>>(), [false, true]);
    assert_eq!(message.envelope.recipients.len(), 2);
    std::fs::remove_file(&dir).unwrap();
}

#[test]
fn a_sent_warning_is_noted() {
    let mut envelope = sample();
    envelope.warn_at = Some(Timestamp::from_secs(1_764_014_400));
    let (mut bytes, _) = to_bytes(&envelope, &content(b"x\r\n")).unwrap();
    let message = read_back(bytes.clone());
    assert_eq!(message.envelope.warn_at, envelope.warn_at);
    let at = message.warn_offset.unwrap() as usize;
    bytes[at + 2..at + 17].copy_from_slice(b"              0");
    assert_eq!(read_back(bytes).envelope.warn_at, None);
}

#[test]
fn two_readers_of_a_large_content_do_not_disturb_each_other() {
    let text: Vec<u8> = (0..40_000).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
    let (bytes, _) = to_bytes(&sample(), &content(&text)).unwrap();
    let message = read_back(bytes);
    let (mut one, mut two) = (message.content.reader(), message.content.reader());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    while let Some(piece) = one.next_piece().unwrap() {
        first.extend_from_slice(&piece);
        if first.len() > 200_000 {
            second.extend_from_slice(&two.next_piece().unwrap().unwrap_or_default());
        }
    }
    while let Some(piece) = two.next_piece().unwrap() {
        second.extend_from_slice(&piece);
    }
    assert!(first == text && second == text);
}

/// A file as Postfix's cleanup leaves it after a milter replaced a header and added a recipient.
fn edited() -> Vec<u8> {
    let mut f = Vec::new();
    let mut late = Vec::new();
    SizeRecord::default().put(&mut f);
    put(&mut f, b'T', b"1764000000 1");
    put(&mut f, b'S', b"ann@example.org");
    put(&mut f, b'O', b"bob@example.net");
    put(&mut f, b'R', b"bob@example.net");
    let p1 = f.len();
    put(&mut f, b'p', &[b' '; 15]);
    put(&mut f, b'M', b"");
    let content_offset = f.len() as u64;
    let old = f.len();
    put(&mut f, b'N', b"Subject: old one of some length");
    let behind_old = f.len();
    put(&mut f, b'N', b"");
    put(&mut f, b'N', b"body");
    put(&mut f, b'w', b"padding");
    let end = f.len() as u64;
    put(&mut f, b'X', b"");
    put(&mut f, b'E', b"");
    put(&mut late, b'N', b"Subject: new");
    let heap = f.len();
    put(&mut late, b'p', format!("{behind_old:15}").as_bytes());
    f.extend_from_slice(&late);
    let added = f.len();
    put(&mut f, b'R', b"carl@example.net");
    put(&mut f, b'p', format!("{:15}", p1 + 17).as_bytes());
    let mut pointer = Vec::new();
    put(&mut pointer, b'p', format!("{heap:15}").as_bytes());
    f[old..old + 17].copy_from_slice(&pointer);
    f[p1 + 2..p1 + 17].copy_from_slice(format!("{added:15}").as_bytes());
    let mut c = Vec::new();
    SizeRecord {
        content_records: end - content_offset,
        content_offset,
        recipients: 2,
        plain_size: 30,
        ..SizeRecord::default()
    }
    .put(&mut c);
    f[..97].copy_from_slice(&c);
    f
}

#[test]
fn a_file_edited_for_a_milter_is_read_through_its_pointers() {
    let message = read_back(edited());
    let addresses: Vec<_> = message.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    assert_eq!(addresses, ["bob@example.net", "carl@example.net"]);
    assert_eq!(message.content.to_vec().unwrap(), b"Subject: new\r\n\r\nbody\r\n");
}

#[test]
fn pointers_in_a_circle_are_damage() {
    let mut bytes = edited();
    let at = bytes.len() - 15;
    bytes[at..].copy_from_slice(format!("{:15}", 97).as_bytes());
    let error = read(Arc::new(bytes)).unwrap_err();
    assert!(error.to_string().contains("second sender") || error.to_string().contains("circle"), "{error}");
    let mut circle = Vec::new();
    SizeRecord::default().put(&mut circle);
    put(&mut circle, b'K', b"");
    put(&mut circle, b'p', format!("{:15}", 97).as_bytes());
    let error = read(Arc::new(circle)).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[test]
fn each_cut_of_a_file_is_damage() {
    let (bytes, _) = to_bytes(&sample(), &content(b"Subject: x\r\n\r\nbody\r\n")).unwrap();
    for length in 0..bytes.len() {
        assert!(matches!(read(Arc::new(bytes[..length].to_vec())), Err(ReadError::Damaged(_))), "{length}");
    }
}

proptest! {
    #[test]
    fn any_message_comes_back_in_any_pieces(
        envelope in crate::record::tests::envelope(),
        lines in vec(vec(any::<u8>(), 0..200), 0..40),
        cuts in vec(1usize..700, 1..10),
        late in any::<bool>(),
    ) {
        // In canonical form LF stands only behind CR.
        let text: Vec<u8> = lines.iter().flat_map(|l| {
            let mut line: Vec<u8> = l.iter().copied().filter(|b| *b != b'\n').collect();
            line.extend_from_slice(b"\r\n");
            line
        }).collect();
        let mut writer = if late { Writer::with_room(Vec::new()) } else { Writer::new(Vec::new(), &envelope) }.unwrap();
        let (mut rest, mut n) = (&text[..], 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts[n % cuts.len()].min(rest.len()));
            writer.content(now).unwrap();
            (rest, n) = (later, n + 1);
        }
        let finished = writer.finish(&envelope).unwrap();
        let mut bytes = finished.out;
        bytes[..finished.head.len()].copy_from_slice(&finished.head);
        let message = read_back(bytes);
        // What a file says by its directory, its mode and whole seconds.
        let mut expected = envelope;
        expected.hold = None;
        expected.force_expire = false;
        prop_assert_eq!(message.envelope, expected);
        prop_assert_eq!(message.content.size, text.len() as u64);
        prop_assert_eq!(message.content.to_vec().unwrap(), text.clone());
        prop_assert_eq!(finished.sizes.content_records, queue_size(&text));
    }

    #[test]
    fn any_damage_gives_a_message_or_an_error(at in 0usize..2000, byte in any::<u8>(), which in any::<bool>()) {
        let mut bytes = if which { edited() } else { to_bytes(&sample(), &content(b"Subject: x\r\n\r\nbody\r\n")).unwrap().0 };
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(message) = read(Arc::new(bytes)) {
            let text = message.content.to_vec().unwrap();
            prop_assert_eq!(text.len() as u64, message.content.size);
        }
    }

    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read(Arc::new(bytes));
    }
}
