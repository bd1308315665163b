//! Connections that another service hands over to a `pass` service: who hands over sends one octet with the descriptor,
//! then attributes that may say whose connection it is; then it waits for the end.
//!
//! Postfix: pass_accept.c, recv_pass_attr.c; postscreen and programs like it send so.

use crate::listener::Ends;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How long a hand-over may take, as in Postfix.
const TIME_MAX: Duration = Duration::from_secs(100);

/// Bytes of attributes; four addresses and ports are some hundred. More is an error.
const ATTRIBUTES_BYTES_MAX: usize = 4096;

/// Takes the connection that comes over `from`; the error is for the log.
pub(crate) async fn receive(from: UnixStream) -> Result<(TcpStream, Ends), String> {
    let taking = async {
        let fd = descriptor(&from).await.map_err(|e| format!("cannot receive file descriptor: {e}"))?;
        let attributes = attributes(&from).await;
        let attributes = attributes.map_err(|e| format!("cannot receive connection attributes: {e}"))?;
        connection(fd, &attributes).map_err(|e| format!("cannot use the connection that was passed: {e}"))
    };
    timeout(TIME_MAX, taking).await.map_err(|_| "timeout receiving a connection".to_owned())?
}

async fn descriptor(from: &UnixStream) -> io::Result<OwnedFd> {
    let take = || {
        let mut fds = Vec::new();
        // One octet: attributes behind it stay for the next read.
        sys::receive_with_fds(from, &mut [0], &mut fds).map(|_| fds.pop())
    };
    let fd = from.async_io(Interest::READABLE, take).await?;
    fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "none came"))
}

async fn attributes(from: &UnixStream) -> io::Result<Vec<(String, String)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(found) = parse(&bytes) {
            return Ok(found);
        }
        if bytes.len() >= ATTRIBUTES_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many"));
        }
        let mut piece = [0; 512];
        match from.async_io(Interest::READABLE, || from.try_read(&mut piece)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&piece[..n]),
        }
    }
}

/// Names and values, each with a NUL behind it, up to an empty name; nothing where that has not come yet.
fn parse(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    // What stands behind the last NUL is not complete.
    let complete = &bytes[..=bytes.iter().rposition(|b| *b == 0)?];
    let mut words = complete.strip_suffix(b"\0")?.split(|b| *b == 0);
    let mut found = Vec::new();
    loop {
        match words.next()? {
            b"" => return Some(found),
            // Postfix takes a list in braces too.
            b"{" | b"}" => {}
            name => found.push((text(name), text(words.next()?))),
        }
    }
}

fn connection(fd: OwnedFd, attributes: &[(String, String)]) -> io::Result<(TcpStream, Ends)> {
    let stream = std::net::TcpStream::from(fd);
    stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(stream)?;
    let ends = match (told(attributes, "client")?, told(attributes, "server")?) {
        (Some(client), Some(server)) => Ends::Passed { client, server, told: true },
        (Some(client), None) => Ends::Passed { client, server: stream.local_addr()?, told: true },
        (None, _) => match (stream.peer_addr(), stream.local_addr()) {
            (Ok(client), Ok(server)) => Ends::Passed { client, server, told: false },
            // It is gone, or no connection of the internet.
            (Err(e), _) if e.kind() == io::ErrorKind::NotConnected => return Err(e),
            _ => Ends::Local,
        },
    };
    Ok((stream, ends))
}

/// Address and port of one side, where the attributes say them.
fn told(attributes: &[(String, String)], side: &str) -> io::Result<Option<SocketAddr>> {
    let value = |what: &str| {
        let name = format!("{side}_{what}");
        attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    };
    let Some(address) = value("address") else { return Ok(None) };
    let port = value("port").unwrap_or("0");
    match (address.parse(), port.parse()) {
        (Ok(ip), Ok(port)) => Ok(Some(SocketAddr::new(ip, port))),
        _ => {
            let text = format!("{side}: expected an address and a port, found `{address}` and `{port}`");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_complete_with_an_empty_name() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        for (bytes, found) in [
            (&b""[..], None),
            (b"client_address\x00192.0.2.9", None),
            (b"client_address\x00192.0.2.9\x00", None),
            (b"\x00", Some(vec![])),
            (b"client_address\x00192.0.2.9\x00\x00", Some(vec![pair("client_address", "192.0.2.9")])),
            (b"{\x00a\x00b\x00}\x00\x00", Some(vec![pair("a", "b")])),
            (b"a\x00\x00", None),
            (b"a\x00\x00\x00", Some(vec![pair("a", "")])),
        ] {
            assert_eq!(parse(bytes), found, "{bytes:?}");
        }
    }

    #[test]
    fn what_the_attributes_tell_of_a_side_must_be_an_address() {
        let told = |address: &str, port: &str| {
            told(&[("client_address".into(), address.into()), ("client_port".into(), port.into())], "client")
        };
        assert_eq!(told("192.0.2.9", "7").unwrap(), Some("192.0.2.9:7".parse().unwrap()));
        assert!(told("unknown", "7").is_err());
        assert_eq!(super::told(&[], "server").unwrap(), None);
    }
}
