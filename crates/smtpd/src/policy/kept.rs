//! Open connections that wait for the next request, by event loop: a connection belongs to the loop that opened it.

use super::connection::Stream;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection with its history.
pub(super) struct Kept {
    pub stream: Stream,
    /// How many requests it has carried.
    pub requests: u64,
    /// When it was opened.
    pub opened: Instant,
    /// When it must be gone, if nobody needs it before.
    expires: Instant,
    /// The number of its server.
    server: u64,
}

thread_local! {
    static POOL: Pool = Pool::default();
}

#[derive(Default)]
struct Pool {
    // The one used last stands last. Servers are few, and each has few connections.
    kept: RefCell<Vec<Kept>>,
    /// A task waits for the first to expire.
    sweeping: Cell<bool>,
    /// One expires earlier than all before.
    earlier: Rc<Notify>,
}

impl Kept {
    /// A new connection to the server of this number.
    pub(super) fn new(stream: Stream, server: u64) -> Kept {
        let now = Instant::now();
        Kept { stream, requests: 0, opened: now, expires: now, server }
    }
}

/// The connection to a server that was used last. What the server has closed, or said unasked, is dropped.
pub(super) fn take(server: u64) -> Option<Kept> {
    let now = Instant::now();
    POOL.with(|pool| {
        let mut all = pool.kept.borrow_mut();
        while let Some(at) = all.iter().rposition(|kept| kept.server == server) {
            let kept = all.remove(at);
            if kept.expires > now && kept.stream.is_quiet() {
                return Some(kept);
            }
        }
        None
    })
}

/// Keeps a connection until it has lain idle for `idle`, or is as old as `ttl`.
pub(super) fn put(kept: Kept, idle: Duration, ttl: Duration) {
    let expires = (Instant::now() + idle).min(kept.opened + ttl);
    POOL.with(|pool| {
        let is_first = pool.first().is_none_or(|first| expires < first);
        pool.kept.borrow_mut().push(Kept { expires, ..kept });
        if !pool.sweeping.replace(true) {
            // Ends by itself when nothing is kept any more, or with the event loop.
            tokio::task::spawn_local(sweep(Sweeping, Rc::clone(&pool.earlier)));
        } else if is_first {
            pool.earlier.notify_one();
        }
    });
}

/// Drops all connections to a server, after one of them broke.
pub(super) fn drop_all(server: u64) {
    POOL.with(|pool| pool.kept.borrow_mut().retain(|kept| kept.server != server));
}

impl Pool {
    /// When the first must be gone.
    fn first(&self) -> Option<Instant> {
        self.kept.borrow().iter().map(|kept| kept.expires).min()
    }
}

/// Closes what has lain idle for too long, so that a server is rid of it also when no mail comes.
async fn sweep(_sweeping: Sweeping, earlier: Rc<Notify>) {
    while let Some(first) = POOL.with(Pool::first) {
        tokio::select! {
            () = tokio::time::sleep_until(first) => {}
            () = earlier.notified() => continue,
        }
        let now = Instant::now();
        POOL.with(|pool| pool.kept.borrow_mut().retain(|kept| kept.expires > now));
    }
}

/// Says that a sweeper runs, for as long as it does.
struct Sweeping;

impl Drop for Sweeping {
    fn drop(&mut self) {
        // At the end of its thread there is no pool any more.
        let _ = POOL.try_with(|pool| pool.sweeping.set(false));
    }
}
