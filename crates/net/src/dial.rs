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
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind((source, 0).into())?;
    }
    // The last small part of a body must not wait for the acknowledgement of the part before.
    socket.set_nodelay(true)?;
    deadline(limit, "connection", socket.connect(address)).await?
}
