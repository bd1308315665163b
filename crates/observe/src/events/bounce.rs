//! Log lines of bounce: `QID: sender non-delivery notification: NEWQID`.

use crate::event::{Event, Level};
use mail::QueueId;
use std::fmt::Write as _;

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// Recipients failed for good.
    Failure,
    /// Recipients still wait (`delay_warning_time`).
    Delay,
    /// Recipients were delivered, and the sender asked to be told.
    Success,
    /// What would become of recipients, found out without a delivery (`sendmail -bv`).
    Probe,
    /// What became of recipients in an attempt, whatever that was (`sendmail -v`).
    Attempt,
}

/// Who reads a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportReader {
    /// The message's sender.
    Sender,
    /// Who `notify_classes` and the `*_notice_recipient` parameters name.
    Postmaster,
}

/// A report was queued.
#[derive(Debug)]
pub struct ReportQueued<'a> {
    /// The message it is about.
    pub queue_id: &'a QueueId,
    /// What it says.
    pub kind: ReportKind,
    /// Who reads it.
    pub reader: ReportReader,
    /// The report.
    pub report: &'a QueueId,
}

impl Event for ReportQueued<'_> {
    fn line(&self, out: &mut String) {
        let reader = match self.reader {
            ReportReader::Sender => "sender",
            ReportReader::Postmaster => "postmaster",
        };
        let kind = match self.kind {
            ReportKind::Failure => "non-delivery",
            ReportKind::Delay => "delay",
            ReportKind::Success | ReportKind::Probe | ReportKind::Attempt => "delivery status",
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "{}: {reader} {kind} notification: {}", self.queue_id, self.report);
    }
}

/// A report that is not made, because its own sender must get none.
#[derive(Debug)]
pub struct ReportSuppressed<'a> {
    /// The message it would be about.
    pub queue_id: &'a QueueId,
    /// What it would say.
    pub kind: ReportKind,
    /// That message is itself one about a report (its sender is `double_bounce_sender`), not just a report.
    pub double: bool,
}

impl Event for ReportSuppressed<'_> {
    fn line(&self, out: &mut String) {
        let of = if self.double { "double-bounce" } else { "single-bounce" };
        let _ = match self.kind {
            ReportKind::Failure => {
                write!(out, "{}: undeliverable postmaster notification discarded", self.queue_id)
            }
            ReportKind::Delay => {
                write!(out, "{}: not sending delay notification for {of} message", self.queue_id)
            }
            ReportKind::Success | ReportKind::Probe | ReportKind::Attempt => {
                write!(out, "{}: not sending trace/success notification for {of} message", self.queue_id)
            }
        };
    }

    fn level(&self) -> Level {
        if self.kind == ReportKind::Failure { Level::Warning } else { Level::Info }
    }
}

/// A report could not be made; it will be tried again with the message.
#[derive(Debug)]
pub struct ReportFailed<'a> {
    /// The message it is about.
    pub queue_id: &'a QueueId,
    /// Who was to read it.
    pub reader: ReportReader,
    /// Why not.
    pub reason: &'a str,
}

impl Event for ReportFailed<'_> {
    fn line(&self, out: &mut String) {
        let reader = if self.reader == ReportReader::Sender { "sender" } else { "postmaster" };
        let _ = write!(out, "{}: {reader} notification failed: {}", self.queue_id, self.reason);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_shapes_of_postfix() {
        let (id, new) = (QueueId::parse("D025298C9EA").unwrap(), QueueId::parse("D74A198C9F6").unwrap());
        for (kind, reader, text) in [
            (ReportKind::Failure, ReportReader::Sender, "sender non-delivery"),
            (ReportKind::Delay, ReportReader::Postmaster, "postmaster delay"),
            (ReportKind::Success, ReportReader::Sender, "sender delivery status"),
            (ReportKind::Probe, ReportReader::Sender, "sender delivery status"),
        ] {
            let mut line = String::new();
            ReportQueued { queue_id: &id, kind, reader, report: &new }.line(&mut line);
            assert_eq!(line, format!("D025298C9EA: {text} notification: D74A198C9F6"));
        }
    }
}
