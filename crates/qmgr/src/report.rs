//! Reports to senders: what the driver asks of bounce.

use bytes::Bytes;
use mail::{Content, ContentFlags, Envelope, Outcome, QueueId, Timestamp};
use observe::events::qmgr::Notification;

/// What a report is to be about.
pub struct About<'a> {
    /// What it tells.
    pub what: Notification,
    /// The message.
    pub queue_id: &'a QueueId,
    /// Its envelope; outcomes name recipients by their place in it.
    pub envelope: &'a Envelope,
    /// Its content.
    pub content: &'a Content,
    /// The recipients to report.
    pub outcomes: &'a [Outcome],
    /// The report's own id.
    pub report_id: &'a QueueId,
    /// Until when delivery is tried, for a report of delay.
    pub retry_until: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// A report, ready to be queued.
pub struct Composed {
    /// Envelope, from the null sender.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Vec<Bytes>,
    /// What is known about its lines.
    pub flags: ContentFlags,
    /// Its Message-ID, without brackets, for cleanup's line.
    pub message_id: String,
}

/// Writes reports. Pure but for reading the content.
pub trait Reports {
    /// The report to the message's sender; an error where the content cannot be read.
    fn compose(&self, about: &About<'_>) -> std::io::Result<Composed>;
}
