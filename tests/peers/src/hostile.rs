//! A client that does what no honest one does, and what must hold of the instance meanwhile.

#![allow(clippy::unwrap_used, reason = "all of this file is part of tests")]

use crate::Ring;
use crash::Role;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What the issue allows above idle, in KiB.
const MEMORY_ABOVE_IDLE: u64 = 64 * 1024;

/// A client that sends what it is told, in one write.
pub struct Client {
    /// The connection.
    pub out: TcpStream,
    /// What the server says.
    pub replies: BufReader<TcpStream>,
}

impl Client {
    /// Connects and waits for the greeting.
    pub fn connect(ring: &Ring) -> Client {
        let out = TcpStream::connect(("127.0.0.1", ring.instance.port)).unwrap();
        out.set_nodelay(true).unwrap();
        out.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        out.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        let replies = BufReader::new(out.try_clone().unwrap());
        let mut client = Client { out, replies };
        assert!(client.reply().starts_with("220"));
        client
    }

    /// The last line of the next reply; empty where the connection ends.
    pub fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.replies.read_line(&mut line).unwrap_or(0) == 0 {
                return String::new();
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends and waits for a reply.
    pub fn ask(&mut self, bytes: &[u8]) -> String {
        if self.out.write_all(bytes).is_err() {
            return String::new();
        }
        self.reply()
    }

    /// EHLO, MAIL and one RCPT.
    pub fn envelope(&mut self) {
        assert!(self.ask(b"EHLO client.test\r\n").starts_with("250"));
        assert!(self.ask(b"MAIL FROM:<a@example.com>\r\n").starts_with("250"));
        assert!(self.ask(b"RCPT TO:<b@example.org>\r\n").starts_with("250"));
    }
}

/// How much memory the instance had before anybody came.
pub struct Idle(u64);

impl Idle {
    /// Now.
    pub fn of(ring: &Ring) -> Idle {
        Idle(peak(ring))
    }

    /// No process ever had more than the issue allows above that.
    pub fn assert_little_more(&self, ring: &Ring) {
        let above = peak(ring).saturating_sub(self.0);
        assert!(above < MEMORY_ABOVE_IDLE, "{above} KiB above idle");
    }
}

/// The most memory that any process of the instance ever had, in KiB.
fn peak(ring: &Ring) -> u64 {
    let of = |role| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", ring.instance.pid(role)?)).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmHWM:"))?.to_string();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    [Role::Master, Role::Smtpd, Role::Qmgr, Role::Local, Role::Control]
        .into_iter()
        .filter_map(of)
        .max()
        .unwrap()
}

/// The instance still takes mail, and nothing but this message arrives.
pub fn only_an_honest_message_arrives(ring: &Ring) {
    let mut client = Client::connect(ring);
    client.envelope();
    assert!(client.ask(b"DATA\r\n").starts_with("354"));
    assert!(client.ask(b"Subject: honest\r\n\r\nhello\r\n.\r\n").starts_with("250"));
    let received = ring.received(1);
    assert!(
        String::from_utf8_lossy(&received[0].content).contains("Subject: honest"),
        "half a message arrived"
    );
}
