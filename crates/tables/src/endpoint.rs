//! Where a server is, and a stream to one that answers a table.

use crate::lookup::now;
use crate::pool::Failure;
use crate::table::Settings;
use std::fmt;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufStream};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::unconstrained;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host by name or address, and its port.
    Inet(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

/// Bytes to and from a server.
pub(crate) type Stream = BufStream<Box<dyn Bytes>>;

/// What every kind of socket does.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

impl Endpoint {
    /// Parses `inet:host:port` or `unix:path`; a relative path starts at queue_directory. The error says what was
    /// expected.
    pub fn parse(text: &str, settings: &Settings) -> Result<Endpoint, String> {
        match text.split_once(':') {
            Some(("inet", rest)) => Endpoint::inet(rest, settings),
            Some(("unix" | "local", path)) if !path.is_empty() => Ok(Endpoint::Unix(settings.socket(path))),
            _ => Err(format!("expected `inet:host:port` or `unix:path`, found `{text}`")),
        }
    }

    /// Parses `host:port`, with an IPv6 address in brackets and a port by number or by name; no host is this one.
    pub fn inet(text: &str, settings: &Settings) -> Result<Endpoint, String> {
        let (host, port) = config::split_endpoint(text);
        let Some(port) = settings.ports.to_connect(port) else {
            return Err(format!("expected `host:port` with a port from 1 to 65535, found `{text}`"));
        };
        Ok(Endpoint::Inet(host.filter(|host| !host.is_empty()).unwrap_or("localhost").to_owned(), port))
    }

    /// Opens a stream, on the thread for servers; names are asked of the system's resolver beside it.
    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let stream: Box<dyn Bytes> = match self {
            Endpoint::Inet(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // Questions are small and each waits for its answer.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(BufStream::new(stream))
    }
}

/// Makes sure before a question that nothing came unasked: it would be taken for the answer. A kept connection that the
/// server closed is found out as well.
pub(crate) fn quiet(stream: &mut Stream) -> Result<(), Failure> {
    match now(unconstrained(stream.fill_buf())) {
        None => Ok(()),
        Some(Ok([])) => Err(Failure::Server("the server closed the connection".to_owned())),
        Some(Ok(bytes)) => {
            let found: String = String::from_utf8_lossy(bytes).chars().take(100).collect();
            Err(Failure::Server(format!("the server sent `{found}` unasked")))
        }
        Some(Err(error)) => Err(broken(error)),
    }
}

/// An error of a stream as a failure of its server.
pub(crate) fn broken(error: io::Error) -> Failure {
    Failure::Server(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Inet(host, port) => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_each_form() {
        let parse = |text: &str| {
            let settings = Settings { directory: Some("/var/spool/postfix".into()), ..Settings::default() };
            Endpoint::parse(text, &settings).map(|endpoint| endpoint.to_string())
        };
        for (text, expected) in [
            ("inet:127.0.0.1:11211", "127.0.0.1:11211"),
            ("inet:mail.example.org:smtp", "mail.example.org:25"),
            ("inet:[fc00:8d00:189::3]:7", "[fc00:8d00:189::3]:7"),
            ("inet::7", "localhost:7"),
            ("unix:/run/a:b", "/run/a:b"),
            ("local:private/x", "/var/spool/postfix/private/x"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["inet:127.0.0.1", "inet:a:0", "inet:a:65536", "inet:a:nothing-such", "unix:", "a:1", ""]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
