//! The event loop around the driver: notices, orders, time, and the order to end.

use crate::driver::{After, Driver, Parts};
use crate::hand::{Hand, Inbox, News};
use crate::route::Router;
use crate::spool::Spool;
use crate::watchdog::Watchdog;
use crate::{Order, Settings};
use mail::{Address, Timestamp};
use net::{Shutdown, clock};
use observe::Tag;
use queue::Notice;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// How long an orderly end waits for deliveries that run.
const DRAIN: Duration = Duration::from_secs(5);

/// How long it waits then for those that it asks to come to an end: a command has a second for that.
const HURRY: Duration = Duration::from_secs(2);

/// The longest sleep: other hands may have changed the spool, and the clock may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Bytes read at once from a process that sends notices: some hundreds of notices.
const NOTICES_READ: usize = 8 * 1024;

/// What a reload replaces as a whole.
#[derive(Clone)]
pub struct Snapshot {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Tables and rules that say where mail goes.
    pub router: Rc<dyn Router>,
    /// How reports are written.
    pub bounce: Arc<bounce::Settings>,
    /// How addresses are asked about.
    pub verify: Arc<verify::Settings>,
}

/// What the queue manager works with.
pub struct Inputs<S> {
    /// The queue.
    pub spool: S,
    /// Configuration.
    pub snapshot: Snapshot,
    /// New configurations.
    pub reloads: mpsc::Receiver<Snapshot>,
    /// The delivery agents.
    pub hand: Rc<dyn Hand>,
    /// `private/journal`: processes that take mail in tell here how far their segments are durable.
    pub notices: UnixListener,
    /// What is known of addresses, by probes.
    pub desk: verify::Desk,
    /// Addresses to be asked about.
    pub probes: mpsc::Receiver<Address>,
    /// Orders.
    pub orders: mpsc::Receiver<Order>,
    /// Who logs: qmgr.
    pub tag: Tag,
    /// Who logs that a report was queued: bounce.
    pub bounce_tag: Tag,
    /// Who logs a report's message id: cleanup.
    pub cleanup_tag: Tag,
    /// The order to end.
    pub shutdown: Shutdown,
}

/// Runs until the order to end, then waits up to 5 s for deliveries and 2 s for commands that it asks to end, and makes
/// files of what is left in the journal.
///
/// Must be called in a `LocalSet` of a current-thread runtime.
pub async fn run<S: Spool>(inputs: Inputs<S>) -> io::Result<()> {
    let Inputs { mut reloads, mut orders, mut probes, notices, shutdown, .. } = inputs;
    let watchdog = watchdog(&inputs.snapshot.settings, &inputs.tag)?;
    let mut driver = Driver::new(Parts {
        spool: inputs.spool,
        settings: inputs.snapshot.settings,
        router: inputs.snapshot.router,
        bounce: inputs.snapshot.bounce,
        hand: inputs.hand,
        desk: inputs.desk,
        tag: inputs.tag,
        bounce_tag: inputs.bounce_tag,
        cleanup_tag: inputs.cleanup_tag,
    });
    let inbox = driver.inbox();
    let listening = tokio::task::spawn_local(listen(notices, inbox.clone()));
    let (mut drain_until, mut hurried) = (None, false);
    loop {
        if let Some(watchdog) = &watchdog {
            watchdog.beat();
        }
        let now = clock::now();
        let after = driver.turn(now);
        match drain_until {
            Some(_) if !driver.busy() => break,
            Some(until) if now >= until && hurried => break,
            Some(until) if now >= until => {
                driver.hurry();
                (hurried, drain_until) = (true, Some(now.after(HURRY)));
            }
            _ => {}
        }
        tokio::select! {
            biased;
            () = shutdown.requested(), if drain_until.is_none() => {
                driver.drain();
                drain_until = Some(clock::now().after(DRAIN));
            }
            Some(snapshot) = reloads.recv() => driver.reload(snapshot),
            Some(order) = orders.recv() => driver.order(order, clock::now()),
            Some(address) = probes.recv() => driver.probe(address, clock::now()),
            () = inbox.wait() => {}
            () = driver.routed() => {}
            () = rest(after, now) => {}
        }
    }
    listening.abort();
    // What is left to be written may take long.
    drop(watchdog);
    driver.stop(clock::now())
}

/// Ends the process when the loop stands still; master starts it again, and what was in delivery is tried again.
fn watchdog(settings: &Settings, tag: &Tag) -> io::Result<Option<Watchdog>> {
    let tag = tag.clone();
    let expired = move || {
        observe::fatal(&tag, format_args!("watchdog timeout"));
        observe::flush();
        std::process::abort();
    };
    settings.daemon_timeout.map(|timeout| Watchdog::start(timeout, expired)).transpose()
}

/// The pause between two turns: none but for the agents' turn where there is more to do.
async fn rest(after: After, now: Timestamp) {
    match after {
        After::More => tokio::task::yield_now().await,
        After::Sleep(until) => {
            let sleep = until.map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX));
            tokio::time::sleep(sleep).await;
        }
    }
}

/// Takes connections of processes that make mail.
async fn listen(listener: UnixListener, inbox: Rc<Inbox>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::task::spawn_local(read_notices(stream, inbox.clone()))),
            // Out of descriptors: the reader of the journal looks by itself meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn read_notices(mut stream: UnixStream, inbox: Rc<Inbox>) {
    let mut buffer = vec![0; NOTICES_READ];
    let mut filled = 0;
    while let Ok(n) = stream.read(&mut buffer[filled..]).await {
        if n == 0 {
            break;
        }
        filled += n;
        let (whole, _) = buffer[..filled].as_chunks::<{ Notice::LEN }>();
        let used = whole.len() * Notice::LEN;
        for bytes in whole {
            inbox.push(News::Notice(Notice::from_bytes(bytes)));
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}
