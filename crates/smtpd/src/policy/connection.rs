//! A connection to a policy service: one request and its answer at a time.

use net::{Families, Resolver};
use protocol::policy::{self, Answer, Scanner, Stop};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tables::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Bytes that are read at once; an answer is some dozens.
const PIECE: usize = 4096;

/// An open connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// The host's name leads nowhere; in the words of getaddrinfo(3).
    NoHost(&'static str),
    /// The last address did not take one.
    Refused(io::Error),
}

/// Why a connection brought no answer; it is of no use any more.
#[derive(Debug)]
pub(super) enum Broken {
    /// It broke.
    Io(io::Error),
    /// The server closed it before the answer was complete.
    Closed(Stop),
    /// What came is no answer.
    Nonsense(policy::Problem),
}

/// Opens a connection. A host's addresses are tried in order.
pub(super) async fn open(
    endpoint: &Endpoint,
    resolver: &dyn Resolver,
    families: Families,
) -> Result<Stream, Unreachable> {
    let (host, port) = match endpoint {
        Endpoint::Unix(path) => {
            return UnixStream::connect(path).await.map(Stream::Unix).map_err(Unreachable::Refused);
        }
        Endpoint::Inet(host, port) => (host, *port),
    };
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => {
            let found = resolver.host_addresses(host, families).await;
            found.map_err(|error| Unreachable::NoHost(error.system_text()))?
        }
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                // Requests are small, and each waits for its answer. Where it cannot be set it only takes longer.
                let _ = stream.set_nodelay(true);
                return Ok(Stream::Tcp(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(Unreachable::Refused(last))
}

impl Stream {
    /// Whether nothing came since the last answer: neither the end, nor what would be taken for the next answer.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer into `scanner`, which tells how far it came when this is given up.
    pub(super) async fn ask(&mut self, request: &[u8], scanner: &mut Scanner) -> Result<Answer, Broken> {
        match self {
            Stream::Tcp(stream) => stream.write_all(request).await,
            Stream::Unix(stream) => stream.write_all(request).await,
        }
        .map_err(Broken::Io)?;
        let mut piece = [0; PIECE];
        loop {
            let read = match self {
                Stream::Tcp(stream) => stream.read(&mut piece).await,
                Stream::Unix(stream) => stream.read(&mut piece).await,
            };
            let length = match read.map_err(Broken::Io)? {
                0 => return Err(Broken::Closed(scanner.stop())),
                length => length,
            };
            if let Some(answer) = scanner.take(&piece[..length]).map_err(Broken::Nonsense)? {
                return Ok(answer);
            }
        }
    }
}
