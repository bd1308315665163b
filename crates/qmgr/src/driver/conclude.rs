//! Which reports a message is due when its round is over, and whom they go to.
//!
//! Postfix's bounce service hands its reports to cleanup, which asks canonical and alias tables. A table may have to be
//! waited for; then the message whose round is over waits here, and nothing else does.

use super::{Active, Driver, verp_delimiters};
use crate::route::Addressing;
use crate::spool::Spool;
use bounce::{Addressed, Addressee, Heading, ReportKind};
use mail::{Address, Outcome, Status, Timestamp, verp_sender};
use observe::events::qmgr::MessageExpired;
use queue::MessageKey;
use std::borrow::Cow;
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

/// What the addresses of reports have become; nothing where a table cannot be asked.
type Known = HashMap<Heading, Option<Addressed>>;

/// Reports on some outcomes of a message.
pub(super) struct Due {
    pub kind: ReportKind,
    pub outcomes: Vec<Outcome>,
    /// Who gets one, and what addresses it is written with.
    pub to: Vec<(Addressee, Heading)>,
}

/// A message whose round is over, while tables are asked whom reports on it go to.
pub(super) struct Concluding {
    pub key: MessageKey,
    pub message: Active,
    pub due: Vec<Due>,
    asked: Vec<(Heading, Addressing)>,
    known: Known,
}

impl Concluding {
    /// Whether all answers are here; otherwise `context` is woken when a table has answered.
    pub fn is_known(&mut self, context: &mut Context<'_>) -> bool {
        let known = &mut self.known;
        self.asked.retain_mut(|(heading, addressing)| match addressing.as_mut().poll(context) {
            Poll::Ready(found) => {
                known.insert(heading.clone(), found);
                false
            }
            Poll::Pending => true,
        });
        self.asked.is_empty()
    }

    /// The addresses that a report goes out with; nothing where tables cannot be asked.
    pub fn addressed(&self, heading: &Heading) -> Option<Addressed> {
        match self.known.get(heading) {
            Some(found) => found.clone(),
            None => Some(heading.as_written()),
        }
    }
}

impl<S: Spool> Driver<S> {
    /// Deals with a message whose round is over, once it is known whom reports go to.
    pub(super) fn conclude(&mut self, key: MessageKey, mut message: Active, now: Timestamp) {
        self.expire(&mut message, now);
        let due = self.due(&mut message, now);
        let mut asked: Vec<(Heading, Addressing)> = Vec::new();
        for (_, heading) in due.iter().flat_map(|due| &due.to) {
            if asked.iter().all(|(known, _)| known != heading) {
                let addressing = self.router.addressed(heading.clone());
                asked.extend(addressing.map(|addressing| (heading.clone(), addressing)));
            }
        }
        let mut concluding = Concluding { key, message, due, asked, known: Known::new() };
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
        let key = concluding.key;
        self.finish(concluding, now);
        if self.revisit.remove(&key) {
            self.scheduler.wait(key, now);
        }
    }

    pub(super) fn is_concluding(&self, key: MessageKey) -> bool {
        self.concluding.iter().any(|message| message.key == key)
    }

    /// Gives up what was in the queue for too long.
    fn expire(&self, message: &mut Active, now: Timestamp) {
        let envelope = &message.envelope;
        let expired = envelope.force_expire
            || self.settings.scheduler.expired(now, envelope.created, envelope.sender.is_null());
        if expired && message.done.iter().any(|done| !done) {
            let (queue_id, sender) = (&message.queue_id, &envelope.sender);
            observe::emit(&self.tag, &MessageExpired { queue_id, sender, forced: envelope.force_expire });
            // Those that were tried in this round; the others had no chance and get one.
            for (index, outcome) in std::mem::take(&mut message.deferred) {
                message.done[index as usize] = true;
                message.failed.push(Outcome { status: Status::Bounced, ..outcome });
            }
        }
        message.failed.sort_by_key(|outcome| outcome.index);
    }

    /// The reports that a message is due.
    fn due(&self, message: &mut Active, now: Timestamp) -> Vec<Due> {
        let (owned, failed) = of_owners(std::mem::take(&mut message.failed));
        let message = &*message;
        let envelope = &message.envelope;
        let mut due = Vec::new();
        let mut add = |kind, outcomes: &[Outcome]| {
            let verp = kind == ReportKind::Failure && !self.settings.disable_verp_bounces;
            let returns = return_address(message, verp, outcomes);
            let to = bounce::addressees(&self.bounce, kind, (envelope, &returns), outcomes);
            let heading = |to: Addressee| {
                let heading = self.bounce.heading(kind, to.reader, to.address.clone());
                (to, heading)
            };
            let to = to.into_iter().map(heading).collect();
            due.push(Due { kind, outcomes: outcomes.to_vec(), to });
        };
        // With VERP each sender address is told of its own recipient.
        let verp = verp_delimiters(envelope).is_some() && !self.settings.disable_verp_bounces;
        let together = if verp { 1 } else { failed.len().max(1) };
        for failed in failed.chunks(together).chain(owned.iter().map(std::slice::from_ref)) {
            add(ReportKind::Failure, failed);
        }
        if !message.reported.is_empty() {
            add(ReportKind::Success, &message.reported);
        }
        if let Some(told) = message.told.as_ref().filter(|told| !told.is_empty()) {
            let delivers = message.purpose.delivers();
            add(if delivers { ReportKind::Attempt } else { ReportKind::Probe }, told);
        }
        if message.done.iter().any(|done| !done) && envelope.warn_at.is_some_and(|at| at <= now) {
            let mut late: Vec<Outcome> = message.deferred.values().cloned().collect();
            late.sort_by_key(|outcome| outcome.index);
            add(ReportKind::Delay, &late);
        }
        due
    }
}

/// Failures that a list's owner is told of, each by itself, and all others. One outcome may become several.
fn of_owners(failed: Vec<Outcome>) -> (Vec<Outcome>, Vec<Outcome>) {
    let (mut owned, mut others) = (Vec::new(), Vec::new());
    for mut outcome in failed {
        let parts = std::mem::take(&mut outcome.parts);
        let (of_owners, rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.owner.is_some());
        let all_owned = rest.is_empty() && !of_owners.is_empty();
        let report = |part| Outcome { parts: vec![part], ..outcome.clone() };
        owned.extend(of_owners.into_iter().map(report));
        if !all_owned {
            others.push(Outcome { parts: rest, ..outcome });
        }
    }
    (owned, others)
}

/// Who gets a report: a list's owner; where `verp` holds, the sender that names the one recipient.
fn return_address<'a>(message: &'a Active, verp: bool, outcomes: &[Outcome]) -> Cow<'a, Address> {
    let envelope = &message.envelope;
    let owner = |outcome: &Outcome| outcome.parts.first().and_then(|part| part.owner.clone());
    if let Some(owner) = outcomes.first().and_then(owner) {
        return Cow::Owned(owner);
    }
    let (Some(delimiters), true, [outcome]) = (verp_delimiters(envelope), verp, outcomes) else {
        return Cow::Borrowed(&envelope.sender);
    };
    let recipient = message.rewritten.get(&outcome.index);
    let recipient = recipient.unwrap_or(&envelope.recipients[outcome.index as usize].address);
    Cow::Owned(verp_sender(&envelope.sender, recipient, delimiters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Dsn, FailedPart, JobId};

    #[test]
    fn what_failed_of_a_list_goes_to_its_owner_and_the_rest_to_the_sender() {
        let part = |address: &str, owner: Option<&str>| FailedPart {
            address: Address::from(address),
            status: Status::Bounced,
            dsn: Dsn::new(5, 1, 1),
            reason: String::new(),
            diagnostic: None,
            expanded_is_told: true,
            owner: owner.map(Address::from),
        };
        let outcome = |index, parts| Outcome {
            parts,
            ..Outcome::new(JobId(1), index, Status::Bounced, Dsn::new(5, 1, 1), "x")
        };
        let list = outcome(0, vec![part("a", Some("owner")), part("b", None), part("c", Some("owner"))]);
        let all_of_owner = outcome(1, vec![part("d", Some("owner"))]);
        let (owned, others) = of_owners(vec![list, all_of_owner, outcome(2, vec![])]);
        let told = |outcomes: &[Outcome]| -> Vec<(u32, String)> {
            let names =
                |o: &Outcome| o.parts.iter().map(|p| p.address.to_string()).collect::<Vec<_>>().join(" ");
            outcomes.iter().map(|o| (o.index, names(o))).collect()
        };
        let expect =
            |list: &[(u32, &str)]| list.iter().map(|(i, n)| (*i, (*n).to_owned())).collect::<Vec<_>>();
        assert_eq!(told(&owned), expect(&[(0, "a"), (0, "c"), (1, "d")]));
        assert_eq!(told(&others), expect(&[(0, "b"), (2, "")]));
    }
}
