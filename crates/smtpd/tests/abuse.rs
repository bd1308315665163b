//! Clients that mean no good or do not know better: a correct reply or a clean end, bounded memory, nothing half accepted.

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use server::Server;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Memory that a test may take beyond what there was.
const MEMORY_MAX: u64 = 64 << 20;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Reads replies until `count` of them have come; a reply ends with a line that has a blank behind its code.
fn replies(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    let mut done = Vec::new();
    let mut buffer = [0u8; 4096];
    while done.len() < count {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the server closed after {done:?} {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            if line.as_bytes()[3] == b' ' {
                done.push(line.trim_end().to_owned());
            }
        }
    }
    done
}

fn ask(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    replies(stream, 1).pop().unwrap()
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn greeted(server: &Server) -> TcpStream {
    let mut stream = server.connect("127.0.0.2");
    assert!(replies(&mut stream, 1)[0].starts_with("220 "));
    assert!(ask(&mut stream, "EHLO x\r\n").starts_with("250 "));
    stream
}

#[test]
fn a_hundred_megabytes_without_a_newline_take_no_memory() {
    let server = Server::start("message_size_limit = 0");
    let block = vec![b'x'; 1 << 20];
    // As a command, as a line of a message, as a header name.
    let mut command = greeted(&server);
    let before = resident();
    for _ in 0..100 {
        command.write_all(&block).unwrap();
    }
    command.write_all(b"\r\n").unwrap();
    assert_eq!(replies(&mut command, 1), ["500 5.5.2 mx.example.org Error: command too long"]);
    assert_eq!(ask(&mut command, "QUIT\r\n"), "221 2.0.0 Bye");
    let mut body = greeted(&server);
    body.write_all(b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n").unwrap();
    assert!(replies(&mut body, 3)[2].starts_with("354 "));
    for _ in 0..100 {
        body.write_all(&block).unwrap();
    }
    assert!(ask(&mut body, "\r\n.\r\n").starts_with("250 2.0.0 Ok: queued as "));
    let grown = resident().saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{} MB more", grown >> 20);
}

#[test]
fn ten_thousand_recipients_are_answered_one_by_one() {
    let server = Server::start("smtpd_recipient_overshoot_limit = 100000");
    let mut stream = greeted(&server);
    assert_eq!(ask(&mut stream, "MAIL FROM:<>\r\n"), "250 2.1.0 Ok");
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for i in 0..10_000 {
            writer.write_all(format!("RCPT TO:<x{i}@relay.example>\r\n").as_bytes()).unwrap();
        }
    });
    let all = replies(&mut stream, 10_000);
    sender.join().unwrap();
    assert!(all[..1000].iter().all(|r| r == "250 2.1.5 Ok"));
    assert!(all[1000..].iter().all(|r| r == "452 4.5.3 Error: too many recipients"));
    assert!(ask(&mut stream, "DATA\r\n").starts_with("354 "));
    assert!(ask(&mut stream, "x\r\n.\r\n").starts_with("250 "));
    assert_eq!(server.groups(), 1);
}

#[test]
fn a_client_that_vanishes_at_any_byte_leaves_nothing_behind() {
    let server = Server::start("");
    let dialogues = [
        "RSET\r\n|MAIL FROM:<>\r\n|RCPT TO:<ann@example.org>\r\n|DATA\r\n|Subject: x\r\n\r\nhello\r\n.\r",
        "MAIL FROM:<>\r\n|RCPT TO:<ann@example.org>\r\n|BDAT 3\r\nabc|BDAT 100 LAST\r\nabc",
    ];
    for dialogue in dialogues {
        let groups: Vec<&str> = dialogue.split('|').collect();
        for vanish in 0..=groups.len() {
            for clean in [true, false] {
                let mut stream = greeted(&server);
                for group in &groups[..vanish] {
                    stream.write_all(group.as_bytes()).unwrap();
                    if group.ends_with('\n') || group.ends_with("abc") && group.len() < 14 {
                        replies(&mut stream, 1);
                    }
                }
                if clean {
                    stream.shutdown(Shutdown::Write).unwrap();
                    rest(&mut stream);
                } else {
                    // Unread bytes or not: the connection is reset.
                    let socket = socket2::Socket::from(stream);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
    }
    // The server is alive, and the first message it takes is the first in the journal.
    assert_eq!(server.groups(), 0);
    let mut stream = greeted(&server);
    stream.write_all(b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n").unwrap();
    replies(&mut stream, 3);
    assert!(ask(&mut stream, ".\r\n").starts_with("250 "));
    assert_eq!(server.groups(), 1);
}

#[test]
fn garbage_gets_replies_and_then_the_end() {
    let server = Server::start("smtpd_error_sleep_time = 0s");
    let mut seed = 1u64;
    for _ in 0..50 {
        let mut stream = greeted(&server);
        let garbage: Vec<u8> = (0..5000)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 56) as u8
            })
            .collect();
        // The server may have hung up before all of it was sent.
        let _ = stream.write_all(&garbage);
        let _ = stream.write_all(b"\r\nQUIT\r\n");
        let _ = stream.shutdown(Shutdown::Write);
        for line in rest(&mut stream).lines() {
            assert!(line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
        }
    }
    assert_eq!(ask(&mut greeted(&server), "NOOP\r\n"), "250 2.0.0 Ok");
}

#[test]
fn one_byte_at_a_time_is_understood_but_not_for_ever() {
    let main_cf = "smtpd_timeout = 1s\nsmtpd_per_request_deadline = yes";
    let server = Server::start(main_cf);
    let mut stream = greeted(&server);
    for byte in b"NOOP\r\n" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(replies(&mut stream, 1), ["250 2.0.0 Ok"]);
    // Each byte comes in time, but the command does not: the deadline is for all of it.
    let begun = Instant::now();
    let mut slow = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for byte in [b'x'; 100] {
            if slow.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert_eq!(replies(&mut stream, 1), ["421 4.4.2 mx.example.org Error: timeout exceeded"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(stream);
    writer.join().unwrap();
}

#[test]
fn a_client_that_reads_nothing_is_dropped() {
    let server = Server::start("smtpd_timeout = 1s\nsmtpd_junk_command_limit = 1000000");
    let mut stream = greeted(&server);
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let before = resident();
    // HELP's reply is longer than the command, so that the server must stop reading.
    let block = "HELP\r\n".repeat(10_000);
    let mut sent = 0;
    while sent < 4000 && stream.write_all(block.as_bytes()).is_ok() {
        sent += 1;
    }
    assert!(sent < 4000, "the server read everything");
    let grown = resident().saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{} MB more", grown >> 20);
}

#[test]
fn a_thousand_idle_sessions_hold_no_buffers() {
    let server = Server::start("smtpd_client_connection_count_limit = 0");
    let mut warm: Vec<_> = (0..50).map(|_| greeted(&server)).collect();
    let before = resident();
    let mut idle: Vec<_> = (0..1000).map(|_| greeted(&server)).collect();
    for stream in &mut idle {
        assert!(ask(stream, "EHLO x\r\n").starts_with("250 "));
    }
    let each = resident().saturating_sub(before) / idle.len() as u64;
    // The test's own half of each connection counts too; the kernel's does not.
    assert!(each < 6 * 1024, "{each} bytes each");
    warm.clear();
}

#[test]
fn addresses_of_one_network_are_one_client() {
    let server = Server::start(
        "smtpd_client_connection_count_limit = 1\nsmtpd_client_event_limit_exceptions =\n\
         smtpd_client_ipv4_prefix_length = 24\n",
    );
    let _first = greeted(&server);
    let mut second = server.connect("127.0.0.3");
    assert!(rest(&mut second).starts_with("421 4.7.0 "));
}
