//! Servers that say what a test has written down.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

/// A message as a server got it.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// The MAIL and RCPT commands.
    pub commands: Vec<String>,
    /// The content with dots unstuffed.
    pub content: Vec<u8>,
}

/// A server. `greeting`, `end-of-data` or the beginning of a command choose a reply; each use takes the next one of
/// the rule, and the last stays. `<close>` and `<silence>` are replies too.
#[derive(Default)]
pub struct Server {
    rules: Vec<(String, Vec<String>, Cell<usize>)>,
    lmtp: bool,
    /// Connections so far.
    pub connections: Cell<usize>,
    /// Commands so far, QUIT and the like included.
    pub commands: RefCell<Vec<String>>,
    /// Messages so far.
    pub got: RefCell<Vec<Got>>,
}

impl Server {
    /// A server that takes everything but for these rules.
    pub fn new(rules: &[(&str, &str)]) -> Rc<Server> {
        Rc::new(Server::with(rules, false))
    }

    /// An LMTP server.
    pub fn lmtp(rules: &[(&str, &str)]) -> Rc<Server> {
        Rc::new(Server::with(rules, true))
    }

    fn with(rules: &[(&str, &str)], lmtp: bool) -> Server {
        let rule = |(on, say): &(&str, &str)| {
            let replies = say.split(" | ").map(|r| r.replace('\n', "\r\n")).collect();
            (on.to_ascii_uppercase(), replies, Cell::new(0))
        };
        Server { rules: rules.iter().map(rule).collect(), lmtp, ..Server::default() }
    }

    /// Serves on a port of its own at 127.0.0.1.
    pub async fn start(self: &Rc<Self>) -> SocketAddr {
        self.start_at("127.0.0.1:0").await
    }

    /// Serves at an address.
    pub async fn start_at(self: &Rc<Self>, address: &str) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let bound = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::task::spawn_local(async move { server.session(stream).await });
            }
        });
        bound
    }

    /// Serves on a socket.
    pub fn start_unix(self: &Rc<Self>, path: &std::path::Path) {
        let listener = UnixListener::bind(path).unwrap();
        let server = self.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::task::spawn_local(async move { server.session(stream).await });
            }
        });
    }

    fn reply(&self, event: &str) -> Option<String> {
        let event = event.to_ascii_uppercase();
        let (_, replies, used) = self.rules.iter().find(|(on, ..)| event.starts_with(on))?;
        let n = used.replace(used.get() + 1);
        Some(replies[n.min(replies.len() - 1)].clone())
    }

    async fn session(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.connections.set(self.connections.get() + 1);
        let mut stream = BufReader::new(stream);
        // A client that closes ends the session; so does a rule.
        let _ = self.talk(&mut stream).await;
    }

    async fn talk<S: AsyncBufRead + AsyncWrite + Unpin>(&self, stream: &mut S) -> std::io::Result<()> {
        self.say(stream, "GREETING", "220 mx.example ESMTP").await?;
        let (mut got, mut taken) = (Got::default(), 0);
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let command = String::from_utf8_lossy(&line).trim_end().to_string();
            self.commands.borrow_mut().push(command.clone());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_string();
            match verb.as_str() {
                "EHLO" | "LHLO" => {
                    let can =
                        "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250 DSN";
                    self.say(stream, &command, can).await?;
                }
                "MAIL" => {
                    (got, taken) = (Got::default(), 0);
                    got.commands.push(command.clone());
                    self.say(stream, &command, "250 2.1.0 Ok").await?;
                }
                "RCPT" => {
                    got.commands.push(command.clone());
                    taken += usize::from(self.say(stream, &command, "250 2.1.5 Ok").await?.starts_with('2'));
                }
                "DATA" => {
                    let answer = if taken > 0 { "354 Go ahead" } else { "554 5.5.1 No valid recipients" };
                    if self.say(stream, &command, answer).await?.starts_with('3') {
                        got.content = content(stream).await?;
                        self.got.borrow_mut().push(std::mem::take(&mut got));
                        for _ in 0..if self.lmtp { taken } else { 1 } {
                            self.say(stream, "END-OF-DATA", "250 2.0.0 Ok: taken").await?;
                        }
                    }
                }
                "QUIT" => return self.say(stream, &command, "221 2.0.0 Bye").await.map(|_| ()),
                "RSET" => self.say(stream, &command, "250 2.0.0 Ok").await.map(|_| ())?,
                "HELO" => self.say(stream, &command, "250 mx.example").await.map(|_| ())?,
                _ => self.say(stream, &command, "500 5.5.2 Unknown command").await.map(|_| ())?,
            }
        }
    }

    async fn say<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        event: &str,
        usual: &str,
    ) -> std::io::Result<String> {
        let reply = self.reply(event).unwrap_or_else(|| usual.to_string());
        match reply.as_str() {
            "<close>" => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            "<silence>" => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {
                for (n, part) in format!("{reply}\r\n").split("<pause>").enumerate() {
                    if n > 0 {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    stream.write_all(part.as_bytes()).await?;
                }
            }
        }
        Ok(reply)
    }
}

async fn content<S: AsyncBufRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if stream.read_until(b'\n', &mut content).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &content[start..] == b".\r\n" {
            content.truncate(start);
            return Ok(content);
        }
        if content[start] == b'.' {
            content.remove(start);
        }
    }
}
