//! Bodies arrive byte for byte.

use super::*;
use mail::ContentSource;
use std::io;

fn flags_of(content: &[u8]) -> ContentFlags {
    let mut flags = ContentFlags::default();
    for line in content.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        if text.first() == Some(&b'.') {
            flags = flags.with(ContentFlags::LEADING_DOT);
        }
        if text.len() > 998 {
            flags = flags.with(ContentFlags::LONG_LINE);
        }
        if text.iter().any(|b| *b >= 0x80) {
            flags = flags.with(ContentFlags::EIGHT_BIT);
        }
        if text.len() == line.len() {
            flags = flags.with(ContentFlags::NO_FINAL_NEWLINE);
        }
    }
    flags
}

struct Slow(Vec<u8>);

impl ContentSource for Slow {
    fn read_at(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let piece = &rest[..rest.len().min(max).min(10_000)];
        out.extend_from_slice(piece);
        Ok(piece.len())
    }
}

/// What arrives of a content, sent in pieces from memory and from elsewhere.
fn arrivals(content: &[u8]) -> [Vec<u8>; 2] {
    run(async {
        let server = Server::new(&[]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let settings = Settings { timeouts: Timeouts::default(), ..quick() };
        let agent = agent(settings, ScriptedResolver::new());
        let flags = flags_of(content);
        let pieces = content.chunks(content.len() / 150 + 1).map(|c| c.to_vec().into()).collect();
        let elsewhere = Content::elsewhere(content.len() as u64, flags, Arc::new(Slow(content.to_vec())));
        for content in [Content::in_memory(pieces, flags), elsewhere] {
            let mut job = job(&nexthop, &["bob@example.org"]);
            job.content = content;
            assert_eq!(hand(&agent, job).only().await.0, Status::Sent);
        }
        let got = server.got.borrow();
        [got[0].content.clone(), got[1].content.clone()]
    })
}

#[test]
fn bodies_arrive_as_they_are() {
    let mut all: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"Subject: x\r\n\r\nplain\r\n".to_vec(),
        b".\r\n..\r\n.a\r\n\r\n.\r\n".to_vec(),
        "Subject: \u{e4}\r\n\r\n\u{e4}\u{20ac}\r\n".as_bytes().to_vec(),
        b"\r\n\r\n\r\n".to_vec(),
        (0..=255u8).filter(|b| !b"\r\n".contains(b)).chain(*b"\r\n").collect(),
    ];
    all.push([b"Subject: big\r\n\r\n".to_vec(), b"0123456789 abcdefg\r\n".repeat(500_000)].concat());
    all.push(b".dots and lines\r\n".repeat(20_000));
    for content in all {
        for got in arrivals(&content) {
            assert!(got == content, "{} bytes, got {}", content.len(), got.len());
        }
    }
}

#[test]
fn a_last_line_without_its_end_gets_one() {
    for (content, expected) in [("a\r\nb", "a\r\nb\r\n"), (".", ".\r\n")] {
        assert_eq!(arrivals(content.as_bytes()), [expected.as_bytes(), expected.as_bytes()]);
    }
}

#[test]
fn long_lines_are_divided() {
    let long = "x".repeat(2500);
    let divided = format!("{}\r\n {}\r\n {}\r\nend\r\n", &long[..998], &long[..997], &long[..505]);
    for got in arrivals(format!("{long}\r\nend\r\n").as_bytes()) {
        assert_eq!(String::from_utf8(got).unwrap(), divided);
    }
}

#[test]
fn a_content_that_has_become_shorter_is_not_sent_as_if_whole() {
    run(async {
        let server = Server::new(&[]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let mut job = job(&nexthop, &["bob@example.org"]);
        job.content =
            Content::elsewhere(1000, ContentFlags::default(), Arc::new(Slow(b"short\r\n".to_vec())));
        let (status, dsn, reason) = hand(&agent(quick(), ScriptedResolver::new()), job).only().await;
        assert_eq!((status, dsn), (Status::Deferred, Dsn::new(4, 3, 0)));
        assert_eq!(reason, "local data error while talking to 127.0.0.1[127.0.0.1]");
        assert!(server.got.borrow().is_empty());
    });
}
