//! An SMTP server that takes everything and writes down when it took which message.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// One message taken.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// From the header `X-Crash-Id`.
    pub id: u64,
    /// Just before the `250` behind the data was written.
    pub at: Instant,
}

/// The sink; it serves until the test ends.
pub struct Sink {
    /// The loopback port it listens on.
    pub port: u16,
    taken: Arc<Mutex<Vec<Delivery>>>,
}

impl Sink {
    /// Starts to listen on a free port.
    pub fn start() -> std::io::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let shared = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A peer that vanishes (it was killed) ends its connection only.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Ok(Sink { port, taken })
    }

    /// Everything taken so far, in order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.taken.lock().map(|t| t.clone()).unwrap_or_default()
    }

    /// How many messages were taken.
    pub fn count(&self) -> usize {
        self.taken.lock().map(|t| t.len()).unwrap_or(0)
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<Delivery>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    out.write_all(b"220 sink.test ESMTP\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => out.write_all(b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n")?,
            b"DATA" => {
                out.write_all(b"354 go\r\n")?;
                let id = take_content(&mut lines)?;
                if let (Some(id), Ok(mut taken)) = (id, taken.lock()) {
                    taken.push(Delivery { id, at: Instant::now() });
                }
                out.write_all(b"250 2.0.0 Ok\r\n")?;
            }
            b"QUIT" => return out.write_all(b"221 2.0.0 Bye\r\n"),
            _ => out.write_all(b"250 2.0.0 Ok\r\n")?,
        }
    }
}

/// Reads up to the lone dot; an error where the peer vanishes before it.
fn take_content(lines: &mut impl BufRead) -> std::io::Result<Option<u64>> {
    let mut id = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(id);
        }
        if let Some(value) = line.strip_prefix(b"X-Crash-Id: ") {
            id = String::from_utf8_lossy(value).trim().parse().ok();
        }
    }
}
