//! `private/showq`: what only the queue manager knows of the queue, for the process that lists it.
//!
//! An item for each message of the journal and for each that is being delivered, the end of the list, then the ids of
//! files that are being delivered, one a line.

use crate::showq::{LISTS_MAX, PIECE_BYTES, accept_lists};
use mail::Timestamp;
use net::Shutdown;
use observe::Tag;
use qmgr::Order;
use queue::listing::{Item, ItemRecipient, put_item};
use queue::{Listed, NewMessage, Place};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// How long the reader may pause before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves it until the shutdown. It wants a `LocalSet` around it.
pub async fn serve_live(listener: UnixListener, orders: mpsc::Sender<Order>, tag: Tag, shutdown: Shutdown) {
    let serve = |socket| send(orders.clone(), socket);
    accept_lists("private/showq", listener, LISTS_MAX, &tag, shutdown, serve).await;
}

async fn send(orders: mpsc::Sender<Order>, mut socket: UnixStream) -> io::Result<()> {
    let (list, answer) = oneshot::channel();
    let gone = || io::Error::other("the queue manager is gone");
    orders.send(Order::List(list)).await.map_err(|_| gone())?;
    let listed = answer.await.map_err(|_| gone())?;
    let mut piece = Vec::new();
    for entry in listed.iter().filter(|l| needs_asking(l)) {
        let (show, answer) = oneshot::channel();
        orders.send(Order::Show(entry.queue_id.clone(), show)).await.map_err(|_| gone())?;
        // Nothing where it is gone by now.
        if let Some(message) = answer.await.ok().flatten() {
            put_item(Some(&item(entry, message)), &mut piece);
        }
        if piece.len() >= PIECE_BYTES {
            write(&mut socket, &std::mem::take(&mut piece)).await?;
        }
    }
    put_item(None, &mut piece);
    for entry in listed.iter().filter(|l| l.in_flight) {
        piece.extend_from_slice(entry.queue_id.as_str().as_bytes());
        piece.push(b'\n');
    }
    write(&mut socket, &piece).await
}

/// Whether the files may not tell: what is on hold may still be on its way into one.
fn needs_asking(entry: &Listed) -> bool {
    entry.in_flight
        || match entry.place {
            Place::Journal => true,
            Place::Hold => !entry.key.is_file(),
            Place::Deferred => false,
        }
}

fn item(entry: &Listed, message: NewMessage) -> Item {
    let queue = match entry.place {
        Place::Hold => "hold",
        _ if entry.in_flight || message.retry_at.is_none() => "active",
        _ => "deferred",
    };
    let NewMessage { queue_id, envelope, done, content, deferrals, .. } = message;
    let reason = |index: usize| {
        let of_it = |o: &&mail::Outcome| o.index as usize == index;
        deferrals.iter().rev().find(of_it).map(|o| o.reason.clone())
    };
    let recipients = envelope.recipients.into_iter().enumerate();
    let left = recipients.filter(|(index, _)| !done.get(*index).copied().unwrap_or(false));
    Item {
        queue: queue.to_string(),
        queue_id,
        arrival: earliest(envelope.arrival, entry.arrival),
        size: content.queue_size(),
        forced_expire: envelope.force_expire,
        sender: envelope.sender,
        recipients: left
            .map(|(index, r)| ItemRecipient { address: r.address, reason: reason(index) })
            .collect(),
    }
}

/// The envelope tells; zero is no time.
fn earliest(envelope: Timestamp, listed: Option<Timestamp>) -> Timestamp {
    if envelope == Timestamp::default() { listed.unwrap_or(envelope) } else { envelope }
}

async fn write(socket: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the reader of private/showq takes no more");
    tokio::time::timeout(WRITE_TIMEOUT, socket.write_all(bytes)).await.map_err(|_| silent())?
}
