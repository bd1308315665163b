//! A connection's bytes: TCP or a socket of this machine, read into one buffer of the event loop.

use super::route::Place;
use net::DialError;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What one read takes at most; replies are far shorter.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// One buffer for all connections of an event loop: a connection that waits holds none.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    /// Reads and writes that moved bytes, for tests and measurements.
    static CALLS: Cell<Calls> = const { Cell::new(Calls { reads: 0, writes: 0 }) };
}

/// Reads and writes that moved bytes on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls {
    pub reads: u64,
    pub writes: u64,
}

#[cfg(test)]
impl Calls {
    /// The counts so far.
    pub fn so_far() -> Calls {
        CALLS.get()
    }
}

/// TCP or a socket of this machine.
pub(super) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
}

impl Stream {
    /// Connects within `limit`, from `source` where there is one.
    pub async fn open(place: &Place, source: Option<IpAddr>, limit: Duration) -> Result<Stream, DialError> {
        match place {
            Place::Inet(address) => Ok(Stream::Tcp(net::dial_from(*address, source, limit).await?)),
            Place::Unix(path, _) => {
                let connected = net::deadline(limit, "connection", UnixStream::connect(path)).await;
                Ok(Stream::Unix(connected.map_err(io::Error::from)??))
            }
        }
    }

    /// Reads what is there and hands it to `take`; no bytes mean that the other side has closed.
    pub async fn read<T>(&mut self, mut take: impl FnMut(&[u8]) -> T) -> io::Result<T> {
        poll_fn(|cx| self.poll_read(cx, &mut take)).await
    }

    fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        READ_BUFFER.with_borrow_mut(|bytes| {
            let mut buffer = ReadBuf::new(bytes);
            let ready = match self {
                // The runtime notes a read that did not fill the buffer, so that no second one finds nothing.
                Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
                Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            };
            ready.map_ok(|()| {
                CALLS.set(Calls { reads: CALLS.get().reads + 1, ..CALLS.get() });
                take(buffer.filled())
            })
        })
    }

    /// Whether nothing has come unasked, neither bytes nor the end. Costs no system call where nothing has.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read(&mut cx, &mut |_: &[u8]| ()).is_pending()
    }

    /// Writes some of the pieces; returns how many bytes.
    pub async fn write_some(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = poll_fn(|cx| match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        })
        .await?;
        CALLS.set(Calls { writes: CALLS.get().writes + 1, ..CALLS.get() });
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }

    /// Writes what can be written at once, for farewells that nobody waits for.
    pub fn write_now(&self, bytes: &[u8]) {
        // Who does not hear it notices the end of the connection.
        let _ = match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        };
    }
}
