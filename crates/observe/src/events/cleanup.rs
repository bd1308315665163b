//! Log lines of cleanup: `QID: message-id=<…>`.

use crate::escape::Escaped;
use crate::event::{Event, Level};
use mail::QueueId;
use std::fmt::Write as _;

/// The message's own id, as it came or as it was made; `<>` where there is none.
#[derive(Debug)]
pub struct MessageId<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// It is that of `Resent-Message-Id`.
    pub resent: bool,
    /// The header's value, with its `<>`.
    pub id: &'a [u8],
}

impl Event for MessageId<'_> {
    fn line(&self, out: &mut String) {
        let resent = if self.resent { "resent-" } else { "" };
        let _ = write!(out, "{}: {resent}message-id={}", self.queue_id, Escaped(self.id));
    }
}

/// A message that was begun is not queued: `QID: removed (canceled)`, since 3.10.
#[derive(Debug)]
pub struct NotQueued<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// An access table has it thrown away; otherwise it was refused or given up.
    pub discarded: bool,
}

impl Event for NotQueued<'_> {
    fn line(&self, out: &mut String) {
        let why = if self.discarded { "discarded" } else { "canceled" };
        let _ = write!(out, "{}: removed ({why})", self.queue_id);
    }
}

/// A message has passed too many systems.
#[derive(Debug)]
pub struct TooManyHops<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
}

impl Event for TooManyHops<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: message rejected: hopcount exceeded", self.queue_id);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// A message is larger than `message_size_limit`.
#[derive(Debug)]
pub struct TooBig<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
}

impl Event for TooBig<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: queue file size limit exceeded", self.queue_id);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// The queue did not take a message.
#[derive(Debug)]
pub struct QueueWriteFailed<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// The operating system's words.
    pub reason: &'a str,
}

impl Event for QueueWriteFailed<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: write queue file: {}", self.queue_id, self.reason);
    }

    fn level(&self) -> Level {
        Level::Error
    }
}

/// Something is wrong with what tables make of an address.
#[derive(Debug)]
pub struct AddressWarning<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// What is wrong.
    pub text: &'a str,
}

impl Event for AddressWarning<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: {}", self.queue_id, Escaped(self.text.as_bytes()));
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}
