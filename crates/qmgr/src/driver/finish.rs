//! What becomes of a message when its round is over: removed, reported, given up, or tried again later.

use super::{Active, Driver, verp_delimiters};
use crate::spool::Spool;
use bounce::{Original, ReportKind, ReportReader};
use mail::{Address, Content, Outcome, Status, Timestamp, verp_sender};
use observe::Tag;
use observe::events::bounce::ReportFailed;
use observe::events::qmgr::{MessageExpired, MessageRemoved};
use queue::{MessageKey, Record};
use std::borrow::Cow;

impl<S: Spool> Driver<S> {
    /// Deals with all messages that are finished; gives whether there were any.
    pub(super) fn finish_all(&mut self, now: Timestamp) -> bool {
        self.conclude_known(now);
        let mut any = false;
        while let Some(key) = self.scheduler.finished() {
            any = true;
            let again = self.revisit.remove(&key);
            match self.forget(key) {
                Some(message) => self.conclude(key, message, now),
                // It was put on hold or deleted while it was active, and perhaps released since.
                None if again => self.scheduler.wait(key, now),
                None => {}
            }
        }
        any
    }

    pub(super) fn finish(&mut self, key: MessageKey, mut message: Active, now: Timestamp) {
        let envelope = &message.envelope;
        let left = message.done.iter().any(|done| !done);
        let expired = envelope.force_expire
            || self.settings.scheduler.expired(now, envelope.created, envelope.sender.is_null());
        if left && expired {
            observe::emit(
                &self.tag,
                &MessageExpired {
                    queue_id: &message.queue_id,
                    sender: &envelope.sender,
                    forced: envelope.force_expire,
                },
            );
            // Those that were tried in this round; the others had no chance and get one.
            for (index, outcome) in std::mem::take(&mut message.deferred) {
                message.done[index as usize] = true;
                message.failed.push(Outcome { status: Status::Bounced, ..outcome });
            }
        }
        message.failed.sort_by_key(|outcome| outcome.index);
        if !self.report_failures(key, &mut message, now) {
            return self.retry(key, &message, now);
        }
        let delivered = std::mem::take(&mut message.reported);
        if !delivered.is_empty() {
            // A success that cannot be reported is a success all the same.
            self.report(None, key, &message, ReportKind::Success, &delivered, now);
        }
        if message.done.iter().all(|done| *done) {
            return observe::emit(&self.tag, &MessageRemoved { queue_id: &message.queue_id });
        }
        self.warn_of_delay(key, &message, now);
        self.retry(key, &message, now);
    }

    /// Writes down what failed for good, with the report where there is to be one. False: it has to wait.
    fn report_failures(&mut self, key: MessageKey, message: &mut Active, now: Timestamp) -> bool {
        let (owned, failed) = of_owners(std::mem::take(&mut message.failed));
        // With VERP each sender address is told of its own recipient.
        let verp = verp_delimiters(&message.envelope).is_some() && !self.settings.disable_verp_bounces;
        let together = if verp { 1 } else { failed.len().max(1) };
        let mut all = true;
        let owned = owned.iter().map(std::slice::from_ref);
        for failed in failed.chunks(together).chain(owned) {
            match self.report(Some(failed), key, message, ReportKind::Failure, failed, now) {
                Reported::Queued => {}
                Reported::Nobody => {
                    for outcome in failed {
                        self.spool.record(Record::Outcome { key, outcome: outcome.clone() });
                    }
                }
                Reported::Failed => {
                    all = false;
                    for outcome in failed {
                        message.done[outcome.index as usize] = false;
                    }
                }
            }
        }
        all
    }

    fn warn_of_delay(&mut self, key: MessageKey, message: &Active, now: Timestamp) {
        if message.envelope.warn_at.is_none_or(|at| at > now) {
            return;
        }
        let mut late: Vec<Outcome> = message.deferred.values().cloned().collect();
        late.sort_by_key(|outcome| outcome.index);
        if self.report(None, key, message, ReportKind::Delay, &late, now) != Reported::Failed {
            self.spool.record(Record::Warned { key });
        }
    }

    /// Composes and queues the reports on some outcomes; `cause` is written down in one group with the first.
    fn report(
        &mut self,
        mut cause: Option<&[Outcome]>,
        key: MessageKey,
        message: &Active,
        kind: ReportKind,
        outcomes: &[Outcome],
        now: Timestamp,
    ) -> Reported {
        let queue_id = &message.queue_id;
        let reports = self.content_of(key, message).and_then(|content| {
            let verp = kind == ReportKind::Failure && !self.settings.disable_verp_bounces;
            let sender = return_address(message, verp, outcomes);
            let envelope = &message.envelope;
            let original = Original { queue_id, envelope, sender: &sender, content: &content };
            if let Some(event) = bounce::suppressed(&self.bounce, kind, &original) {
                observe::emit(&self.bounce_tag, &event);
            }
            let spool = &mut self.spool;
            bounce::reports(&self.bounce, kind, &original, outcomes, now, |now| spool.new_id(now))
                .map_err(|e| e.to_string())
        });
        let failed = |tag: &Tag, reason: &str| {
            observe::emit(tag, &ReportFailed { queue_id, reader: ReportReader::Sender, reason });
            Reported::Failed
        };
        let reports = match reports {
            Ok(reports) => reports,
            Err(reason) => return failed(&self.bounce_tag, &reason),
        };
        let mut reported = Reported::Nobody;
        for report in reports {
            let (id, cause) = (report.queue_id.clone(), cause.take().map(|outcomes| (key, outcomes)));
            let (mut envelope, content) = (report.envelope.clone(), report.content.clone());
            let Some(recipients) = self.followed(std::mem::take(&mut envelope.recipients)) else {
                return match reported {
                    Reported::Nobody => failed(&self.bounce_tag, "a table of addresses cannot be asked"),
                    reported => reported,
                };
            };
            envelope.recipients = recipients;
            match self.spool.bounce(cause, id, envelope, content, report.flags) {
                Ok(new) => {
                    let line = format_args!("{}: message-id={}", new.queue_id, report.message_id);
                    observe::info(&self.cleanup_tag, line);
                    observe::emit(&self.bounce_tag, &report.event(queue_id));
                    self.arrived(new, now);
                    reported = Reported::Queued;
                }
                // The first one carries the cause; what postmaster would get besides is not worth a repetition.
                Err(error) if reported == Reported::Nobody => {
                    return failed(&self.bounce_tag, &error.to_string());
                }
                Err(error) => drop(failed(&self.bounce_tag, &error.to_string())),
            }
        }
        reported
    }

    fn content_of(&mut self, key: MessageKey, message: &Active) -> Result<Content, String> {
        if let Some(content) = &message.content {
            return Ok(content.clone());
        }
        match self.spool.load(key) {
            Ok(Some(loaded)) => Ok(loaded.content),
            Ok(None) => Err("the message is gone".to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn retry(&mut self, key: MessageKey, message: &Active, now: Timestamp) {
        let at = self.settings.scheduler.next_attempt(now, message.envelope.created);
        self.spool.record(Record::Retry { key, at });
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

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    /// It is queued, and its cause written down.
    Queued,
    /// Nobody is to be told.
    Nobody,
    /// It could not be made or queued.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Dsn, FailedPart, JobId};

    #[test]
    fn what_failed_of_a_list_goes_to_its_owner_and_the_rest_to_the_sender() {
        let part = |address: &str, owner: Option<&str>| FailedPart {
            address: Address::from(address),
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
