//! What clients come through: a port, or a Unix socket of this host.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// A listening socket of a service.
#[derive(Debug)]
pub enum Listener {
    /// An inet service's.
    Tcp(std::net::TcpListener),
    /// A unix service's, in private/ or public/.
    Unix(std::os::unix::net::UnixListener),
    /// A pass service's, in private/ or public/: over it another service hands its connections on.
    Pass(std::os::unix::net::UnixListener),
}

impl Listener {
    /// The same socket once more, for another event loop.
    pub fn try_clone(&self) -> io::Result<Listener> {
        Ok(match self {
            Listener::Tcp(listener) => Listener::Tcp(listener.try_clone()?),
            Listener::Unix(listener) => Listener::Unix(listener.try_clone()?),
            Listener::Pass(listener) => Listener::Pass(listener.try_clone()?),
        })
    }

    /// Whether clients of other hosts may come: a port that is not on loopback alone.
    pub fn is_public(&self) -> bool {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().is_ok_and(|own| !own.ip().to_canonical().is_loopback())
            }
            Listener::Unix(_) | Listener::Pass(_) => false,
        }
    }

    /// Takes it into the current event loop.
    pub(crate) fn open(self) -> io::Result<Open> {
        Ok(match self {
            Listener::Tcp(listener) => Open::Tcp(net::accept_nonblocking(listener)?),
            Listener::Unix(listener) => Open::Unix(unix(listener)?),
            Listener::Pass(listener) => Open::Pass(unix(listener)?),
        })
    }
}

fn unix(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// A listening socket in the event loop.
pub(crate) enum Open {
    Tcp(tokio::net::TcpListener),
    Unix(UnixListener),
    Pass(UnixListener),
}

/// What came over a listening socket.
pub(crate) enum Accepted {
    /// A client.
    Client(TcpStream, Ends),
    /// Another service, which hands a client on.
    Handover(UnixStream),
}

/// Between whom a session is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    Internet {
        client: SocketAddr,
        server: SocketAddr,
    },
    /// As a PROXY header tells.
    Told {
        client: SocketAddr,
        server: SocketAddr,
    },
    /// As `Internet`, where another service looked at the client first: how it waited for its turn is told already.
    Passed {
        /// That service said who the client is.
        told: bool,
        client: SocketAddr,
        server: SocketAddr,
    },
    Local,
}

impl Open {
    /// Whether another service hands connections on over it.
    pub(crate) fn is_pass(&self) -> bool {
        matches!(self, Open::Pass(_))
    }

    /// The next connection. Nothing is lost where the future is dropped.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Open::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                // A client that is gone already: the next one, please.
                let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
                let server = stream.local_addr().map_err(gone)?;
                Ok(Accepted::Client(stream, Ends::Internet { client, server }))
            }
            Open::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                // A connected stream is read and written in one way, whatever it is; only its addresses differ.
                let stream = std::net::TcpStream::from(OwnedFd::from(stream.into_std()?));
                Ok(Accepted::Client(TcpStream::from_std(stream)?, Ends::Local))
            }
            Open::Pass(listener) => Ok(Accepted::Handover(listener.accept().await?.0)),
        }
    }
}
