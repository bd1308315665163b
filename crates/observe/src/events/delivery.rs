//! Log lines of delivery: `4XyZ1: to=<ann@example.org>, relay=…, delay=…, delays=…, dsn=…, status=… (…)`.

use crate::counters::Counter;
use crate::event::Event;
use mail::{Address, Dsn, Purpose, QueueId, Status, format_delay};
use std::fmt::Write as _;
use std::time::Duration;

/// A recipient's result, of whatever agent.
///
/// Postfix: `%s: to=<%s>, orig_to=<%s>, relay=%s, conn_use=%d, delay=…, delays=a/b/c/d, dsn=%s, status=%s (%s)`.
#[derive(Debug)]
pub struct DeliveryEnded<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// Where the mail went.
    pub recipient: &'a Address,
    /// Where it was sent before rewriting; logged where it differs, by more than case.
    pub original: &'a Address,
    /// `host[address]:port`, `local`, `virtual`, `none`, …
    pub relay: &'a str,
    /// How many messages the connection has carried, this one included; logged from 2 on.
    pub conn_use: u32,
    /// From arrival until now.
    pub delay: Duration,
    /// Before the active queue, in it, setting up the connection, delivering.
    pub delays: [Duration; 4],
    /// `delay_logging_resolution_limit`.
    pub delay_decimals: u32,
    /// Enhanced code.
    pub dsn: Dsn,
    /// Whether it was delivered, or only asked what a delivery would come to.
    pub purpose: Purpose,
    /// The result.
    pub status: Status,
    /// `address_verify_negative_cache = no`: that an address cannot get mail is not remembered.
    pub forgets_failures: bool,
    /// `soft_bounce` turned a failure for good into a temporary one.
    pub soft_bounce: bool,
    /// What the other side said, or what was found.
    pub reason: &'a str,
}

impl Event for DeliveryEnded<'_> {
    fn line(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}: to=<{}>", self.queue_id, self.recipient);
        let (to, from) = (self.recipient.as_bytes(), self.original.as_bytes());
        if !from.is_empty() && !from.eq_ignore_ascii_case(to) {
            let _ = write!(out, ", orig_to=<{}>", self.original);
        }
        let _ = write!(out, ", relay={}", self.relay);
        if self.conn_use > 1 {
            let _ = write!(out, ", conn_use={}", self.conn_use);
        }
        let _ = write!(out, ", delay={}, delays=", format_delay(self.delay, self.delay_decimals));
        for (i, part) in self.delays.iter().enumerate() {
            let slash = if i == 0 { "" } else { "/" };
            let _ = write!(out, "{slash}{}", format_delay(*part, self.delay_decimals));
        }
        let _ = write!(out, ", dsn={}, status={} ({})", self.dsn, self.word(), self.reason);
    }

    fn count(&self) {
        match self.status {
            _ if !self.purpose.delivers() => Counter::DeliveryProbes.one(),
            Status::Sent => Counter::DeliverySent.one(),
            Status::Deferred => Counter::DeliveryDeferred.one(),
            Status::Bounced => Counter::DeliveryBounced.one(),
        }
    }
}

impl DeliveryEnded<'_> {
    fn word(&self) -> &'static str {
        match self.status {
            Status::Sent if !self.purpose.delivers() => "deliverable",
            _ if self.purpose == Purpose::Verification && self.forgets_failures => {
                "undeliverable-but-not-cached"
            }
            _ if !self.purpose.delivers() => "undeliverable",
            _ if self.soft_bounce => "SOFTBOUNCE",
            Status::Sent => "sent",
            Status::Deferred => "deferred",
            Status::Bounced => "bounced",
        }
    }
}

/// An address that could not be connected to; another may follow: `connect to H[A]:25: Connection refused`.
#[derive(Debug)]
pub struct ConnectFailed<'a> {
    /// The whole text.
    pub reason: &'a str,
}

impl Event for ConnectFailed<'_> {
    fn line(&self, out: &mut String) {
        out.push_str(self.reason);
    }
}

/// A server could not take the message now, and another is tried: `QID: host H[A] said: …`.
#[derive(Debug)]
pub struct ServerPassedOver<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// What the server said, or how it was lost.
    pub reason: &'a str,
}

impl Event for ServerPassedOver<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: {}", self.queue_id, self.reason);
    }
}

/// An agent leaves a recipient to another one: `QID: passing <ann@example.org> to transport=virtual`.
#[derive(Debug)]
pub struct Passed<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// Where the mail goes.
    pub recipient: &'a Address,
    /// The other agent's transport.
    pub transport: &'a str,
}

impl Event for Passed<'_> {
    fn line(&self, out: &mut String) {
        let _ =
            write!(out, "{}: passing <{}> to transport={}", self.queue_id, self.recipient, self.transport);
    }
}

/// Lines were too long for SMTP and became several: `QID: breaking line > 998 bytes with <CR><LF>SPACE`.
#[derive(Debug)]
pub struct LinesBroken<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// `smtp_line_length_limit`.
    pub limit: usize,
}

impl Event for LinesBroken<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{}: breaking line > {} bytes with <CR><LF>SPACE", self.queue_id, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_recipient_has_postfixs_shape() {
        let (queue_id, ann) = (QueueId::parse("4XyZ1").unwrap(), Address::from("ann@example.org"));
        let mut event = DeliveryEnded {
            queue_id: &queue_id,
            recipient: &ann,
            original: &Address::from("Ann@Example.org"),
            relay: "mx.example.org[192.0.2.7]:25",
            conn_use: 1,
            delay: Duration::from_millis(1210),
            delays: [50, 10, 810, 340].map(Duration::from_millis),
            delay_decimals: 2,
            dsn: Dsn::new(2, 0, 0),
            purpose: Purpose::Delivery,
            status: Status::Sent,
            forgets_failures: false,
            soft_bounce: false,
            reason: "250 2.0.0 Ok: queued as 6D1F2",
        };
        let mut line = String::new();
        event.line(&mut line);
        assert_eq!(
            line,
            "4XyZ1: to=<ann@example.org>, relay=mx.example.org[192.0.2.7]:25, delay=1.2, \
             delays=0.05/0.01/0.81/0.34, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 6D1F2)"
        );

        let list = Address::from("list@example.org");
        event.original = &list;
        event.conn_use = 3;
        event.soft_bounce = true;
        line.clear();
        event.line(&mut line);
        assert!(line.contains(">, orig_to=<list@example.org>, relay="), "{line}");
        assert!(line.contains(":25, conn_use=3, delay=") && line.contains("status=SOFTBOUNCE ("), "{line}");

        event.purpose = Purpose::Verification;
        for (status, forgets, word) in [
            (Status::Sent, true, "deliverable"),
            (Status::Deferred, false, "undeliverable"),
            (Status::Bounced, true, "undeliverable-but-not-cached"),
        ] {
            (event.status, event.forgets_failures) = (status, forgets);
            line.clear();
            event.line(&mut line);
            assert!(line.contains(&format!("status={word} (")), "{line}");
        }
    }
}
