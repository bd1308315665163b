//! The way back to the queue manager: results of many workers, as few writes as there can be.

use super::wire::{Answer, encode_answer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a worker waits for a queue manager that does not read; then the connection is given up.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// One connection's way back.
pub struct Replies {
    stream: UnixStream,
    out: Mutex<Out>,
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    /// A worker writes; what others add meanwhile goes with its next write.
    sending: bool,
    /// The queue manager is gone: it counts what it did not hear of as not delivered.
    broken: bool,
}

impl Replies {
    /// Answers go to `stream`, which may be non-blocking.
    pub fn new(stream: UnixStream) -> Self {
        Replies { stream, out: Mutex::default() }
    }

    /// Adds an answer to what the next `send` sends.
    pub fn add(&self, answer: &Answer) {
        let mut out = self.lock();
        if !out.broken {
            encode_answer(answer, &mut out.bytes);
        }
    }

    /// Sends answers, or leaves them to the worker that sends just now.
    pub fn send<'a>(&self, answers: impl IntoIterator<Item = &'a Answer>) {
        let mut out = self.lock();
        if out.broken {
            return;
        }
        for answer in answers {
            encode_answer(answer, &mut out.bytes);
        }
        if std::mem::replace(&mut out.sending, true) {
            return;
        }
        while !out.bytes.is_empty() && !out.broken {
            let bytes = std::mem::take(&mut out.bytes);
            drop(out);
            let written = self.write(&bytes);
            out = self.lock();
            out.broken |= written.is_err();
        }
        out.sending = false;
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], Some(&PATIENCE))? == 0 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
