//! Mail that the mail system writes itself: reports on failure, delay and success (RFC 3464, RFC 6533).
//!
//! [`addressees`] decides who is told, and [`compose`] writes what; nothing is stored here. The queue manager queues each
//! [`Report`] together with the outcomes that caused it, then logs its events.
//!
//! Postfix: bounce(8), bounce(5).

mod addressees;
mod date;
mod heading;
mod notice;
mod original;
mod probe;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod text;

pub use addressees::{Addressee, addressees, suppressed};
pub use date::local_date;
pub use heading::{Addressed, Heading};
pub use notice::{Notice, NoticeSettings, Session};
pub use observe::events::bounce::{ReportKind, ReportReader};
pub use probe::Probe;
pub use report::{Report, compose};
pub use settings::Settings;
pub use text::{Texts, built_in};

use mail::{Content, Envelope, QueueId};

/// The message that a report is about.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// Its name in the log.
    pub queue_id: &'a QueueId,
    /// Its envelope; outcomes name its recipients by index.
    pub envelope: &'a Envelope,
    /// Its content.
    pub content: &'a Content,
}
