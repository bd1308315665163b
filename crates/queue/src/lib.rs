//! The queue: a journal, then files in the format of Postfix.
//!
//! Two sides meet here. [`Intake`] belongs to a process that makes mail: a [`Draft`] collects a message, a group
//! commit makes it durable, and only then a [`Committed`] exists that a `250` can be made from. [`Store`] belongs to
//! the queue manager: it tails the journal, keeps the index, records what became of each recipient, and writes what
//! stays into queue files. Everything goes through [`Disk`], so that a simulator can lose, tear and reorder it.
//! `docs/queue-format.md` describes the bytes.

mod committer;
mod disk;
mod draft;
#[cfg(feature = "faults")]
pub mod faults;
pub mod file;
mod intake;
pub mod journal;
pub mod listing;
pub mod lookup;
mod notice;
pub mod paths;
pub mod record;
mod report;
pub mod report_log;
mod segment;
mod space;
mod store;
#[cfg(test)]
mod testing;

pub use committer::{Answered, Committer, Hooks, IntakeSettings, Waiting};
pub use disk::{Disk, DiskFile, Entry, Lock, RealDisk, Space, Stat};
pub use draft::{Draft, DraftError};
pub use intake::{CommitError, CommitFuture, Committed, Intake, NoRoom};
pub use journal::{MessageKey, Role, SegmentId};
pub use notice::{Notice, NoticeSender};
pub use report::{Report, Reporter};
pub use space::{SpaceRule, enough_space};
pub use store::{Due, FLUSHED, Listed, NewMessage, Place, Record, Recovered, Store, StoreSettings};
