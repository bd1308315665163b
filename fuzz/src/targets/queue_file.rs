//! Queue files of any hand: nothing panics, and what was read is written so that it is read as the same again.

use crate::Target;
use bytes::Bytes;
use mail::{Address, Content, ContentFlags, Envelope, Recipient, Timestamp};
use queue::file::{read, read_envelope, submission, to_bytes};
use queue::{record, report_log};
use std::sync::Arc;

pub(super) const TARGET: Target = Target {
    name: "queue_file",
    dictionary: &[
        b"C\x5f             100             600               1               0             100               0",
        b"T\x111800000000 000001",
        b"A\x16create_time=1800000000",
        b"S\x0fann@example.org",
        b"S\0",
        b"O\x0fbob@example.org",
        b"R\x0fbob@example.org",
        b"D\x0fbob@example.org",
        b"A\x0enotify_flags=1",
        b"M\0",
        b"N\x0aSubject: x",
        b"N\0",
        b"L\x04part",
        b"p\x0f              0",
        b"p\x0f            600",
        b"w\x02  ",
        b"K\x01 ",
        b"X\0",
        b"E\0",
        b"recipient=bob@example.org\nstatus=4.4.1\nreason=x\n\n",
        b"\x80\x80\x80\x80\x80",
        b"\xff",
    ],
    run,
};

/// Larger contents are not written again here: pointers may repeat a piece of a file many times.
const CONTENT_MAX: u64 = 1 << 20;

fn run(input: &[u8]) {
    let now = Timestamp::from_secs(1_800_000_000);
    let _ = submission::read(Arc::new(input.to_vec()), now);
    let _ = record::decode_envelope(input);
    let _ = report_log::parse(input);
    whole(input.to_vec());
    whole(damaged(input, now));
}

/// A good file with some bytes of it changed, or cut short.
fn damaged(input: &[u8], now: Timestamp) -> Vec<u8> {
    let mut envelope = Envelope::new(Address::from("ann@example.org"), now);
    envelope.recipients =
        vec![Recipient::new(Address::from("bob@example.org")), Recipient::new(Address::null())];
    let body = Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n.\r\n");
    let content = Content::in_memory(vec![body], ContentFlags::default());
    let (mut file, _) = to_bytes(&envelope, &content).expect("memory takes every byte");
    for change in input.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
        file[at] = change[2];
    }
    if let [.., cut] = input
        && cut % 4 == 0
    {
        file.truncate(file.len() - usize::from(*cut) % file.len());
    }
    file
}

fn whole(file: Vec<u8>) {
    let _ = read_envelope(Arc::new(file.clone()));
    let Ok(first) = read(Arc::new(file)) else { return };
    if first.content.size > CONTENT_MAX {
        return;
    }
    let Ok(content) = first.content.to_vec() else { return };
    assert_eq!(content.len() as u64, first.content.size, "the content has another size than it says");
    let kept = Content::in_memory(vec![Bytes::from(content.clone())], first.content.flags);
    let (again, marks) = to_bytes(&first.envelope, &kept).expect("memory takes every byte");
    assert_eq!(marks.len(), first.envelope.recipients.len());
    let second = read(Arc::new(again)).expect("what we write we read");
    assert_eq!(second.content.to_vec().expect("it is in memory"), content);
    assert_eq!(second.envelope, first.envelope);
}
