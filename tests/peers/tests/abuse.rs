//! Input that no honest client sends, against a whole instance: a correct reply or a clean close, nothing half
//! accepted, and no process more than 64 MB above idle.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use peers::Ring;
use peers::hostile::{Client, Idle, only_an_honest_message_arrives};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn a_hundred_megabytes_without_a_newline_cost_no_memory() {
    let ring = Ring::start("endless-line", "");
    let idle = Idle::of(&ring);
    let block = vec![b'x'; 1 << 20];
    for in_data in [false, true] {
        let mut client = Client::connect(&ring);
        if in_data {
            client.envelope();
            assert!(client.ask(b"DATA\r\n").starts_with("354"));
        }
        for _ in 0..100 {
            if client.out.write_all(&block).is_err() {
                break;
            }
        }
        if in_data {
            // Larger than message_size_limit (10,240,000): refused, not kept.
            let reply = client.ask(b"\r\n.\r\n");
            assert!(reply.starts_with("552 5.3.4") || reply.is_empty(), "{reply}");
        }
    }
    idle.assert_little_more(&ring);
    only_an_honest_message_arrives(&ring);
}

#[test]
fn many_large_messages_at_once_share_one_budget() {
    let ring = Ring::start("budget", "");
    let idle = Idle::of(&ring);
    let block = [b"y".repeat(998), b"\r\n".to_vec()].concat().repeat(9_000);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&ring)).collect();
    for client in &mut clients {
        client.envelope();
        assert!(client.ask(b"DATA\r\n").starts_with("354"));
    }
    // All bodies are under way before any ends; none is completed.
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| drop(client.out.write_all(&block)));
        }
    });
    idle.assert_little_more(&ring);
    drop(clients);
    only_an_honest_message_arrives(&ring);
}

#[test]
fn garbage_nul_bytes_and_commands_out_of_order_get_replies() {
    let ring = Ring::start("garbage", "smtpd_hard_error_limit = 1000\nsmtpd_error_sleep_time = 0\n");
    let idle = Idle::of(&ring);
    let mut client = Client::connect(&ring);
    for (bytes, code) in [
        (&b"RCPT TO:<b@example.org>\r\n"[..], "503"),
        (b"DATA\r\n", "503"),
        (b"MAIL FROM:<a@example.com\r\n", "50"),
        (b"EHLO client.test\r\n", "250"),
        (b"BDAT 5 LAST\r\nhello", "503"),
        (b"RCPT TO:<b@example.org>\r\n", "503"),
        (b"MAIL FROM:<a@example.com> SIZE=99999999999999999999\r\n", "5"),
        (b"MAIL FROM:<a@example.com> NONSENSE=1\r\n", "555"),
        (b"NO\0OP\r\n", "50"),
        (b"NOOP\r\n", "250"),
        // 521 ends the session, as with Postfix.
        (b"BDAT -1 LAST\r\n", "521"),
    ] {
        let reply = client.ask(bytes);
        assert!(reply.starts_with(code), "{:?}: {reply}", String::from_utf8_lossy(bytes));
    }
    let mut noise = Vec::new();
    for n in 0..20_000u32 {
        noise.push((n.wrapping_mul(2_654_435_761) >> 13) as u8);
    }
    let mut client = Client::connect(&ring);
    drop(client.out.write_all(&noise));
    drop(client);
    only_an_honest_message_arrives(&ring);
    idle.assert_little_more(&ring);
}

#[test]
fn a_client_that_vanishes_at_any_step_leaves_nothing() {
    let ring = Ring::start("vanish", "");
    let idle = Idle::of(&ring);
    let dialogue: &[u8] =
        b"EHLO client.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n\
        Subject: half\r\n\r\nhalf\r\n.\r";
    let bdat: &[u8] = b"EHLO client.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n\
        BDAT 20\r\nSubject: half\r\n\r\nhal\r\nBDAT 1000 LAST\r\nx";
    for bytes in [dialogue, bdat] {
        for cut in (0..=bytes.len()).step_by(7).chain([bytes.len()]) {
            let mut client = Client::connect(&ring);
            // Line by line, as a client without pipelining does.
            for line in bytes[..cut].split_inclusive(|&b| b == b'\n') {
                drop(client.out.write_all(line));
                if line.ends_with(b"\n") && !line.starts_with(b"Subject") && line.len() > 4 {
                    client.out.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    drop(client.reply());
                }
            }
        }
    }
    only_an_honest_message_arrives(&ring);
    idle.assert_little_more(&ring);
}

#[test]
fn ten_thousand_recipients_are_taken_or_refused_one_by_one() {
    let ring = Ring::start("recipients", "smtpd_recipient_limit = 10000\n");
    let idle = Idle::of(&ring);
    let mut client = Client::connect(&ring);
    assert!(client.ask(b"EHLO client.test\r\n").starts_with("250"));
    assert!(client.ask(b"MAIL FROM:<a@example.com>\r\n").starts_with("250"));
    for batch in 0..110 {
        let commands: String =
            (0..100).map(|n| format!("RCPT TO:<r{}@example.org>\r\n", batch * 100 + n)).collect();
        client.out.write_all(commands.as_bytes()).unwrap();
        for n in 0..100 {
            let expected = if batch < 100 { "250 2.1.5" } else { "452 4.5.3" };
            let reply = client.reply();
            assert!(reply.starts_with(expected), "recipient {}: {reply}", batch * 100 + n);
        }
    }
    assert!(client.ask(b"DATA\r\n").starts_with("354"));
    assert!(client.ask(b"Subject: many\r\n\r\nhello\r\n.\r\n").starts_with("250"));
    // smtp_destination_recipient_limit is 50.
    let received = ring.received(200);
    assert_eq!(received.iter().map(|t| t.rcpts.len()).sum::<usize>(), 10_000);
    idle.assert_little_more(&ring);
}

#[test]
fn slow_senders_do_not_hold_up_others_and_run_out_of_time() {
    let ring = Ring::start(
        "slow",
        "smtpd_timeout = 3s\nsmtpd_per_request_deadline = yes\nsmtpd_min_data_rate = 500\n",
    );
    let idle = Idle::of(&ring);
    let mut slow: Vec<Client> = (0..50).map(|_| Client::connect(&ring)).collect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for client in &mut slow {
            drop(client.out.write_all(b"E"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    only_an_honest_message_arrives(&ring);
    for client in &mut slow {
        let mut rest = Vec::new();
        drop(client.replies.read_to_end(&mut rest));
        let text = String::from_utf8_lossy(&rest);
        assert!(text.starts_with("421 4.4.2") || text.is_empty(), "{text}");
    }
    assert!(start.elapsed() < Duration::from_secs(30), "slow clients were kept");
    idle.assert_little_more(&ring);
}
