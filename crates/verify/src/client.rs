//! The end of smtpd and of commands: asks the desk over its socket.

use crate::Entry;
use mail::Address;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How much longer than it was asked to wait the desk may take: this is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer longer than this is none of ours: a server's reply with its surroundings.
const ANSWER_MAX: u64 = 64 * 1024;

/// What is wanted of the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// An answer, for which a probe may be sent.
    Probing,
    /// What is known already.
    Looking,
}

/// Asks the desk.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    asking: Asking,
}

impl Client {
    /// A client of the desk at `socket`.
    pub fn new(socket: impl Into<PathBuf>, asking: Asking) -> Client {
        Client { socket: socket.into(), asking }
    }

    /// What is known of an address; where that is nothing, what becomes known within `wait`. The error is that nobody
    /// answers.
    pub async fn ask(&self, address: &Address, wait: Duration) -> io::Result<Entry> {
        let text = std::str::from_utf8(address.as_bytes()).ok().filter(|text| !text.contains('\n'));
        let text =
            text.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no text for an address"))?;
        let request = match self.asking {
            Asking::Probing => format!("ask {} {text}\n", wait.as_millis()),
            Asking::Looking => format!("look {text}\n"),
        };
        let exchange = async {
            let mut socket = UnixStream::connect(&self.socket).await?;
            socket.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            socket.take(ANSWER_MAX).read_to_string(&mut answer).await?;
            Entry::parse(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        tokio::time::timeout(wait + PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
