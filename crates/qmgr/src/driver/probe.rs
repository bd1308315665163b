//! Probes: messages that find out whether an address can get mail, made here and never deferred.
//!
//! Postfix's verify service hands its probes to cleanup, which asks canonical and alias tables. A table may have to be
//! waited for; then the address waits here, and nothing else does.

use super::Driver;
use super::tell::OwnDelivery;
use crate::route::Addressing;
use crate::spool::Spool;
use bounce::{Addressed, Heading};
use mail::{Address, FailedPart, Outcome, Purpose, Stamps, Status, Timestamp};
use queue::{MessageKey, Record};
use std::task::{Context, Poll, Waker};
use verify::Finding;

/// An address to be asked about, while tables are asked what becomes of it.
pub(super) struct Probing {
    heading: Heading,
    addressing: Addressing,
    found: Option<Option<Addressed>>,
}

impl Probing {
    /// Whether the tables have answered; otherwise `context` is woken when one has.
    pub fn is_known(&mut self, context: &mut Context<'_>) -> bool {
        if self.found.is_none()
            && let Poll::Ready(found) = self.addressing.as_mut().poll(context)
        {
            self.found = Some(found);
        }
        self.found.is_some()
    }
}

impl<S: Spool> Driver<S> {
    /// Has a probe of an address sent.
    pub fn probe(&mut self, address: Address, now: Timestamp) {
        let sender = self.desk.sender(seconds(now));
        let from = if sender.is_null() { "MAILER-DAEMON".to_owned() } else { sender.to_string() };
        let heading = Heading::new(sender, address, &from);
        match self.router.addressed(heading.clone()) {
            Some(addressing) => self.probing.push(Probing { heading, addressing, found: None }),
            None => self.send_probe(&heading.recipient, heading.as_written(), now),
        }
    }

    /// Sends the probes whose recipients are known meanwhile.
    pub(super) fn send_probes(&mut self, now: Timestamp) {
        let mut context = Context::from_waker(Waker::noop());
        for mut probing in std::mem::take(&mut self.probing) {
            match probing.is_known(&mut context) {
                true => match probing.found {
                    Some(Some(addressed)) => self.send_probe(&probing.heading.recipient, addressed, now),
                    // Who asks then has another one sent.
                    _ => self.desk.lost(&name(&probing.heading.recipient)),
                },
                false => self.probing.push(probing),
            }
        }
    }

    fn send_probe(&mut self, address: &Address, mut addressed: Addressed, now: Timestamp) {
        let id = self.spool.new_id(now);
        if addressed.recipients.len() > 1 {
            // Whoever they are, the address exists.
            const REASON: &str = "aliased to multiple recipients";
            let stamps = Stamps { arrival: now, active: now, handed_off: now, connected: None };
            let own = OwnDelivery { stamps, purpose: Purpose::Verification, reason: REASON };
            self.log_own(&self.cleanup_tag, &id, (address, address), own);
            self.desk.found(&name(address), Finding::Deliverable, REASON, seconds(now));
            addressed.recipients.clear();
        }
        let probe = self.bounce.probe(&addressed, (&id, now));
        match self.spool.bounce(None, id, probe.envelope, vec![probe.content], probe.flags) {
            Ok(new) => {
                let line = format_args!("{}: message-id={}", new.queue_id, probe.message_id);
                observe::info(&self.cleanup_tag, line);
                self.arrived(new, now);
            }
            Err(error) => {
                observe::warn(&self.tag, format_args!("cannot queue a probe of <{address}>: {error}"));
                self.desk.lost(&name(address));
            }
        }
    }

    /// Takes what became of a recipient that is only asked about: it is done, whatever that is.
    pub(super) fn found_out(&mut self, key: MessageKey, outcome: Outcome, now: Timestamp) {
        let Some(message) = self.active.get(&key) else { return };
        if message.purpose == Purpose::Verification {
            let finding = match outcome.status {
                Status::Sent => Finding::Deliverable,
                Status::Deferred => Finding::Undetermined,
                Status::Bounced => Finding::Undeliverable,
            };
            let recipient = &message.envelope.recipients[outcome.index as usize];
            self.desk.found(&name(&recipient.original), finding, &outcome.reason, seconds(now));
            if recipient.address != recipient.original {
                self.desk.found(&name(&recipient.address), finding, &outcome.reason, seconds(now));
            }
        }
        let outcome = Outcome { status: Status::Sent, ..outcome };
        self.spool.record(Record::Outcome { key, outcome });
    }
}

/// What became of a recipient, for each that it became.
pub(super) fn each(outcome: &Outcome) -> Vec<Outcome> {
    if outcome.parts.is_empty() {
        return vec![outcome.clone()];
    }
    let of_part = |part: &FailedPart| Outcome {
        status: part.status,
        dsn: part.dsn,
        reason: part.reason.clone(),
        parts: vec![part.clone()],
        ..outcome.clone()
    };
    outcome.parts.iter().map(of_part).collect()
}

/// What the desk knows an address by.
fn name(address: &Address) -> String {
    String::from_utf8_lossy(address.as_bytes()).into_owned()
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.secs()).unwrap_or_default()
}
