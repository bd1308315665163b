//! Content and chunks that no honest client sends: bounded memory, exact replies, nothing half accepted.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use peers::hostile::{Client, Idle, only_an_honest_message_arrives};
use peers::{Ring, body};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn oversized_lines_are_refused_as_commands_and_kept_as_content() {
    let ring = Ring::start("long-lines", "");
    let idle = Idle::of(&ring);
    let megabyte = vec![b'x'; 1 << 20];
    let mut client = Client::connect(&ring);
    assert!(client.ask(b"EHLO client.test\r\n").starts_with("250"));
    for verb in ["NOOP ", "MAIL FROM:<", "RCPT TO:<", "\0"] {
        client.out.write_all(verb.as_bytes()).unwrap();
        client.out.write_all(&megabyte).unwrap();
        let reply = client.ask(b"\r\n");
        assert!(reply.starts_with("500 5.5.2") && reply.ends_with("command too long\r\n"), "{reply}");
    }
    assert!(client.ask(b"MAIL FROM:<a@example.com>\r\n").starts_with("250"));
    assert!(client.ask(b"RCPT TO:<b@example.org>\r\n").starts_with("250"));
    assert!(client.ask(b"DATA\r\n").starts_with("354"));
    let header = [b"X-Long: ".to_vec(), megabyte.clone()].concat();
    for line in [&header[..], b"", &megabyte, &megabyte, b"."] {
        client.out.write_all(line).unwrap();
        client.out.write_all(b"\r\n").unwrap();
    }
    assert!(client.reply().starts_with("250 2.0.0"));
    let received = ring.received(1);
    let lines = [&megabyte[..], b"\r\n", &megabyte, b"\r\n"].concat();
    assert!(body(&received[0].content) == lines, "the lines of the body are as they were");
    only_an_honest_message_arrives(&ring);
    idle.assert_little_more(&ring);
}

#[test]
fn nul_bytes_arrive_as_they_were() {
    let ring = Ring::start("nul", "");
    let text = b"a\0b\r\n\0\r\n\0\0\0\r\n";
    let mut client = Client::connect(&ring);
    client.envelope();
    assert!(client.ask(b"DATA\r\n").starts_with("354"));
    let content = [b"Subject: x\0y\r\n\r\n", &text[..], b".\r\n"].concat();
    assert!(client.ask(&content).starts_with("250"));
    let chunk = [b"Subject: x\r\n\r\n", &text[..]].concat();
    assert!(client.ask(b"MAIL FROM:<a@example.com>\r\n").starts_with("250"));
    assert!(client.ask(b"RCPT TO:<b@example.org>\r\n").starts_with("250"));
    client.out.write_all(format!("BDAT {} LAST\r\n", chunk.len()).as_bytes()).unwrap();
    assert!(client.ask(&chunk).starts_with("250"));
    for message in ring.received(2) {
        assert!(body(&message.content) == text, "{:?}", String::from_utf8_lossy(&message.content));
    }
}

#[test]
fn chunks_beyond_the_limit_are_thrown_away_whole() {
    let ring = Ring::start("endless-chunk", "");
    let idle = Idle::of(&ring);
    let block = vec![b'x'; 1 << 20];
    let mut client = Client::connect(&ring);
    client.envelope();
    client.out.write_all(format!("BDAT {}\r\n", 100 << 20).as_bytes()).unwrap();
    for _ in 0..100 {
        client.out.write_all(&block).unwrap();
    }
    let reply = client.reply();
    assert!(reply.starts_with("552 5.3.4 Chunk exceeds message size limit"), "{reply}");
    // Many small chunks may not add up to more either.
    assert!(client.ask(b"RSET\r\n").starts_with("250"));
    assert!(client.ask(b"MAIL FROM:<a@example.com>\r\n").starts_with("250"));
    assert!(client.ask(b"RCPT TO:<b@example.org>\r\n").starts_with("250"));
    let mut replies = Vec::new();
    for _ in 0..12 {
        client.out.write_all(format!("BDAT {}\r\n", block.len()).as_bytes()).unwrap();
        replies.push(client.ask(&block)[..3].to_string());
    }
    assert_eq!(
        replies.iter().filter(|code| *code == "250").count(),
        9,
        "10,240,000 bytes hold nine: {replies:?}"
    );
    assert!(client.ask(b"BDAT 0 LAST\r\n").starts_with("551"));
    idle.assert_little_more(&ring);
    only_an_honest_message_arrives(&ring);
}

#[test]
fn a_truncated_chunk_ends_the_session_and_nothing_more() {
    let ring = Ring::start("truncated", "");
    for (announced, last) in
        [(10, " LAST"), (1_000_000, " LAST"), (9_223_372_036_854_775_807u64, ""), (100, "")]
    {
        let mut client = Client::connect(&ring);
        client.envelope();
        client.out.write_all(format!("BDAT {announced}{last}\r\nSubject").as_bytes()).unwrap();
        client.out.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        client.replies.read_to_string(&mut rest).unwrap();
        assert!(rest.is_empty(), "nobody is left to hear it: {rest}");
    }
    // Commands inside a chunk are content; what is left, `>`, is no command of SMTP.
    let mut client = Client::connect(&ring);
    client.envelope();
    client.out.write_all(b"BDAT 30\r\nQUIT\r\nMAIL FROM:<x@example.com>\r\n").unwrap();
    client.out.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    client.replies.read_to_string(&mut rest).unwrap();
    let codes: Vec<_> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "221"], "{rest}");
    only_an_honest_message_arrives(&ring);
}

#[test]
fn slow_content_runs_out_of_time() {
    let settings = "smtpd_timeout = 2s\nsmtpd_per_request_deadline = yes\nsmtpd_min_data_rate = 500\n";
    let ring = Ring::start("slow-content", settings);
    let start = Instant::now();
    let mut clients = Vec::new();
    for begin in [&b"DATA\r\n"[..], b"BDAT 1000\r\n", b"BDAT 1000 LAST\r\n", b""] {
        let mut client = Client::connect(&ring);
        client.envelope();
        client.out.write_all(begin).unwrap();
        clients.push(client);
    }
    while start.elapsed() < Duration::from_secs(4) {
        for client in &mut clients {
            drop(client.out.write_all(b"x"));
        }
        std::thread::sleep(Duration::from_millis(900));
    }
    for client in &mut clients {
        let mut rest = Vec::new();
        // The byte that came behind the end may have reset the connection.
        drop(client.replies.read_to_end(&mut rest));
        let text = String::from_utf8_lossy(&rest);
        let text = text.trim_start_matches("354 End data with <CR><LF>.<CR><LF>\r\n");
        assert!(text.starts_with("421 4.4.2") || text.is_empty(), "{text}");
    }
    assert!(start.elapsed() < Duration::from_secs(15), "slow clients were kept");
    only_an_honest_message_arrives(&ring);
}

#[test]
fn a_client_that_reads_no_replies_is_given_up() {
    let ring = Ring::start(
        "deaf",
        "smtpd_timeout = 2s\nsmtpd_hard_error_limit = 1000000\nsmtpd_error_sleep_time = 0\n",
    );
    let idle = Idle::of(&ring);
    let client = Client::connect(&ring);
    client.out.set_write_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut out = client.out.try_clone().unwrap();
    assert!(out.write_all(b"EHLO client.test\r\n").is_ok());
    let commands = b"VRFY nobody@example.org\r\n".repeat(40_000);
    let mut sent = 0u64;
    // Until the server, which cannot write, reads no more, and then hangs up.
    let end = loop {
        match out.write(&commands) {
            Ok(n) => sent += n as u64,
            Err(error) => break error,
        }
    };
    use std::io::ErrorKind as K;
    assert!(matches!(end.kind(), K::ConnectionReset | K::BrokenPipe), "{end} after {sent} bytes");
    only_an_honest_message_arrives(&ring);
    idle.assert_little_more(&ring);
}
