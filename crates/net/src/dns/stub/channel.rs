//! One UDP socket for many questions, to a server on this host.
//!
//! Only a name server on loopback is asked so: a stranger's packet cannot come from there, and port and id need not be
//! hard to guess. Other servers get a socket of its own for each question, whose port the kernel chooses.

use super::message::{self, ANSWER_MAX, Question, Reply};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Questions on their way over one socket: their answers have room in the kernel (208 KB by default, of which a short
/// packet takes 768 bytes) though we may be busy when they come.
const QUESTIONS_MAX: usize = 128;

/// A socket and who waits for an answer on it.
pub(super) struct Channel {
    shared: Rc<Shared>,
    reader: JoinHandle<()>,
}

struct Shared {
    socket: UdpSocket,
    waiting: RefCell<HashMap<u16, (Question, oneshot::Sender<Reply>)>>,
    /// Nobody reads any more.
    broken: Cell<bool>,
}

/// An id that is in use until this goes.
struct Asked<'a>(&'a Shared, u16);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().remove(&self.1);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A socket that hears one server alone.
pub(super) async fn socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

impl Channel {
    /// Opens a socket and reads from it until it goes. Must be called in a `LocalSet`.
    pub(super) async fn open(server: SocketAddr) -> io::Result<Channel> {
        let socket = socket(server).await?;
        let shared = Rc::new(Shared { socket, waiting: RefCell::default(), broken: Cell::new(false) });
        let reader = tokio::task::spawn_local(read(shared.clone()));
        Ok(Channel { shared, reader })
    }

    /// Whether its socket failed.
    pub(super) fn is_broken(&self) -> bool {
        self.shared.broken.get()
    }

    /// Whether there is room for a question.
    pub(super) fn has_room(&self) -> bool {
        self.shared.waiting.borrow().len() < QUESTIONS_MAX
    }

    /// Asks and waits, for ever if need be.
    pub(super) async fn ask(&self, question: &Question, edns: bool) -> io::Result<Reply> {
        let (sender, answer) = oneshot::channel();
        let asked = self.shared.register(question, sender);
        self.shared.socket.send(&question.message(asked.1, edns)).await?;
        answer.await.map_err(|_| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Shared {
    /// An id that nobody uses, kept until what is returned goes.
    fn register(&self, question: &Question, sender: oneshot::Sender<Reply>) -> Asked<'_> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let id = rand::random();
            if let Entry::Vacant(free) = waiting.entry(id) {
                free.insert((question.clone(), sender));
                return Asked(self, id);
            }
        }
    }
}

/// Gives answers to those who wait for them, until the socket fails.
async fn read(shared: Rc<Shared>) {
    let mut packet = [0; ANSWER_MAX];
    while let Ok(length) = shared.socket.recv(&mut packet).await {
        let packet = &packet[..length];
        let Some(id) = message::id(packet) else { continue };
        let mut waiting = shared.waiting.borrow_mut();
        let Entry::Occupied(found) = waiting.entry(id) else { continue };
        if found.get().0.is_answered_by(packet) {
            let (question, sender) = found.remove();
            // Whoever asked may be gone.
            let _ = sender.send(message::read(packet, &question));
        }
    }
    shared.broken.set(true);
    shared.waiting.borrow_mut().clear();
}
