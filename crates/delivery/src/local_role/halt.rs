//! The word that commands are to end: nobody will hear of their result any more, or soon.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Raised once for all commands of a connection; stays raised. Readable then, for those who poll.
#[derive(Debug)]
pub struct Halt(OwnedFd);

impl Halt {
    /// Not raised yet.
    pub fn new() -> io::Result<Halt> {
        Ok(Halt(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Tells all who wait for it, now and later.
    pub fn raise(&self) {
        // It fails where the counter is full: then it is raised.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Halt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
