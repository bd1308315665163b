//! What an administrator can order the queue manager to do.

use mail::QueueId;
use queue::{Listed, NewMessage};
use tokio::sync::oneshot;

/// An order, from `public/qmgr` or the control process.
#[derive(Debug)]
pub enum Order {
    /// Look for new mail: Postfix's `W` and `I`. The journal tells by itself; this looks into the directories.
    Scan,
    /// `postqueue -f`: all that waits is due, what is dead is tried once more (`A`, `F`, `D`).
    FlushAll,
    /// `postqueue -i`: one message is due.
    Flush(QueueId),
    /// `postsuper -h`.
    Hold(QueueId),
    /// `postsuper -H`.
    Release(QueueId),
    /// `postsuper -d`.
    Delete(QueueId),
    /// All that is queued, for lists of the queue.
    List(oneshot::Sender<Vec<Listed>>),
    /// One message with its envelope, content and reasons; nothing where it is gone or cannot be read.
    Show(QueueId, oneshot::Sender<Option<NewMessage>>),
}

impl Order {
    /// The order behind a trigger byte of Postfix's.
    pub fn from_trigger(byte: u8) -> Option<Order> {
        match byte {
            b'W' | b'I' | b'D' => Some(Order::Scan),
            b'A' | b'F' => Some(Order::FlushAll),
            _ => None,
        }
    }
}
