//! Clients that send numbered messages and remember which were acknowledged.

use std::io::{BufRead, BufReader, Error, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A message that got its `250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Its number.
    pub id: u64,
}

/// Clients under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    acked: Arc<Mutex<Vec<Acked>>>,
    clients: Vec<JoinHandle<()>>,
}

/// A silent server is given up after this: the process behind it was killed.
const PATIENCE: Duration = Duration::from_secs(10);

impl Load {
    /// `clients` clients send messages of `body` bytes to `127.0.0.1:port`, with a pause of `pause` between two.
    pub fn start(port: u16, clients: usize, body: usize, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::new(AtomicU64::new(1));
        let clients = (0..clients)
            .map(|_| {
                let (stop, acked, next) = (stop.clone(), acked.clone(), next.clone());
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // The server was killed under us: connect again, with the next number.
                        if session(port, body, pause, &stop, &acked, &next).is_err() {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                })
            })
            .collect();
        Load { stop, acked, clients }
    }

    /// How many messages were acknowledged so far.
    pub fn count(&self) -> usize {
        self.acked.lock().map(|a| a.len()).unwrap_or(0)
    }

    /// Ends the load and tells what was acknowledged.
    pub fn finish(self) -> Vec<Acked> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            drop(client.join());
        }
        self.acked.lock().map(|a| a.clone()).unwrap_or_default()
    }
}

fn session(
    port: u16,
    body: usize,
    pause: Duration,
    stop: &AtomicBool,
    acked: &Mutex<Vec<Acked>>,
    next: &AtomicU64,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut out = stream.try_clone()?;
    let mut replies = BufReader::new(stream);
    expect(&mut replies, b'2')?;
    ask(&mut out, &mut replies, "EHLO client.test", b'2')?;
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        ask(&mut out, &mut replies, "MAIL FROM:<sender@example.com>", b'2')?;
        ask(&mut out, &mut replies, &format!("RCPT TO:<r{id}@example.org>"), b'2')?;
        ask(&mut out, &mut replies, "DATA", b'3')?;
        let filler = "x".repeat(body.min(70));
        let mut message = format!("Subject: crash\r\nX-Crash-Id: {id}\r\n\r\n");
        while message.len() < body {
            message.push_str(&filler);
            message.push_str("\r\n");
        }
        message.push('.');
        ask(&mut out, &mut replies, &message, b'2')?;
        if let Ok(mut acked) = acked.lock() {
            acked.push(Acked { id });
        }
        std::thread::sleep(pause);
    }
    ask(&mut out, &mut replies, "QUIT", b'2')
}

fn ask(out: &mut TcpStream, replies: &mut impl BufRead, command: &str, class: u8) -> std::io::Result<()> {
    out.write_all(format!("{command}\r\n").as_bytes())?;
    expect(replies, class)
}

/// Reads one reply and wants its first digit to be `class`.
fn expect(replies: &mut impl BufRead, class: u8) -> std::io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if replies.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    if line.as_bytes().first() == Some(&class) { Ok(()) } else { Err(Error::other(line)) }
}
