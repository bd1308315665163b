//! What becomes of a message when its round is over: removed, reported, given up, or tried again later.

use super::{Active, Driver};
use crate::report::About;
use crate::spool::Spool;
use mail::{Content, Outcome, Status, Timestamp};
use observe::events::qmgr::{MessageExpired, MessageRemoved, Notification, NotificationQueued};
use queue::{MessageKey, Record};

impl<S: Spool> Driver<S> {
    /// Deals with all messages that are finished; gives whether there were any.
    pub(super) fn finish_all(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(key) = self.scheduler.finished() {
            any = true;
            // Without an entry it was put on hold or deleted while it was active.
            if let Some(message) = self.forget(key) {
                self.finish(key, message, now);
            }
        }
        any
    }

    fn finish(&mut self, key: MessageKey, mut message: Active, now: Timestamp) {
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
        let reported: Vec<Outcome> = std::mem::take(&mut message.reported);
        if !reported.is_empty() && self.may_report(&message) {
            self.report(None, key, &message, Notification::DeliveryStatus, &reported, now);
        }
        if message.done.iter().all(|done| *done) {
            return observe::emit(&self.tag, &MessageRemoved { queue_id: &message.queue_id });
        }
        self.warn_of_delay(key, &message, now);
        self.retry(key, &message, now);
    }

    /// Writes down what failed for good, with the report where there is to be one. False: it has to wait.
    fn report_failures(&mut self, key: MessageKey, message: &mut Active, now: Timestamp) -> bool {
        let failed = std::mem::take(&mut message.failed);
        if failed.is_empty() {
            return true;
        }
        let wanted = |outcome: &&Outcome| {
            message.envelope.recipients.get(outcome.index as usize).is_some_and(|r| r.notify.on_failure())
        };
        let wanted: Vec<Outcome> = failed.iter().filter(wanted).cloned().collect();
        if wanted.is_empty() || !self.may_report(message) {
            for outcome in failed {
                self.spool.record(Record::Outcome { key, outcome });
            }
            return true;
        }
        if self.report(Some(&failed), key, message, Notification::NonDelivery, &wanted, now) {
            return true;
        }
        for outcome in failed {
            message.done[outcome.index as usize] = false;
        }
        false
    }

    /// Reports never answer reports.
    fn may_report(&self, message: &Active) -> bool {
        let sender = &message.envelope.sender;
        !sender.is_null() && !self.settings.is_double_bounce(sender)
    }

    fn warn_of_delay(&mut self, key: MessageKey, message: &Active, now: Timestamp) {
        if message.envelope.warn_at.is_none_or(|at| at > now) {
            return;
        }
        let mut late: Vec<Outcome> = message
            .deferred
            .values()
            .filter(|o| message.envelope.recipients[o.index as usize].notify.on_delay())
            .cloned()
            .collect();
        late.sort_by_key(|outcome| outcome.index);
        let sent = late.is_empty()
            || !self.may_report(message)
            || self.report(None, key, message, Notification::Delay, &late, now);
        if sent {
            self.spool.record(Record::Warned { key });
        }
    }

    /// Composes and queues a report; `cause` is written down in the same group.
    fn report(
        &mut self,
        cause: Option<&[Outcome]>,
        key: MessageKey,
        message: &Active,
        what: Notification,
        outcomes: &[Outcome],
        now: Timestamp,
    ) -> bool {
        let id = self.spool.new_id(now);
        let queued = self.content_of(key, message).and_then(|content| {
            let envelope = &message.envelope;
            let lifetime = self.settings.scheduler.maximal_lifetime;
            let composed = self.reports.compose(&About {
                what,
                queue_id: &message.queue_id,
                envelope,
                content: &content,
                outcomes,
                report_id: &id,
                retry_until: (what == Notification::Delay).then(|| envelope.created.after(lifetime)),
                now,
            });
            composed.map_err(|e| e.to_string())
        });
        let queued = queued.and_then(|composed| {
            observe::info(&self.cleanup_tag, format_args!("{id}: message-id=<{}>", composed.message_id));
            let cause = cause.map(|outcomes| (key, outcomes));
            self.spool
                .bounce(cause, id.clone(), composed.envelope, composed.content, composed.flags)
                .map_err(|e| format!("{e:?}"))
        });
        match queued {
            Ok(new) => {
                observe::emit(
                    &self.bounce_tag,
                    &NotificationQueued {
                        queue_id: &message.queue_id,
                        what,
                        to_postmaster: false,
                        report: &new.queue_id,
                    },
                );
                self.arrived(new, now);
                true
            }
            Err(reason) => {
                let sender = &message.envelope.sender;
                observe::warn(
                    &self.bounce_tag,
                    format_args!("{}: sender notification failed to {sender}: {reason}", message.queue_id),
                );
                false
            }
        }
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
