//! SMTP and LMTP servers with scripted replies that record what they are given.
//!
//! ```text
//! sink: 192.0.2.25:25           or `sink: 192.0.2.25:24 lmtp`, or `sink: /path/to/socket lmtp`
//! | RCPT TO:<bad@ => 550 5.1.1 No such user
//! | greeting => 421 busy | 220 mx.example.org ESMTP
//! | end-of-data => 451 4.3.0 Try again
//! | EHLO => 250-mx.example.org\n250 SIZE 1000
//! ```
//! A rule's left side is `greeting`, `content` (before any of it is read), `end-of-data` or the beginning of a command (case does not matter). Its right side is a reply,
//! `<close>` or `<silence>`; with ` | ` between, each use takes the next one and the last one stays.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What one sink is and says.
#[derive(Clone, Debug, Default)]
pub struct SinkSettings {
    /// `ADDRESS:PORT` or a path.
    pub address: String,
    /// Speaks LMTP: one reply a recipient after the content.
    pub lmtp: bool,
    /// Command beginnings and their replies, first match wins.
    pub rules: Vec<(String, Vec<String>)>,
}

/// One transaction that reached the end of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The command with which the client introduced itself.
    pub hello: String,
    /// XFORWARD commands before it.
    pub xforward: Vec<String>,
    /// The MAIL command.
    pub mail: String,
    /// RCPT commands and the first character of their reply.
    pub rcpts: Vec<String>,
    /// The content with its line ends and dots as they came, unstuffed.
    pub content: Vec<u8>,
    /// The final reply (SMTP) or replies (LMTP).
    pub reply: String,
}

/// A running sink.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    port: u16,
    settings: Arc<SinkSettings>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    used: Vec<usize>,
    transactions: Vec<Transaction>,
    connections: usize,
    commands: Vec<String>,
}

/// What a stalled client or a scripted silence may hold a sink's thread for.
const PATIENCE: Duration = Duration::from_secs(60);

impl SinkSettings {
    /// Reads `ADDRESS:PORT [lmtp]`.
    pub fn parse(text: &str) -> Result<SinkSettings, String> {
        let mut words = text.split_whitespace();
        let address = words.next().ok_or("sink: expected ADDRESS:PORT or a path")?.to_owned();
        let lmtp = match words.next() {
            None => false,
            Some("lmtp") => true,
            Some(other) => return Err(format!("sink: expected `lmtp` or nothing, found `{other}`")),
        };
        Ok(SinkSettings { address, lmtp, rules: Vec::new() })
    }

    /// Reads one rule `BEGINNING => REPLY [| REPLY]…`.
    pub fn rule(&mut self, text: &str) -> Result<(), String> {
        let (left, right) = text
            .split_once("=>")
            .ok_or_else(|| format!("sink: expected `BEGINNING => REPLY`, found `{text}`"))?;
        let replies = right.split(" | ").map(|reply| reply.trim().replace("\\n", "\r\n")).collect();
        self.rules.push((left.trim().to_ascii_uppercase(), replies));
        Ok(())
    }

    /// Listens and serves until the process ends.
    pub fn start(self) -> Result<Sink, String> {
        let state = State { used: vec![0; self.rules.len()], ..State::default() };
        let mut sink = Sink { port: 0, settings: Arc::new(self), state: Arc::new(Mutex::new(state)) };
        let address = sink.settings.address.clone();
        let failed = |error: std::io::Error| format!("sink {address}: {error}");
        let serving = sink.clone();
        if address.starts_with('/') {
            let listener = UnixListener::bind(&address).map_err(failed)?;
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            std::fs::set_permissions(&address, open).map_err(failed)?;
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    serving.clone().spawn_unix(stream);
                }
            });
        } else {
            let to: SocketAddr =
                address.parse().map_err(|_| format!("sink: expected ADDRESS:PORT, found `{address}`"))?;
            let listener = TcpListener::bind(to).map_err(failed)?;
            sink.port = listener.local_addr().map_err(failed)?.port();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    serving.clone().spawn_tcp(stream);
                }
            });
        }
        Ok(sink)
    }
}

impl Sink {
    /// Its address as the case names it.
    pub fn address(&self) -> &str {
        &self.settings.address
    }

    /// The port that it listens on, also where its address left the choice to the system.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes what came since the last call: transactions, connections and all commands.
    pub fn take(&self) -> (Vec<Transaction>, usize, Vec<String>) {
        let mut state = self.lock();
        (
            std::mem::take(&mut state.transactions),
            std::mem::take(&mut state.connections),
            std::mem::take(&mut state.commands),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no sink thread panics with the lock")
    }

    fn spawn_tcp(self, stream: TcpStream) {
        thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.set_nodelay(true);
            if let Ok(output) = stream.try_clone() {
                let _ = self.serve(&mut BufReader::new(stream), output);
            }
        });
    }

    fn spawn_unix(self, stream: UnixStream) {
        thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            if let Ok(output) = stream.try_clone() {
                let _ = self.serve(&mut BufReader::new(stream), output);
            }
        });
    }

    fn reply(&self, command: &str) -> Option<String> {
        let upper = command.to_ascii_uppercase();
        let at = self.settings.rules.iter().position(|(left, _)| upper.starts_with(left))?;
        let mut state = self.lock();
        let replies = &self.settings.rules[at].1;
        let turn = state.used[at].min(replies.len() - 1);
        state.used[at] += 1;
        Some(replies[turn].clone())
    }

    fn serve(&self, input: &mut dyn BufRead, mut output: impl Write) -> std::io::Result<()> {
        self.lock().connections += 1;
        let mut say = |reply: &str| match reply {
            "<close>" => Err(std::io::ErrorKind::ConnectionAborted.into()),
            "<silence>" => {
                thread::sleep(PATIENCE);
                Err(std::io::ErrorKind::TimedOut.into())
            }
            reply => output.write_all(format!("{reply}\r\n").as_bytes()),
        };
        say(&self.reply("GREETING").unwrap_or_else(|| "220 sink.example ESMTP".into()))?;
        let (mut now, mut hello, mut xforward) = (Transaction::default(), String::new(), Vec::new());
        loop {
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let command = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.lock().commands.push(command.clone());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let scripted = self.reply(&command);
            let ok = |text: &str| scripted.clone().unwrap_or_else(|| text.to_owned());
            match verb.as_str() {
                "EHLO" | "LHLO" | "HELO" => {
                    hello.clone_from(&command);
                    let keywords = if verb == "HELO" { "250 sink.example" } else { EHLO_REPLY };
                    say(&ok(keywords))?;
                }
                "MAIL" => {
                    let xforward = std::mem::take(&mut xforward);
                    let (hello, mail) = (hello.clone(), command.clone());
                    now = Transaction { hello, xforward, mail, ..Transaction::default() };
                    say(&ok("250 2.1.0 Ok"))?;
                }
                "RCPT" => {
                    let reply = ok("250 2.1.5 Ok");
                    now.rcpts.push(format!("{} {command}", &reply[..1]));
                    say(&reply)?;
                }
                "DATA" => {
                    let taken = now.rcpts.iter().filter(|rcpt| rcpt.starts_with('2')).count();
                    let reply = ok(if taken > 0 { "354 Go ahead" } else { "554 5.5.1 No valid recipients" });
                    say(&reply)?;
                    if reply.starts_with('3') {
                        if let Some(instead) = self.reply("CONTENT") {
                            say(&instead)?;
                        }
                        now.content = read_content(input)?;
                        let times = if self.settings.lmtp { taken } else { 1 };
                        for _ in 0..times {
                            let reply =
                                self.reply("END-OF-DATA").unwrap_or_else(|| "250 2.0.0 Ok: taken".into());
                            now.reply += &format!("{}{reply}", if now.reply.is_empty() { "" } else { " / " });
                            if reply.starts_with('<') {
                                self.lock().transactions.push(std::mem::take(&mut now));
                            }
                            say(&reply)?;
                        }
                        self.lock().transactions.push(std::mem::take(&mut now));
                    }
                }
                "XFORWARD" => {
                    xforward.push(command.clone());
                    say(&ok("250 2.0.0 Ok"))?;
                }
                "QUIT" => {
                    say(&ok("221 2.0.0 Bye"))?;
                    return Ok(());
                }
                "RSET" => {
                    now = Transaction::default();
                    say(&ok("250 2.0.0 Ok"))?;
                }
                _ => say(&ok("500 5.5.2 Unknown command"))?,
            }
        }
    }
}

const EHLO_REPLY: &str = "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 SMTPUTF8";

fn read_content(input: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if input.read_until(b'\n', &mut content)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = &content[start..];
        if line == b".\r\n" {
            content.truncate(start);
            return Ok(content);
        }
        // Only after CR LF does a dot stand at the beginning of a line.
        if line.starts_with(b".") && (start == 0 || content[..start].ends_with(b"\r\n")) {
            content.remove(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_used_in_turn_and_the_last_one_stays() {
        let mut settings = SinkSettings::parse("127.0.0.1:0").unwrap();
        settings.rule("RCPT TO:<bad@ => 450 4.2.0 Wait | 550 5.1.1 No").unwrap();
        let state = Arc::new(Mutex::new(State { used: vec![0], ..State::default() }));
        let sink = Sink { settings: Arc::new(settings), state, ..Sink::default() };
        assert_eq!(sink.reply("rcpt to:<bad@example.org>").unwrap(), "450 4.2.0 Wait");
        assert_eq!(sink.reply("RCPT TO:<bad@x>").unwrap(), "550 5.1.1 No");
        assert_eq!(sink.reply("RCPT TO:<bad@x>").unwrap(), "550 5.1.1 No");
        assert!(sink.reply("RCPT TO:<good@x>").is_none());
    }

    #[test]
    fn content_is_unstuffed_and_kept_as_it_is() {
        let mut input = BufReader::new(&b"a\r\n..b\r\nbare\n.x\r\n.\r\nQUIT"[..]);
        assert_eq!(read_content(&mut input).unwrap(), b"a\r\n.b\r\nbare\n.x\r\n");
    }
}
