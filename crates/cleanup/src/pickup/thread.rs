//! The thread that waits for work in `maildrop/`.

use super::PickupInputs;
use mail::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::Duration;

/// Postfix's master wakes pickup once a minute, whether or not somebody told it of work.
const WAKEUP_SECS: i64 = 60;

/// How long to wait after a message could not be taken: the queue is full or broken.
const PAUSE_SECS: i64 = 10;

/// Who connects writes its byte at once.
const TRIGGER_TIME: Duration = Duration::from_millis(200);

/// Waits for work until it is told to stop.
pub struct Pickup {
    stop: Option<PickupStop>,
    thread: JoinHandle<()>,
}

/// Dropped, it ends the thread after the message in hand.
pub struct PickupStop(#[allow(dead_code, reason = "the thread sees that the other end is closed")] OwnedFd);

impl Pickup {
    /// Starts the thread. Who connects to `listener` (`public/pickup`) tells that there is work; `now` is the clock.
    pub fn start(inputs: PickupInputs, listener: UnixListener, now: fn() -> Timestamp) -> io::Result<Pickup> {
        listener.set_nonblocking(true)?;
        let (stop, stopped) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // The reading end sees the end of the file when the writing end is dropped.
        let (reader, writer) = (stop, stopped);
        let run = move || serve(&inputs, &listener, &reader, now);
        let thread = std::thread::Builder::new().name("pickup".into()).spawn(run)?;
        Ok(Pickup { stop: Some(PickupStop(writer)), thread })
    }

    /// Ends the thread and waits for it; the message in hand is finished first.
    pub fn stop(mut self) {
        drop(self.stop.take());
        // A panic there was logged by its hook; the files are still in maildrop/.
        let _ = self.thread.join();
    }
}

fn serve(inputs: &PickupInputs, listener: &UnixListener, stop: &OwnedFd, now: fn() -> Timestamp) {
    let mut pause = WAKEUP_SECS;
    let mut first = true;
    loop {
        if !first && !wait(listener, stop, pause) {
            return;
        }
        first = false;
        take_triggers(listener);
        while inputs.step(now()) {
            if is_over(stop) {
                return;
            }
        }
        pause = if has_files(inputs) { PAUSE_SECS } else { WAKEUP_SECS };
    }
}

/// Waits for a trigger or the time; false when it is over.
fn wait(listener: &UnixListener, stop: &OwnedFd, secs: i64) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    let timeout = Timespec { tv_sec: secs, tv_nsec: 0 };
    // An interrupted or failed wait is one that ended early: the directory is looked at once more.
    let _ = poll(&mut fds, Some(&timeout));
    fds[1].revents().is_empty()
}

fn is_over(stop: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(stop, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(n) if n > 0)
}

/// Takes all that have connected; what they say does not matter.
fn take_triggers(listener: &UnixListener) {
    while let Ok((mut socket, _)) = listener.accept() {
        // The other side would get an error for its byte if we went before it came.
        if socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(TRIGGER_TIME))).is_ok() {
            let _ = socket.read(&mut [0; 16]);
        }
    }
}

fn has_files(inputs: &PickupInputs) -> bool {
    let is_file = |name: &str| mail::QueueId::parse(name).is_some();
    inputs.disk.list("maildrop".as_ref()).is_ok_and(|list| list.iter().any(|e| !e.is_dir && is_file(&e.name)))
}
