//! Clients behind a proxy: the PROXY header is taken off the connection before anything else is seen of it.
//!
//! Postfix: `postscreen_upstream_proxy_protocol`, `postscreen_upstream_proxy_timeout`. What comes behind the header stays
//! in the socket, where the tests and in the end smtpd find it.

use mail::{Dsn, Reply};
use observe::events::smtpd::UnusableProxyHeader;
use observe::{Tag, emit};
use protocol::haproxy::{self, Header, Parsed};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is looked at at once; a longer header of version 2 is taken in pieces.
const PIECE: usize = 1024;

/// Who sends no header hears this.
pub(super) fn refusal() -> Reply {
    Reply::new(421, Dsn::new(4, 3, 2), "No system resources")
}

/// Waits so long for the header; where there is none that can be used, the log says why.
pub(super) async fn receive(stream: &TcpStream, limit: Duration, tag: &Tag) -> Option<Header> {
    let mut header = Vec::new();
    if let Ok(Ok(Some(found))) = timeout(limit, read(stream, &mut header)).await {
        return Some(found);
    }
    let why = if header.is_empty() { "time limit exceeded" } else { haproxy::missing(&header) };
    emit(tag, &UnusableProxyHeader { why, header: &header });
    None
}

/// Takes the header and nothing more; nothing where there is none. What was seen is in `header`.
async fn read(stream: &TcpStream, header: &mut Vec<u8>) -> io::Result<Option<Header>> {
    let mut piece = [0; PIECE];
    loop {
        let seen = stream.peek(&mut piece).await?;
        if seen == 0 {
            return Ok(None);
        }
        let known = header.len();
        header.extend_from_slice(&piece[..seen]);
        match haproxy::parse(header) {
            // All of it belongs to the header.
            Parsed::Partial => take(stream, &mut piece[..seen]).await?,
            Parsed::Header(found, length) => {
                take(stream, &mut piece[..length - known]).await?;
                return Ok(Some(found));
            }
            Parsed::Other | Parsed::Bad(_) => return Ok(None),
        }
    }
}

/// Reads what was seen to be there.
async fn take(stream: &TcpStream, mut piece: &mut [u8]) -> io::Result<()> {
    while !piece.is_empty() {
        stream.readable().await?;
        match stream.try_read(piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(taken) => piece = &mut std::mem::take(&mut piece)[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ends() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn what_stands_behind_a_header_stays_in_the_socket() {
        run(async {
            let told =
                Header::Proxied { client: "[::1]:7".parse().unwrap(), server: "[::1]:8".parse().unwrap() };
            for header in [haproxy::line(told).unwrap().into_bytes(), haproxy::binary(told).unwrap()] {
                let (mut client, mut server) = ends().await;
                let (first, rest) = header.split_at(20);
                client.write_all(first).await.unwrap();
                let tag = Tag::new("test", "test", 0);
                let receive = receive(&server, Duration::from_secs(30), &tag);
                let send = async {
                    tokio::task::yield_now().await;
                    client.write_all(&[rest, b"EHLO a\r\n"].concat()).await.unwrap();
                };
                let (found, ()) = tokio::join!(receive, send);
                assert_eq!(found, Some(told));
                drop(client);
                let mut left = String::new();
                server.read_to_string(&mut left).await.unwrap();
                assert_eq!(left, "EHLO a\r\n");
            }
        });
    }

    #[test]
    fn a_header_that_does_not_come_is_not_awaited_for_ever() {
        run(async {
            let (client, server) = ends().await;
            let tag = Tag::new("test", "test", 0);
            assert_eq!(receive(&server, Duration::from_millis(1), &tag).await, None);
            drop(client);
        });
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        run(async {
            let (mut client, server) = ends().await;
            client.write_all(b"EHLO client.example\r\n").await.unwrap();
            let tag = Tag::new("test", "test", 0);
            assert_eq!(receive(&server, Duration::from_secs(30), &tag).await, None);
            let (client, server) = ends().await;
            drop(client);
            assert_eq!(receive(&server, Duration::from_secs(30), &tag).await, None, "gone");
        });
    }
}
