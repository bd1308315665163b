//! The logs `defer/ID`, `bounce/ID` and `trace/ID`: why each recipient waits, failed or succeeded.
//!
//! Postfix's bounce daemon writes them, its listings and reports read them; so do ours.

use mail::{Address, Dsn, Notify};
use std::io;
use std::path::Path;

/// What the log says of one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The recipient.
    pub recipient: Address,
    /// The recipient before rewriting; equal to `recipient` where nothing was rewritten.
    pub original: Address,
    /// Offset of the recipient's record in the queue file; 0 where it has none.
    pub offset: u64,
    /// `ORCPT`, decoded; empty where there was none.
    pub dsn_orcpt: String,
    /// `NOTIFY`.
    pub notify: Notify,
    /// Enhanced status code.
    pub status: Dsn,
    /// `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// Type and text of what the remote said.
    pub diagnostic: Option<mail::Diagnostic>,
    /// Name of the remote mail server.
    pub remote_mta: Option<String>,
    /// The reason as logged.
    pub reason: String,
}

/// Appends entries under an exclusive lock and syncs the file; what could not be written as a whole is cut off again.
pub fn append(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let _ = (path, entries);
    todo!()
}

/// Reads a log; fields that are missing or unreadable get defaults, as Postfix does. No file means no entries.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let _ = path;
    todo!()
}
