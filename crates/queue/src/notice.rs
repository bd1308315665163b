//! Hand-over ②: "segment S is durable up to offset O", from the commit thread to the queue manager.
//!
//! A notice carries no mail and none is precious: the next one, or the reader's own look at the directory, makes up
//! for a lost one. They go over the stream socket `private/journal`, 24 bytes each.

use crate::SegmentId;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How far a segment is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The segment.
    pub segment: SegmentId,
    /// Everything before this offset is on stable storage.
    pub durable: u64,
    /// Nothing will be added to this segment.
    pub sealed: bool,
}

impl Notice {
    /// Length of a notice on the socket.
    pub const LEN: usize = 24;

    /// The notice as it goes over the socket.
    pub fn to_bytes(self) -> [u8; Notice::LEN] {
        let mut bytes = [0; Notice::LEN];
        bytes[..8].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.durable.to_le_bytes());
        bytes[16] = u8::from(self.sealed);
        bytes
    }

    /// Reads what [`Notice::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; Notice::LEN]) -> Self {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Notice { segment: SegmentId(number(0)), durable: number(8), sealed: bytes[16] != 0 }
    }
}

/// Time between two tries to reach a queue manager that is not there.
const RECONNECT: Duration = Duration::from_millis(100);

/// Sends notices to the socket of the queue manager and never blocks; keeps trying while nobody listens.
///
/// For [`crate::Hooks::notice`]. Behind a reconnection the first notice sent is the newest one, which covers all before.
pub struct NoticeSender {
    path: PathBuf,
    stream: Option<UnixStream>,
    tried: Option<Instant>,
    unsent: Vec<u8>,
}

/// Bytes that wait for a slow reader. Beyond that the connection is given up and made anew: the newest notice covers all.
const UNSENT_MAX: usize = 64 * 1024;

impl NoticeSender {
    /// A sender to the socket at `path`.
    pub fn new(path: &Path) -> Self {
        NoticeSender { path: path.to_path_buf(), stream: None, tried: None, unsent: Vec::new() }
    }

    /// Sends a notice, or drops it where nobody listens.
    pub fn send(&mut self, notice: Notice) {
        if self.stream.is_none() {
            self.unsent.clear();
            if self.tried.is_some_and(|at| at.elapsed() < RECONNECT) {
                return;
            }
            self.tried = Some(Instant::now());
            let connected = UnixStream::connect(&self.path).and_then(|s| s.set_nonblocking(true).map(|()| s));
            self.stream = connected.ok();
        }
        self.unsent.extend_from_slice(&notice.to_bytes());
        if self.flush().is_err() || self.unsent.len() > UNSENT_MAX {
            self.stream = None;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
