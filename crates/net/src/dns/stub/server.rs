//! One name server: asked by UDP, and by TCP where its answer is too long for that.

use super::channel::{Channel, socket};
use super::message::{self, ANSWER_MAX, Answer, Question, Reply};
use crate::dns::Problem;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long a server that did not answer is asked only after others.
const SILENCE: Duration = Duration::from_secs(30);

/// A server of resolv.conf or dns_nameservers.
pub(super) struct Server {
    at: SocketAddr,
    /// For a server on this host: sockets that questions share, the first with room first.
    channels: RefCell<Vec<Rc<Channel>>>,
    /// It does not understand EDNS (RFC 6891 7).
    plain: Cell<bool>,
    silent_until: Cell<Option<Instant>>,
}

/// What became of a question.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Answer),
    /// The server will not say.
    Failed(Problem),
    /// The server did not answer in time, or cannot be reached.
    Silent,
}

impl Server {
    pub(super) fn new(at: SocketAddr) -> Server {
        Server { at, channels: RefCell::default(), plain: Cell::new(false), silent_until: Cell::new(None) }
    }

    /// Whether it did not answer lately.
    pub(super) fn was_silent(&self) -> bool {
        self.silent_until.get().is_some_and(|until| Instant::now() < until)
    }

    /// Asks and waits for `time` at most.
    pub(super) async fn ask(&self, question: &Question, time: Duration) -> Outcome {
        let Ok(Ok(reply)) = timeout(time, self.converse(question)).await else {
            self.silent_until.set(Some(Instant::now() + SILENCE));
            return Outcome::Silent;
        };
        if self.silent_until.get().is_some() {
            self.silent_until.set(None);
        }
        match reply {
            Reply::Answer(answer) => Outcome::Answered(answer),
            Reply::Failed(problem) => Outcome::Failed(problem),
            Reply::FormatError => Outcome::Failed(Problem::NonRecoverable),
            Reply::Truncated => Outcome::Failed(Problem::Malformed),
        }
    }

    async fn converse(&self, question: &Question) -> io::Result<Reply> {
        let mut reply = self.by_udp(question).await?;
        if matches!(reply, Reply::FormatError) && !self.plain.replace(true) {
            reply = self.by_udp(question).await?;
        }
        match reply {
            Reply::Truncated => self.by_tcp(question).await,
            reply => Ok(reply),
        }
    }

    async fn by_udp(&self, question: &Question) -> io::Result<Reply> {
        if self.at.ip().is_loopback() {
            return self.channel().await?.ask(question, !self.plain.get()).await;
        }
        let (socket, id) = (socket(self.at).await?, rand::random());
        socket.send(&question.message(id, !self.plain.get())).await?;
        let mut packet = vec![0; ANSWER_MAX];
        loop {
            let length = socket.recv(&mut packet).await?;
            let packet = &packet[..length];
            if message::id(packet) == Some(id) && question.is_answered_by(packet) {
                return Ok(message::read(packet, question));
            }
        }
    }

    /// Sockets that questions share.
    #[cfg(test)]
    pub(super) fn sockets(&self) -> usize {
        self.channels.borrow().len()
    }

    async fn channel(&self) -> io::Result<Rc<Channel>> {
        if let Some(channel) = self.channels.borrow().iter().find(|c| c.has_room() && !c.is_broken()) {
            return Ok(channel.clone());
        }
        let channel = Rc::new(Channel::open(self.at).await?);
        let mut channels = self.channels.borrow_mut();
        channels.retain(|c| !c.is_broken());
        channels.push(channel.clone());
        Ok(channel)
    }

    /// RFC 7766: the same message behind its length.
    async fn by_tcp(&self, question: &Question) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(self.at).await?;
        let id = rand::random();
        let message = question.message(id, !self.plain.get());
        let length = u16::try_from(message.len()).expect("a question is short");
        stream.write_all(&[&length.to_be_bytes(), message.as_slice()].concat()).await?;
        let mut packet = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut packet).await?;
        if message::id(&packet) != Some(id) || !question.is_answered_by(&packet) {
            return Ok(Reply::Failed(Problem::Malformed));
        }
        Ok(message::read(&packet, question))
    }
}
