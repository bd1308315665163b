//! From a message that waits to one that is active: it is read, its ways are found, it goes to its destinations' lists.
//!
//! A way may have to be asked of a server. So a message that is pulled becomes a future that gives it back with its
//! ways; most are ready at once, the others are asked again whenever a table has answered.

use super::{Active, Driver, verp_delimiters};
use crate::route::{self, Circumstances, Ways};
use crate::scheduler::{Activated, Pulled};
use crate::spool::Spool;
use mail::{Dsn, Envelope, JobId, Origin, Outcome, Purpose, Status, Timestamp};
use observe::events::qmgr::{MessageActive, MessageSuspect};
use queue::{MessageKey, NewMessage, Place};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Messages whose ways are looked for at once. They hold their content in memory; beyond them mail waits where it is.
pub(super) const ROUTING_MAX: usize = 500;

/// Bytes of content kept in memory for messages that wait in the active queue; beyond it they are read again
/// when their turn comes.
const CONTENT_KEPT: u64 = 64 << 20;

/// At so many crashes in a row a message is tried when nothing else is.
const ALONE_FROM: u8 = 2;

/// A message whose ways are looked for.
pub(super) struct Routed {
    pulled: Pulled<MessageKey>,
    ways: Pin<Box<dyn Future<Output = (NewMessage, Ways)>>>,
    found: Option<(NewMessage, Ways)>,
}

impl Routed {
    pub fn key(&self) -> MessageKey {
        self.pulled.key
    }

    /// Whether all ways are known; otherwise `context` is woken when a table has answered.
    fn is_found(&mut self, context: &mut Context<'_>) -> bool {
        if self.found.is_none()
            && let Poll::Ready(found) = self.ways.as_mut().poll(context)
        {
            self.found = Some(found);
        }
        self.found.is_some()
    }
}

impl<S: Spool> Driver<S> {
    /// Returns when the ways of a message were found that had to be waited for, or the readers of reports on one, or the
    /// recipients of a probe; never where there is none.
    pub async fn routed(&mut self) {
        std::future::poll_fn(|context| {
            let found = self.routing.iter_mut().filter_map(|m| m.is_found(context).then_some(())).count();
            let known = self.concluding.iter_mut().filter_map(|m| m.is_known(context).then_some(())).count();
            let probes = self.probing.iter_mut().filter_map(|p| p.is_known(context).then_some(())).count();
            if found + known + probes > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether the ways of this message are being looked for.
    pub(super) fn is_routing(&self, key: MessageKey) -> bool {
        self.routing.iter().any(|message| message.key() == key)
    }

    /// Whether the message is active, or about to be.
    pub(super) fn is_busy(&self, key: MessageKey) -> bool {
        self.scheduler.is_active(key) || self.is_routing(key) || self.is_concluding(key)
    }

    /// Makes the messages active whose ways were found meanwhile.
    pub(super) fn activate_routed(&mut self, now: Timestamp) {
        let mut context = Context::from_waker(Waker::noop());
        let mut found = Vec::new();
        for mut message in std::mem::take(&mut self.routing) {
            match message.is_found(&mut context) {
                true => found.push(message),
                false => self.routing.push(message),
            }
        }
        for Routed { pulled, found, .. } in found {
            if let Some((message, ways)) = found {
                self.enter(pulled, message, ways, now);
            }
        }
    }

    /// Reads a message and looks for its ways.
    pub(super) fn activate(&mut self, pulled: Pulled<MessageKey>, now: Timestamp) {
        let Some(message) = self.read(pulled.key, now) else { return };
        let (router, hand) = (self.router.clone(), self.hand.clone());
        let too_many_probes = self.probes >= self.settings.probes_max;
        let circumstances = Circumstances { flushed: pulled.flushed, too_many_probes };
        let ways = Box::pin(route::routes(message, circumstances, router, hand, self.settings.clone()));
        let mut message = Routed { pulled, ways, found: None };
        message.is_found(&mut Context::from_waker(Waker::noop()));
        match message.found.take() {
            Some((message, ways)) => self.enter(pulled, message, ways, now),
            None => self.routing.push(message),
        }
    }

    fn read(&mut self, key: MessageKey, now: Timestamp) -> Option<NewMessage> {
        if let Some(message) = self.fresh.remove(&key) {
            return Some(message);
        }
        match self.spool.load(key) {
            Ok(Some(message)) if message.place != Place::Hold => Some(message),
            // Other hands removed it or put it on hold.
            Ok(_) => None,
            Err(error) => {
                let text = format_args!("cannot read a queued message: {error}; will try again");
                observe::warn(&self.tag, text);
                self.scheduler.wait(key, now.after(self.settings.scheduler.minimal_backoff));
                None
            }
        }
    }

    /// Puts a message with its ways into the lists of its destinations.
    fn enter(&mut self, pulled: Pulled<MessageKey>, message: NewMessage, ways: Ways, now: Timestamp) {
        let key = pulled.key;
        let NewMessage { queue_id, mut envelope, mut done, content, crashes, retry_at, .. } = message;
        let Ways { routed, dropped, redirected, unserved } = ways;
        self.warn_of_unserved(unserved, now);
        let rewritten = routed
            .iter()
            .filter(|r| r.recipient != envelope.recipients[r.route.index as usize].address)
            .map(|r| (r.route.index, r.recipient.clone()))
            .collect();
        let routes: Vec<_> = routed.into_iter().map(|r| r.route).collect();
        let bad_verp = self.take_bad_verp(&mut envelope);
        let alone = crashes >= ALONE_FROM;
        let pulled = Pulled { single: verp_delimiters(&envelope).is_some(), ..pulled };
        if self.scheduler.activate(pulled, &routes, alone, now) == Activated::Parked {
            return;
        }
        let (bytes, size) = (content.size, content.queue_size());
        let content = content.with_queue_size(size);
        observe::emit(
            &self.tag,
            &MessageActive {
                queue_id: &queue_id,
                sender: &envelope.sender,
                size,
                recipients: envelope.recipients.len(),
            },
        );
        if let Some(bad) = bad_verp {
            observe::warn(&self.tag, format_args!("{queue_id}: ignoring bad VERP request: \"{bad}\""));
        }
        if alone {
            observe::emit(&self.tag, &MessageSuspect { queue_id: &queue_id, crashes });
        }
        for (index, recipient) in dropped {
            done[index as usize] = true;
            self.drop_recipient(key, &queue_id, &envelope, (index, &recipient), now);
        }
        for index in redirected {
            done[index as usize] = true;
            self.record_dropped(key, index, "redirected to one other address");
        }
        let keep = content.pieces().is_none() || self.content_kept + bytes <= CONTENT_KEPT;
        self.content_kept += if keep && content.pieces().is_some() { bytes } else { 0 };
        let was_late = self.was_late(&envelope, now);
        // In the first round; later the sender knows.
        let reported = if retry_at.is_none() { expanded(&envelope) } else { Vec::new() };
        let purpose = Purpose::of(&envelope);
        self.probes += usize::from(purpose == Purpose::Verification);
        let active = Active {
            purpose,
            told: (retry_at.is_none() && tells(purpose)).then(Vec::new),
            origin: Arc::new(Origin::of(&envelope, &queue_id)),
            queue_id,
            envelope,
            content: keep.then_some(content),
            done,
            size,
            active_at: now,
            rewritten,
            attempted: false,
            was_late,
            failed: Vec::new(),
            deferred: HashMap::new(),
            reported,
        };
        self.active.insert(key, active);
    }

    /// Takes delimiters of VERP out of an envelope that are not allowed (`verp_delimiter_filter`).
    fn take_bad_verp(&self, envelope: &mut Envelope) -> Option<String> {
        let filter = self.settings.verp_delimiter_filter.as_bytes();
        let bad = verp_delimiters(envelope).filter(|both| !both.iter().all(|b| filter.contains(b)))?;
        let bad = String::from_utf8_lossy(bad).into_owned();
        envelope.attributes.retain(|(name, _)| name != "V");
        Some(bad)
    }

    /// Whether the sender was told that this message is late, and is to be told that it no longer is.
    fn was_late(&self, envelope: &Envelope, now: Timestamp) -> bool {
        let told = |after| envelope.warn_at.is_none() && envelope.arrival.after(after) <= now;
        !envelope.sender.is_null() && self.settings.confirm_after.is_some_and(told)
    }
}

/// Whether the sender is told what became of every recipient.
fn tells(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::Forecast | Purpose::ToldDelivery)
}

/// What is to be told of aliases that were followed (RFC 3461 5.2.7.3).
fn expanded(envelope: &Envelope) -> Vec<Outcome> {
    let told = |index| Outcome::new(JobId(0), index, Status::Sent, Dsn::new(2, 0, 0), "alias expanded");
    let first = envelope.recipients.len() as u32;
    (0u32..).zip(envelope.expanded()).map(|(place, _)| told(first + place)).collect()
}
