//! `public/qmgr`: who connects there orders the queue manager to do something.
//!
//! Postfix's bytes are `W`, `I`, `D`, `F`, `A`, each an order; ours is `i`, a queue id and a newline, for one message.

use mail::QueueId;
use net::Shutdown;
use observe::Tag;
use qmgr::Order;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// The longest request: a batch of ids from `postqueue -i` calls in one connection, which ours never send.
const REQUEST_BYTES_MAX: usize = 4096;

/// A request is there at once: its writer does nothing in between.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// After an error of accept: descriptors are used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Takes orders until the shutdown. One connection at a time: each is a few bytes.
pub async fn serve_orders(listener: UnixListener, orders: mpsc::Sender<Order>, tag: Tag, shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                for order in read(socket).await {
                    if orders.send(order).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                observe::warn(&tag, format_args!("public/qmgr: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn read(mut socket: UnixStream) -> Vec<Order> {
    let mut request = Vec::new();
    let reading = async {
        let mut limited = (&mut socket).take(REQUEST_BYTES_MAX as u64);
        limited.read_to_end(&mut request).await
    };
    // What came before the end of the time counts; an error is its writer's end.
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, reading).await;
    parse(&request)
}

/// The orders of a request, each once.
fn parse(request: &[u8]) -> Vec<Order> {
    let mut orders = Vec::new();
    let (mut scan, mut flush) = (false, false);
    let mut rest = request;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'i' {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            let id = std::str::from_utf8(&rest[..end]).ok().and_then(QueueId::parse);
            orders.extend(id.map(Order::Flush));
            rest = rest.get(end + 1..).unwrap_or_default();
            continue;
        }
        match Order::from_trigger(byte) {
            Some(Order::Scan) => scan = true,
            Some(_) => flush = true,
            None => {}
        }
    }
    if flush {
        orders.push(Order::FlushAll);
    }
    if scan {
        orders.push(Order::Scan);
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postfixs_trigger_bytes_and_ours_become_orders() {
        assert!(matches!(parse(b"AFD")[..], [Order::FlushAll, Order::Scan]));
        assert!(matches!(parse(b"W")[..], [Order::Scan]));
        assert!(matches!(&parse(b"i98D8998C008\niA1")[..], [Order::Flush(a), Order::Flush(b)]
            if a.as_str() == "98D8998C008" && b.as_str() == "A1"));
        assert!(parse(b"i../../etc\nxyz").is_empty());
        assert!(parse(b"").is_empty());
    }
}
