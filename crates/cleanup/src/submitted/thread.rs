//! The threads that answer requests; each waits for its message's sync, so there are several.

use super::{Inputs, TAKEN};
use mail::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Requests at a time. Messages that wait share one sync, so a few keep up with the disk.
const THREADS: usize = 8;

/// Who connects writes its byte at once.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Answers requests until it is told to stop.
pub struct Submissions {
    stop: Option<SubmissionsStop>,
    threads: Vec<JoinHandle<()>>,
}

/// Dropped, it ends the threads after the message in hand.
pub struct SubmissionsStop(
    #[allow(dead_code, reason = "the threads see that the other end is closed")] OwnedFd,
);

impl Submissions {
    /// Starts the threads; `now` is the clock.
    pub fn start(inputs: Inputs, listener: UnixListener, now: fn() -> Timestamp) -> io::Result<Submissions> {
        listener.set_nonblocking(true)?;
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let shared = Arc::new((inputs, listener, reader));
        let start = |number| {
            let shared = shared.clone();
            let run = move || serve(&shared.0, &shared.1, &shared.2, now);
            std::thread::Builder::new().name(format!("submitted-{number}")).spawn(run)
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Submissions { stop: Some(SubmissionsStop(writer)), threads })
    }

    /// Ends the threads and waits for them; messages in hand are finished first.
    pub fn stop(mut self) {
        drop(self.stop.take());
        // A panic there was logged by its hook; who asked sees the connection end.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn serve(inputs: &Inputs, listener: &UnixListener, stop: &OwnedFd, now: fn() -> Timestamp) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        // An interrupted wait is one that ended early.
        let _ = poll(&mut fds, None);
        if !fds[1].revents().is_empty() {
            return;
        }
        // Another thread may have been first.
        if let Ok((socket, _)) = listener.accept() {
            // Who asked sees the connection end where that failed, and tries again later.
            let _ = answer(inputs, socket, now);
        }
    }
}

fn answer(inputs: &Inputs, mut socket: UnixStream, now: fn() -> Timestamp) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(REQUEST_TIME))?;
    let (mut byte, mut fds) = ([0], Vec::new());
    sys::receive_with_fds(&socket, &mut byte, &mut fds)?;
    let Some(fd) = fds.pop() else { return Err(io::ErrorKind::InvalidData.into()) };
    let answer = match inputs.take(&File::from(fd), now()) {
        Ok(id) => format!("{TAKEN}{id}\n"),
        Err(why) => format!("{}\n", why.replace('\n', " ")),
    };
    socket.write_all(answer.as_bytes())
}
