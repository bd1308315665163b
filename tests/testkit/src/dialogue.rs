//! SMTP dialogues as text, and the client that plays them.
//!
//! ```text
//! client: 192.0.2.10            a new connection, here from this address; `client: A -> B:25` names the server's too
//! C: EHLO client.example        sends the line and CR LF; \r \n \0 \t \\ and \xNN stand for their octets
//! C+: text                      sends without CR LF
//! C*1000: text                  sends the line 1,000 times
//! S: 250 2.1.0 Ok               one reply, all its lines; a bare `S:` takes any reply
//! S: <closed>                   the server closes the connection; `S: <nothing>` it stays silent
//! close                         closes the connection without QUIT
//! ```
//! Lines between two `S:` leave in one write; without a `client:` line a session is from 127.0.0.1 to 127.0.0.1:25. A dialogue without any `S:` reads a reply after each command by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One step of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a connection; an earlier one is closed.
    Connect {
        /// An address of this host.
        from: IpAddr,
        /// The server.
        to: SocketAddr,
    },
    /// Sends octets.
    Send {
        /// As they go over the wire.
        octets: Vec<u8>,
        /// How the transcript names them.
        shown: String,
    },
    /// Reads one reply; each line is compared unless empty.
    Expect(Vec<String>),
    /// Closes the connection.
    Close,
}

/// What a reply may take; servers delay replies to clients that make many errors.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long `<nothing>` waits for a reply that must not come.
const SILENCE: Duration = Duration::from_millis(400);

/// Reads one dialogue line; `None` where the line is none of a dialogue's.
pub fn parse_line(line: &str, steps: &mut Vec<Step>) -> Option<Result<(), String>> {
    if line == "close" {
        steps.push(Step::Close);
        return Some(Ok(()));
    }
    let (key, value) = line.split_once(':')?;
    let value = value.strip_prefix(' ').unwrap_or(value);
    let step = match key {
        "client" => parse_client(value),
        "C" => unescape(value)
            .map(|octets| Step::Send { octets: [&octets[..], b"\r\n"].concat(), shown: line.to_owned() }),
        "C+" => unescape(value).map(|octets| Step::Send { octets, shown: line.to_owned() }),
        "S" => return Some(push_expectation(value, steps)),
        _ => {
            let times: usize = key.strip_prefix("C*")?.parse().ok()?;
            unescape(value).map(|octets| Step::Send {
                octets: [&octets[..], b"\r\n"].concat().repeat(times),
                shown: line.to_owned(),
            })
        }
    };
    Some(step.map(|step| steps.push(step)))
}

fn push_expectation(value: &str, steps: &mut Vec<Step>) -> Result<(), String> {
    let continues = |line: &String| line.as_bytes().get(3) == Some(&b'-');
    match steps.last_mut() {
        Some(Step::Expect(lines)) if lines.last().is_some_and(continues) => lines.push(value.to_owned()),
        _ => steps.push(Step::Expect(vec![value.to_owned()])),
    }
    Ok(())
}

fn parse_client(value: &str) -> Result<Step, String> {
    let (from, to) = value.split_once("->").unwrap_or((value, ""));
    let from: IpAddr =
        from.trim().parse().map_err(|_| format!("client: expected an address, found `{from}`"))?;
    let to = match to.trim() {
        "" => SocketAddr::new(
            if from.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().expect("an address") },
            25,
        ),
        to => to.parse().map_err(|_| format!("client: expected ADDRESS:PORT after `->`, found `{to}`"))?,
    };
    Ok(Step::Connect { from, to })
}

/// Turns `\r`, `\n`, `\0`, `\t`, `\\` and `\xNN` into octets.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                let hex = std::str::from_utf8(&digits).map_err(|_| bad_escape(text))?;
                u8::from_str_radix(hex, 16).map_err(|_| bad_escape(text))?
            }
            _ => return Err(bad_escape(text)),
        });
    }
    Ok(out)
}

fn bad_escape(text: &str) -> String {
    format!("expected \\r, \\n, \\t, \\0, \\\\ or \\xNN in `{text}`")
}

/// A client in the middle of a dialogue; it notes what it sends and reads.
#[derive(Debug, Default)]
pub struct Player {
    stream: Option<TcpStream>,
    /// Where it is or was connected.
    ends: Option<(IpAddr, SocketAddr)>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    /// Lines `C: …` and `S: …` in order.
    pub transcript: Vec<String>,
    /// A reply did not come within its time.
    pub gave_up: bool,
    /// Expectations that did not come true.
    pub mismatches: Vec<String>,
}

impl Player {
    /// Plays steps to their end. Trouble with the connection is part of the transcript.
    pub fn play(&mut self, steps: &[Step], mask: &dyn Fn(&str) -> String) {
        let automatic = !steps.iter().any(|step| matches!(step, Step::Expect(_)));
        let mut auto = Automatic::default();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Connect { from, to } => {
                    self.flush();
                    self.connect(*from, *to);
                    auto = Automatic::default();
                    if automatic {
                        self.expect(&[String::new()], mask);
                    }
                }
                Step::Send { octets, shown } => {
                    if self.stream.is_none() && (at == 0 || (automatic && self.said_goodbye())) {
                        let default = ([127, 0, 0, 1].into(), ([127, 0, 0, 1], 25).into());
                        let (from, to) = self.ends.filter(|_| at > 0).unwrap_or(default);
                        self.connect(from, to);
                        auto = Automatic::default();
                        self.expect(&[String::new()], mask);
                    }
                    if automatic && auto.skips(octets) {
                        continue;
                    }
                    self.transcript.push(shown.clone());
                    self.unsent.extend_from_slice(octets);
                    if automatic && auto.reply_follows(octets) {
                        self.expect(&[String::new()], mask);
                        auto.replied(self.transcript_reply());
                        if self.said_goodbye() {
                            self.finish();
                        }
                    }
                }
                Step::Expect(lines) => {
                    if self.stream.is_none() && at == 0 {
                        self.connect([127, 0, 0, 1].into(), ([127, 0, 0, 1], 25).into());
                    }
                    self.expect(lines, mask);
                }
                Step::Close => {
                    self.flush();
                    self.stream = None;
                    self.unread.clear();
                    self.transcript.push("close".to_owned());
                }
            }
        }
        self.flush();
    }

    /// Ends the last connection.
    pub fn finish(&mut self) {
        self.stream = None;
        self.unread.clear();
    }

    /// The server's last word was its answer to QUIT: what follows begins a new session.
    fn said_goodbye(&self) -> bool {
        self.transcript_reply().starts_with("221 2.0.0")
    }

    fn transcript_reply(&self) -> &str {
        self.transcript.last().map_or("", |line| line.strip_prefix("S: ").unwrap_or(""))
    }

    fn connect(&mut self, from: IpAddr, to: SocketAddr) {
        self.finish();
        self.ends = Some((from, to));
        let line = match from == to.ip() {
            true => format!("client: {from}"),
            false => format!("client: {from} -> {to}"),
        };
        self.transcript.push(line);
        match connect_from(from, to) {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => self.transcript.push(format!("S: <no connection: {error}>")),
        }
    }

    fn flush(&mut self) {
        let octets = std::mem::take(&mut self.unsent);
        if let Some(stream) = self.stream.as_mut().filter(|_| !octets.is_empty()) {
            let _ = stream.write_all(&octets);
        }
    }

    fn expect(&mut self, expected: &[String], mask: &dyn Fn(&str) -> String) {
        self.flush();
        let wanted_nothing = expected == ["<nothing>"];
        let lines = match self.read_reply(if wanted_nothing { SILENCE } else { REPLY_TIMEOUT }) {
            Reply::Lines(lines) => lines.iter().map(|line| mask(line)).collect(),
            Reply::Closed => vec!["<closed>".to_owned()],
            Reply::Silence => vec!["<nothing>".to_owned()],
        };
        if !wanted_nothing && lines == ["<nothing>"] {
            // Whoever says nothing now will not answer the rest either.
            self.finish();
            self.gave_up = true;
        }
        let any = expected.len() == 1 && expected[0].is_empty();
        if !any && lines != expected {
            self.mismatches.push(format!(
                "expected `{}`, found `{}`",
                expected.join(" / "),
                lines.join(" / ")
            ));
        }
        self.transcript.extend(lines.into_iter().map(|line| format!("S: {line}")));
    }

    fn read_reply(&mut self, wait: Duration) -> Reply {
        let deadline = Instant::now() + wait;
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
                // Only CR LF ends a reply line; a bare LF is shown.
                let text = text.strip_suffix('\r').map_or_else(|| text.clone() + "<bare LF>", str::to_owned);
                let last = text.as_bytes().get(3) != Some(&b'-');
                lines.push(text);
                if last {
                    return Reply::Lines(lines);
                }
            }
            let Some(stream) = self.stream.as_mut() else { return Reply::Closed };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Reply::Silence;
            }
            let mut buffer = [0u8; 8192];
            let _ = stream.set_read_timeout(Some(left));
            match stream.read(&mut buffer) {
                Ok(0) => return Reply::Closed,
                Ok(size) => self.unread.extend_from_slice(&buffer[..size]),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                    return Reply::Silence;
                }
                Err(_) => return Reply::Closed,
            }
        }
    }
}

enum Reply {
    Lines(Vec<String>),
    Closed,
    Silence,
}

/// Connects from an address of this host, for instance one of 192.0.2.0/24 in a world.
pub fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, SocketType::STREAM, None)?;
    bind(&fd, &SocketAddr::new(from, 0))?;
    connect(&fd, &to)?;
    let stream = TcpStream::from(fd);
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    Ok(stream)
}

/// Knows after which lines a server replies, for dialogues that leave `S:` out.
#[derive(Debug, Default)]
struct Automatic {
    content: bool,
    /// DATA was refused: its content stays unsent.
    refused: bool,
    last_was_data: bool,
    chunk_left: usize,
}

impl Automatic {
    fn skips(&mut self, octets: &[u8]) -> bool {
        let skip = self.refused;
        self.refused = skip && octets != b".\r\n";
        skip
    }

    fn reply_follows(&mut self, octets: &[u8]) -> bool {
        if self.chunk_left > 0 {
            self.chunk_left = self.chunk_left.saturating_sub(octets.len());
            return self.chunk_left == 0;
        }
        if self.content {
            let ends = octets == b".\r\n" || octets.ends_with(b"\r\n.\r\n");
            self.content = !ends;
            return ends;
        }
        let line = String::from_utf8_lossy(octets).to_ascii_uppercase();
        if !line.ends_with('\n') {
            return false;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        self.last_was_data = words == ["DATA"];
        if let ["BDAT", size, ..] = words.as_slice() {
            self.chunk_left = size.parse().unwrap_or(0);
            return self.chunk_left == 0;
        }
        true
    }

    fn replied(&mut self, reply: &str) {
        let was_data = std::mem::take(&mut self.last_was_data);
        self.content = was_data && reply.starts_with("354");
        self.refused = was_data && !self.content;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_reply_belong_together() {
        let mut steps = Vec::new();
        for line in ["C: EHLO x", "S: 250-mail", "S: 250 SIZE", "S: 250 2.1.0 Ok"] {
            parse_line(line, &mut steps).unwrap().unwrap();
        }
        assert_eq!(steps[1], Step::Expect(vec!["250-mail".into(), "250 SIZE".into()]));
        assert_eq!(steps[2], Step::Expect(vec!["250 2.1.0 Ok".into()]));
    }

    #[test]
    fn escapes_stand_for_octets() {
        assert_eq!(unescape(r"a\r\n\x80\0\\").unwrap(), b"a\r\n\x80\0\\");
        assert!(unescape(r"\q").is_err());
    }

    #[test]
    fn a_reply_follows_commands_and_the_end_of_content() {
        let mut auto = Automatic::default();
        assert!(auto.reply_follows(b"DATA\r\n"));
        auto.replied("354 End data");
        assert!(!auto.reply_follows(b"Subject: x\r\n"));
        assert!(auto.reply_follows(b".\r\n"));
        assert!(!auto.reply_follows(b"BDAT 4 LAST\r\n"));
        assert!(auto.reply_follows(b"abcd"));
    }
}
