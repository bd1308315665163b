//! A client that speaks SMTP to an instance, one command and one reply at a time.

use crate::PATIENCE;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A client that speaks one command and reads one reply.
pub struct Client {
    /// The connection; for what is no command.
    pub reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads nothing.
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("smtpd listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Client { reader: BufReader::new(stream) }
    }

    /// Connects, reads the greeting and says EHLO.
    pub fn greeted(port: u16) -> Client {
        Client::connect(port).greet()
    }

    /// The same over a Unix socket.
    pub fn greeted_at(path: &Path) -> Client {
        let stream = UnixStream::connect(path).expect("smtpd listens");
        // A connected stream is read and written in one way; only its addresses differ, and nobody asks for them here.
        let stream = TcpStream::from(OwnedFd::from(stream));
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Client { reader: BufReader::new(stream) }.greet()
    }

    fn greet(mut self) -> Client {
        let client = &mut self;
        assert!(client.reply().starts_with("220 "));
        client.say("EHLO client.example.net", "250");
        self
    }

    /// The next reply, all its lines.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("a reply");
            reply.push_str(&line);
            if line.len() < 4 || line.as_bytes()[3] != b'-' {
                return reply;
            }
        }
    }

    /// Speaks a command and reads its reply.
    pub fn command(&mut self, command: &str) -> String {
        self.reader.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("an open connection");
        self.reply()
    }

    /// The same for a reply that begins as expected.
    pub fn say(&mut self, command: &str, expected: &str) -> String {
        let reply = self.command(command);
        assert!(reply.starts_with(expected), "{command}: {reply}");
        reply
    }

    /// Sends one message and gives its queue id.
    pub fn send(&mut self, to: &str, text: &str) -> String {
        self.say("MAIL FROM:<sender@example.net>", "250 2.1.0");
        self.say(&format!("RCPT TO:<{to}>"), "250 2.1.5");
        self.say("DATA", "354");
        let reply = self.say(&format!("{text}\r\n."), "250 2.0.0 Ok: queued as ");
        reply.trim_end().rsplit(' ').next().expect("a reply has words").to_owned()
    }
}
