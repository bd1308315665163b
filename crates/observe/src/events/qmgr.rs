//! Log lines of qmgr.

use crate::Escaped;
use crate::event::{Event, Level};
use mail::{Address, QueueId};
use std::fmt::Write as _;

/// A message became active: `4XyZ1: from=<ann@example.org>, size=1432, nrcpt=1 (queue active)`.
#[derive(Debug)]
pub struct MessageActive<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// Envelope sender.
    pub sender: &'a Address,
    /// Bytes of content.
    pub size: u64,
    /// Recipients, done ones included.
    pub recipients: usize,
}

impl Event for MessageActive<'_> {
    fn line(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{}: from=<{}>, size={}, nrcpt={} (queue active)",
            self.queue_id,
            Escaped(&self.sender.to_external()),
            self.size,
            self.recipients
        );
    }
}

/// A message left the queue: `4XyZ1: removed`.
#[derive(Debug)]
pub struct MessageRemoved<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
}

impl Event for MessageRemoved<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: removed", self.queue_id);
    }
}

/// A message was given up: `4XyZ1: from=<ann@example.org>, status=expired, returned to sender`.
#[derive(Debug)]
pub struct MessageExpired<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// Envelope sender.
    pub sender: &'a Address,
    /// An administrator's order, not its age.
    pub forced: bool,
}

impl Event for MessageExpired<'_> {
    fn line(&self, out: &mut String) {
        let forced = if self.forced { "force-" } else { "" };
        let sender = self.sender.to_external();
        let _ = write!(
            out,
            "{}: from=<{}>, status={forced}expired, returned to sender",
            self.queue_id,
            Escaped(&sender)
        );
    }
}

/// A message was put on hold because it was in delivery at several crashes.
#[derive(Debug)]
pub struct MessageSuspect<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// At how many crashes.
    pub crashes: u8,
}

impl Event for MessageSuspect<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: in delivery at {} crashes in a row", self.queue_id, self.crashes);
        out.push_str(", is now tried alone");
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &impl Event) -> String {
        let mut out = String::new();
        event.line(&mut out);
        out
    }

    #[test]
    fn the_lines_have_postfixs_shapes() {
        let queue_id = QueueId::parse("9F01A1C0051").unwrap();
        let ann = Address::from("ann smith@example.org");
        assert_eq!(
            line(&MessageActive { queue_id: &queue_id, sender: &ann, size: 1432, recipients: 1 }),
            "9F01A1C0051: from=<\"ann smith\"@example.org>, size=1432, nrcpt=1 (queue active)"
        );
        assert_eq!(
            line(&MessageActive { queue_id: &queue_id, sender: &Address::null(), size: 7, recipients: 2 }),
            "9F01A1C0051: from=<>, size=7, nrcpt=2 (queue active)"
        );
        assert_eq!(line(&MessageRemoved { queue_id: &queue_id }), "9F01A1C0051: removed");
        let mut expired =
            MessageExpired { queue_id: &queue_id, sender: &Address::from("a@b"), forced: false };
        assert_eq!(line(&expired), "9F01A1C0051: from=<a@b>, status=expired, returned to sender");
        expired.forced = true;
        assert_eq!(line(&expired), "9F01A1C0051: from=<a@b>, status=force-expired, returned to sender");
    }
}
