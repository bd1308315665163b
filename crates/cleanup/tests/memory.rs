//! A message of any size is looked at in constant memory. Alone in its process, since it asks for the process's peak.

mod common;

use bytes::Bytes;
use cleanup::checks::Checks;
use common::{client, maps, message};

/// The most memory that the process has had, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak is told");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Pieces as a session passes them on.
const PIECE: usize = 64 * 1024;

/// What an allocator keeps. A message that was gathered would
/// take its 100 MB.
const GROWTH_KIB_MAX: usize = 24 * 1024;

#[test]
fn a_message_of_100_megabytes_costs_no_more_memory_than_a_small_one() {
    let checks = Checks {
        header: maps("{/^X/ INFO}"),
        body: maps("{/^never/ REJECT}"),
        reading: mail::mime::Reading { watches_bodies: true, ..Checks::default().reading },
        ..Checks::default()
    };
    let client = client();
    let mut message = message(checks, Some(&client), true);
    let head = Bytes::from_static(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n");
    tables::wait(message.append(head));
    let piece =
        Bytes::from("--no boundary: seventy bytes or so of text that is looked at\r\n".repeat(PIECE / 62));
    let before = peak();
    let mut sent = 0;
    while sent < 100_000_000 {
        tables::wait(message.append(piece.clone()));
        sent += piece.len();
    }
    // One line without end, and one header without end in the next part.
    let endless = Bytes::from(vec![b'x'; PIECE]);
    for beginning in [&b""[..], b"\r\n--b\r\nX: "] {
        tables::wait(message.append(Bytes::from_static(beginning)));
        for _ in 0..160 {
            tables::wait(message.append(endless.clone()));
        }
    }
    let finished = tables::wait(message.finish()).unwrap_or_else(|reply| panic!("{reply}"));
    assert!(finished.sink.count > 100_000_000);
    let growth = peak() - before;
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB more");
}
