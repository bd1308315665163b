//! What is queued, as `postqueue -p` and `-j` show it.
//!
//! The live process sends items over `public/showq` in Postfix's record encoding; without one, [`from_disk`] reads the
//! queue directories and [`from_journal`] the journal.

mod disk;
mod print;
mod wire;

pub use disk::{from_disk, from_journal};
pub use print::{Table, asctime};
pub use wire::{put_item, read_item};

use mail::{Address, QueueId, Timestamp};

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `maildrop`, `active`, `incoming`, `deferred` or `hold`.
    pub queue: String,
    /// Its id.
    pub queue_id: QueueId,
    /// When it arrived.
    pub arrival: Timestamp,
    /// The length of its content.
    pub size: u64,
    /// Whether it is to be returned at the next attempt.
    pub forced_expire: bool,
    /// Its sender.
    pub sender: Address,
    /// The recipients that are left.
    pub recipients: Vec<ItemRecipient>,
}

/// One recipient of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRecipient {
    /// Its address.
    pub address: Address,
    /// Why it waits, where that is known.
    pub reason: Option<String>,
}
