//! `public/qmgr`: Postfix's trigger bytes, from whoever may enter public/.

use qmgr::Order;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Orders that wait for the queue manager; who gives more waits.
pub const WAITING_MAX: usize = 64;

/// Bytes of one trigger; Postfix sends one or two.
const TRIGGER_BYTES: usize = 100;

/// How long a sender may take.
const TRIGGER_TIME: Duration = Duration::from_secs(10);

/// Takes triggers until the queue manager is gone.
pub async fn serve(listener: UnixListener, orders: mpsc::Sender<Order>) {
    while !orders.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::task::spawn_local(take(stream, orders.clone()))),
            // Out of descriptors: sessions that end give some back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn take(mut stream: UnixStream, orders: mpsc::Sender<Order>) {
    let mut bytes = [0; TRIGGER_BYTES];
    if let Ok(Ok(n)) = tokio::time::timeout(TRIGGER_TIME, stream.read(&mut bytes)).await {
        for order in bytes[..n].iter().filter_map(|b| Order::from_trigger(*b)) {
            // The receiver ends with the process.
            let _ = orders.send(order).await;
        }
    }
}
