//! The client's connection: one read and one write a turn, and no buffer while it is idle.

use crate::hall::Occupant;
use crate::serve::Shared;
use bytes::Bytes;
use rustix::net::RecvFlags;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Size of the buffer that the sessions of a loop share.
const BUFFER: usize = 256 * 1024;

/// A read gets at least so much room: a body of a megabyte is read in few pieces.
const ROOM_MIN: usize = 64 * 1024;

/// What came of waiting for the client.
pub(crate) enum Heard {
    /// Bytes.
    Bytes(Bytes),
    /// The end of the connection.
    Lost,
    /// Nothing within the time.
    Nothing,
    /// The order to finish.
    Stop,
    /// The session's seat is needed for somebody who counts more.
    MakeRoom,
}

/// A connection; clones are the same connection.
#[derive(Clone)]
pub(crate) struct Socket {
    // Borrowed inside one poll only, never over an await.
    stream: Rc<RefCell<TcpStream>>,
    shared: Rc<Shared>,
    pub(crate) occupant: Rc<Occupant>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, shared: Rc<Shared>, occupant: Rc<Occupant>) -> Self {
        Socket { stream: Rc::new(RefCell::new(stream)), shared, occupant }
    }

    /// Waits for bytes until `deadline`; where `may_stop`, the order to finish, or to make room, ends the wait, elsewhere
    /// the last call does.
    pub(crate) async fn read(&self, deadline: Instant, may_stop: bool) -> Heard {
        if (may_stop && self.shared.stopping.get()) || self.shared.last_call.get() {
            return Heard::Stop;
        }
        if may_stop {
            self.occupant.rests();
        }
        let heard = self.hear(deadline, may_stop).await;
        self.occupant.works();
        heard
    }

    async fn hear(&self, deadline: Instant, may_stop: bool) -> Heard {
        let reading = poll_fn(|cx| {
            let mut buffer = self.shared.buffer.borrow_mut();
            if buffer.capacity() < ROOM_MIN {
                buffer.reserve(BUFFER);
            }
            let mut stream = self.stream.borrow_mut();
            // Holds no state: to make it anew at each poll is the same read.
            match pin!(stream.read_buf(&mut *buffer)).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Heard::Lost),
                Poll::Ready(Ok(_)) => Poll::Ready(Heard::Bytes(buffer.split().freeze())),
            }
        });
        tokio::select! {
            biased;
            heard = reading => heard,
            () = tokio::time::sleep_until(deadline) => Heard::Nothing,
            () = self.shared.stop.notified(), if may_stop => Heard::Stop,
            () = self.occupant.asked(), if may_stop => Heard::MakeRoom,
            () = self.shared.last.notified() => Heard::Stop,
        }
    }

    /// Lets the client wait, at most until the last call.
    pub(crate) async fn rest(&self, pause: Duration) {
        if !self.shared.last_call.get() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.last.notified() => {}
            }
        }
    }

    /// Writes all of `bytes` until `deadline`.
    pub(crate) async fn write(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.stream.borrow().try_write(bytes);
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = poll_fn(|cx| self.stream.borrow().poll_write_ready(cx));
                    tokio::time::timeout_at(deadline, writable).await.map_err(io::Error::from)??;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What the client sent already, at most 100 bytes; it stays to be read. One system call.
    pub(crate) fn early(&self) -> Vec<u8> {
        let mut early = [0u8; 100];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&*self.stream.borrow(), &mut early[..], flags) {
            Ok((length, _)) => early[..length].to_vec(),
            Err(_) => Vec::new(),
        }
    }

    /// Says a last word to the client, if there is room for it.
    pub(crate) fn last_words(&self, text: &str) {
        let _ = self.stream.try_borrow().map(|stream| stream.try_write(text.as_bytes()));
    }
}
