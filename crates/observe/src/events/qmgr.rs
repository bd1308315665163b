//! Log lines of qmgr.

use crate::Escaped;
use crate::counters::Counter;
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

    fn count(&self) {
        Counter::QmgrRemoved.one();
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

/// A destination fills the active queue: `mail for example.org is using up 5000 of 20000 active queue entries`.
#[derive(Debug)]
pub struct DestinationClogged<'a> {
    /// Where its mail goes.
    pub nexthop: &'a str,
    /// Its delivery requests.
    pub entries: usize,
    /// Active messages.
    pub active: usize,
}

impl Event for DestinationClogged<'_> {
    fn line(&self, out: &mut String) {
        let Self { nexthop, entries, active } = self;
        let nexthop = Escaped(nexthop.as_bytes());
        let _ = write!(out, "mail for {nexthop} is using up {entries} of {active} active queue entries");
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// What may help against a destination that fills the active queue; behind [`DestinationClogged`].
#[derive(Debug)]
pub struct ClogAdvice<'a> {
    /// Its transport.
    pub transport: &'a str,
    /// Its concurrency limit, where it has reached that.
    pub at_limit: Option<u32>,
}

impl Event for ClogAdvice<'_> {
    fn line(&self, out: &mut String) {
        let transport = Escaped(self.transport.as_bytes());
        let _ = match self.at_limit {
            Some(limit) => write!(
                out,
                "it has all {limit} deliveries at a time that {transport}_destination_concurrency_limit allows"
            ),
            None => write!(
                out,
                "it answers slowly or not at all; shorter {transport} connect and helo timeouts, or a transport \
                 of its own in master.cf, keep other mail moving"
            ),
        };
        out.push_str("; qmgr_clog_warn_time = 0 ends these warnings");
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// How a destination's concurrency stands after a result (`destination_concurrency_feedback_debug`).
#[derive(Debug)]
pub struct WindowMoved<'a> {
    /// The destination.
    pub destination: &'a str,
    /// The result was a good one.
    pub succeeded: bool,
    /// Its limit; 0 for none.
    pub limit: u32,
    /// Deliveries at a time; 0 where the destination is dead.
    pub size: u32,
    /// Successes, failures and failed cohorts that count toward the next step.
    pub counts: [f64; 3],
}

impl Event for WindowMoved<'_> {
    fn line(&self, out: &mut String) {
        let [success, failure, cohorts] = self.counts.map(Short);
        let _ = write!(
            out,
            "{}: queue {}: limit {} window {} success {success} failure {failure} fail_cohorts {cohorts}",
            word(self.succeeded),
            Escaped(self.destination.as_bytes()),
            self.limit,
            self.size,
        );
    }
}

/// The step that a result makes, before [`WindowMoved`].
#[derive(Debug)]
pub struct WindowStep {
    /// The result was a good one.
    pub succeeded: bool,
    /// By how much it moves the concurrency.
    pub step: f64,
}

impl Event for WindowStep {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: feedback {}", word(self.succeeded), Short(self.step));
    }
}

/// What these lines begin with in Postfix, where tools may look for them.
fn word(succeeded: bool) -> &'static str {
    if succeeded { "qmgr_queue_unthrottle" } else { "qmgr_queue_throttle" }
}

/// A number with at most six significant digits.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let magnitude = if self.0 == 0.0 { 0 } else { self.0.abs().log10().floor() as i32 };
        let decimals = usize::try_from(5 - magnitude).unwrap_or(0);
        let text = format!("{:.*}", decimals, self.0);
        f.write_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
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

    #[test]
    fn windows_are_told_with_six_digits() {
        let moved = WindowMoved {
            destination: "example.org",
            succeeded: false,
            limit: 20,
            size: 0,
            counts: [0.0, 1.0, 1.0 / 5.0 + 1.0 / 3.0 + 1.0 / 2.0],
        };
        assert_eq!(
            line(&moved),
            "qmgr_queue_throttle: queue example.org: limit 20 window 0 success 0 failure 1 fail_cohorts 1.03333"
        );
        assert_eq!(
            line(&WindowStep { succeeded: true, step: 8.0 / 15.0 }),
            "qmgr_queue_unthrottle: feedback 0.533333"
        );
    }

    #[test]
    fn a_clogged_destination_is_named_with_what_may_help() {
        let clogged = DestinationClogged { nexthop: "example.org", entries: 5000, active: 20_000 };
        assert_eq!(line(&clogged), "mail for example.org is using up 5000 of 20000 active queue entries");
        let at_limit = ClogAdvice { transport: "smtp", at_limit: Some(20) };
        assert!(line(&at_limit).starts_with("it has all 20 deliveries"), "{}", line(&at_limit));
        let slow = ClogAdvice { transport: "smtp", at_limit: None };
        assert!(line(&slow).contains("shorter smtp connect and helo timeouts"), "{}", line(&slow));
    }
}
