//! What holds for all mailboxes that a service writes.

use super::mbox::Locking;

/// How mailboxes are written.
#[derive(Clone, Debug)]
pub struct Writing {
    /// `myhostname`, the end of file names in Maildirs.
    pub hostname: String,
    /// `mailbox_size_limit`, `virtual_mailbox_limit`; 0 means none.
    pub size_max: u64,
    /// How mailbox files are locked, and how long a lock is waited for.
    pub locking: Locking,
    /// `strict_mailbox_ownership`.
    pub strict_ownership: bool,
    /// Not started as root: all mailboxes are the caller's.
    pub as_caller: bool,
}
