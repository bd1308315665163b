//! Where a session stands, what it asked, and what its handlers find.

use super::data::Chunk;
use super::line::Waiting;
use super::{Ask, MailRequest, Xclient};
use crate::smtp::command::Verb;
use bytes::Bytes;
use mail::{Recipient, Reply};

/// How often each command came, and how often it was accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts(pub(super) [(u32, u32); Verb::ALL.len()]);

impl Counts {
    /// Accepted and all, in the order of the log.
    pub fn iter(&self) -> impl Iterator<Item = (Verb, u32, u32)> {
        Verb::ALL.into_iter().zip(self.0).map(|(verb, (ok, all))| (verb, ok, all))
    }
}

/// Where the session stands between two steps.
pub(super) enum State {
    /// Between commands.
    Command,
    /// An answer is due.
    Asked(Box<Asked>),
    /// Behind 354.
    Data,
    /// Inside a chunk.
    Chunk(Chunk),
    /// Inside a chunk that is thrown away; then this reply.
    Skip(Chunk, Reply),
    /// The content is complete.
    Complete,
    /// An answer to [`Next::Commit`] is due, for content that came by this command.
    Committing(Verb, u64),
    /// Nothing more goes in.
    Closed,
}

/// The question that was asked.
pub(super) enum Asked {
    Connect,
    Helo {
        verb: Verb,
        name: String,
    },
    /// The command line, to be read on.
    Count(Verb, Vec<u8>),
    Mail(MailRequest),
    Rcpt(Recipient),
    Data,
    Bdat(Chunk),
    /// What the client wrote.
    Vrfy(String),
    Xclient(Box<Xclient>),
    Etrn,
    Filter(Waiting),
    Noop(Waiting),
    Forbidden(Waiting),
}

/// What `lost connection after …` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Connect,
    Verb(Verb),
    EndOfMessage,
}

/// What the front of the input holds.
pub(super) enum Line {
    Whole(Bytes),
    /// Its end has not come.
    Partial,
    /// It was answered already.
    Unusable,
    /// It ends the session.
    Forbidden,
}

/// What a command handler found.
pub(super) enum Done {
    /// Replied, and it was accepted.
    Ok,
    /// Replied, and it counts as an error.
    Failed,
    /// The driver must decide.
    Ask(Asked, Ask),
    /// The state was changed: content follows.
    Moved,
    /// Replied, and the connection is to be closed.
    Close,
}
