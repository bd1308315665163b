//! Whom reports go to: tables make other recipients of an address, as of every recipient of new mail.
//!
//! Postfix's bounce service hands its reports to cleanup, which asks canonical and alias tables. A table may have to be
//! waited for; then the message whose round is over waits here, and nothing else does.

use super::{Active, Driver, verp_delimiters};
use crate::route::Following;
use crate::spool::Spool;
use mail::{Address, Recipient, Timestamp, verp_sender};
use queue::MessageKey;
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

/// What addresses have become; nothing where a table cannot be asked.
pub(super) type Followed = HashMap<Address, Option<Vec<Address>>>;

/// A message whose round is over, while tables are asked whom reports on it go to.
pub(super) struct Concluding {
    key: MessageKey,
    message: Active,
    asked: Vec<(Address, Following)>,
    known: Followed,
}

impl Concluding {
    pub fn key(&self) -> MessageKey {
        self.key
    }

    /// Whether all answers are here; otherwise `context` is woken when a table has answered.
    pub fn is_known(&mut self, context: &mut Context<'_>) -> bool {
        let known = &mut self.known;
        self.asked.retain_mut(|(address, following)| match following.as_mut().poll(context) {
            Poll::Ready(found) => {
                known.insert(address.clone(), found);
                false
            }
            Poll::Pending => true,
        });
        self.asked.is_empty()
    }
}

impl<S: Spool> Driver<S> {
    /// Deals with a message whose round is over, once it is known whom reports go to.
    pub(super) fn conclude(&mut self, key: MessageKey, message: Active, now: Timestamp) {
        let ask = |address: Address| Some((address.clone(), self.router.following(address)?));
        let asked = self.readers(&message, now).into_iter().filter_map(ask).collect();
        let mut concluding = Concluding { key, message, asked, known: Followed::new() };
        match concluding.is_known(&mut Context::from_waker(Waker::noop())) {
            true => self.conclude_with(concluding, now),
            false => self.concluding.push(concluding),
        }
    }

    /// Deals with those whose answers have come meanwhile.
    pub(super) fn conclude_known(&mut self, now: Timestamp) {
        let mut context = Context::from_waker(Waker::noop());
        for mut concluding in std::mem::take(&mut self.concluding) {
            match concluding.is_known(&mut context) {
                true => self.conclude_with(concluding, now),
                false => self.concluding.push(concluding),
            }
        }
    }

    fn conclude_with(&mut self, concluding: Concluding, now: Timestamp) {
        let Concluding { key, message, known, .. } = concluding;
        self.followed = known;
        self.finish(key, message, now);
        self.followed.clear();
        if self.revisit.remove(&key) {
            self.scheduler.wait(key, now);
        }
    }

    pub(super) fn is_concluding(&self, key: MessageKey) -> bool {
        self.concluding.iter().any(|message| message.key == key)
    }

    /// Who may get a report on a message.
    fn readers(&self, message: &Active, now: Timestamp) -> Vec<Address> {
        let envelope = &message.envelope;
        let left = message.done.iter().any(|done| !done);
        let late = envelope.warn_at.is_some_and(|at| at <= now);
        let expired = envelope.force_expire
            || self.settings.scheduler.expired(now, envelope.created, envelope.sender.is_null());
        if message.failed.is_empty() && message.reported.is_empty() && !(left && (late || expired)) {
            return Vec::new();
        }
        let mut readers = self.bounce.postmasters();
        match verp_delimiters(envelope) {
            _ if envelope.sender.is_null() => {}
            Some(delimiters) => {
                readers.extend(message.failed.iter().chain(message.deferred.values()).map(|o| {
                    let recipient = &envelope.recipients[o.index as usize].address;
                    let recipient = message.rewritten.get(&o.index).unwrap_or(recipient);
                    verp_sender(&envelope.sender, recipient, delimiters)
                }))
            }
            None => {}
        }
        if !envelope.sender.is_null() {
            readers.push(envelope.sender.clone());
        }
        readers.sort();
        readers.dedup();
        readers
    }

    /// The recipients of a report in place of those that it was written for; nothing where a table cannot be asked.
    pub(super) fn followed(&self, recipients: Vec<Recipient>) -> Option<Vec<Recipient>> {
        let mut all = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            match self.followed.get(&recipient.address) {
                None => all.push(recipient),
                Some(None) => return None,
                Some(Some(addresses)) => all
                    .extend(addresses.iter().map(|a| Recipient { address: a.clone(), ..recipient.clone() })),
            }
        }
        Some(all)
    }
}
