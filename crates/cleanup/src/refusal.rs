//! Why a message is not queued, and what its sender is told.

use mail::{Dsn, Reply};
use std::fmt;

/// A message that is not to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
    /// Whose matter it is.
    pub cause: Cause,
}

/// What speaks against a message; the postmaster can be told of each (`notify_classes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It went in circles (`hopcount_limit`).
    Loop,
    /// It is not wanted as it is.
    Content,
    /// The queue does not take it, or a table cannot be asked, which Postfix tells as the same.
    Queue,
}

impl Refusal {
    /// Of content that is not wanted.
    pub(crate) fn content(reply: Reply) -> Refusal {
        Refusal { reply, cause: Cause::Content }
    }

    /// The message has been passed on too often.
    pub(crate) fn too_many_hops() -> Refusal {
        Refusal { reply: Reply::new(554, Dsn::new(5, 4, 0), "Error: too many hops"), cause: Cause::Loop }
    }

    /// There is no room for it.
    pub fn no_room() -> Refusal {
        let reply = Reply::new(452, Dsn::new(4, 3, 1), "Insufficient system storage");
        Refusal { reply, cause: Cause::Queue }
    }

    /// It cannot be written; so is told, too, what tables say nothing of.
    pub fn cannot_write() -> Refusal {
        let reply = Reply::new(451, Dsn::new(4, 3, 0), "Error: queue file write error");
        Refusal { reply, cause: Cause::Queue }
    }

    /// Whether it is refused for good.
    pub fn is_permanent(&self) -> bool {
        self.reply.is_permanent()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reply.fmt(f)
    }
}
