//! Opening a connection to one address within a time limit.

use crate::deadline;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Connects to `address` within `limit`, from `source` where one is given, without Nagle's delay.
///
/// A limit that passes is an error of kind `TimedOut`.
pub async fn dial(address: SocketAddr, source: Option<IpAddr>, limit: Duration) -> io::Result<TcpStream> {
    dial_from(address, source, limit).await.map_err(|error| match error {
        DialError::Bind(_, error) | DialError::Connect(error) => error,
    })
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// This address of ours cannot be used.
    Bind(IpAddr, io::Error),
    /// The other side was not reached.
    Connect(io::Error),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        DialError::Connect(error)
    }
}

/// [`dial`], telling trouble with our own address from trouble with the other side.
pub async fn dial_from(
    address: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<TcpStream, DialError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind((source, 0).into()).map_err(|error| DialError::Bind(source, error))?;
    }
    // The last small part of a body must not wait for the acknowledgement of the part before.
    socket.set_nodelay(true)?;
    Ok(deadline(limit, "connection", socket.connect(address)).await.map_err(io::Error::from)??)
}
