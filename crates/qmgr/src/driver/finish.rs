//! What becomes of a message when its round is over: reported, removed, or tried again later.

use super::conclude::{Concluding, Due};
use super::{Active, Driver};
use crate::spool::Spool;
use bounce::{Addressee, Heading, Original, Report, ReportKind};
use mail::{Content, Timestamp};
use observe::events::bounce::ReportFailed;
use observe::events::qmgr::MessageRemoved;
use queue::{MessageKey, Record};

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

    /// Makes the reports that a message is due, then removes it or has it tried again.
    pub(super) fn finish(&mut self, mut concluding: Concluding, now: Timestamp) {
        let key = concluding.key;
        for due in std::mem::take(&mut concluding.due) {
            match (due.kind, self.report(&concluding, &due, now)) {
                // Written down in one group with the first report.
                (ReportKind::Failure, Reported::Queued) => {}
                (ReportKind::Failure, Reported::Nobody) => {
                    for outcome in due.outcomes {
                        self.spool.record(Record::Outcome { key, outcome });
                    }
                }
                (ReportKind::Failure, Reported::Failed) => {
                    for outcome in due.outcomes {
                        concluding.message.done[outcome.index as usize] = false;
                    }
                }
                (ReportKind::Delay, Reported::Queued | Reported::Nobody) => {
                    self.spool.record(Record::Warned { key });
                }
                // What cannot be told of a success or an attempt happened all the same; a warning comes with the next attempt.
                _ => {}
            }
        }
        let message = &concluding.message;
        match message.done.iter().all(|done| *done) {
            true => observe::emit(&self.tag, &MessageRemoved { queue_id: &message.queue_id }),
            false => {
                let at = self.settings.scheduler.next_attempt(now, message.envelope.created);
                self.spool.record(Record::Retry { key, at });
            }
        }
    }

    /// Composes and queues the reports on some outcomes. Failures are written down in one group with the first.
    fn report(&mut self, concluding: &Concluding, due: &Due, now: Timestamp) -> Reported {
        let Concluding { key, message, .. } = concluding;
        let (queue_id, envelope) = (&message.queue_id, &message.envelope);
        if let Some(event) = bounce::suppressed(&self.bounce, due.kind, (queue_id, envelope)) {
            observe::emit(&self.bounce_tag, &event);
        }
        if due.to.is_empty() {
            return Reported::Nobody;
        }
        let content = self.content_of(*key, message);
        let mut cause = (due.kind == ReportKind::Failure).then_some((*key, &*due.outcomes));
        let mut reported = Reported::Nobody;
        for (to, heading) in &due.to {
            let report = content.as_ref().map_err(String::clone);
            let report =
                report.and_then(|content| self.compose(concluding, due, (to, heading), content, now));
            let report = report.and_then(|report| {
                let (id, cause) = (report.queue_id.clone(), cause.take());
                let (envelope, content) = (report.envelope.clone(), report.content.clone());
                let new = self.spool.bounce(cause, id, envelope, content, report.flags);
                Ok((report, new.map_err(|error| error.to_string())?))
            });
            match report {
                Ok((report, new)) => {
                    let line = format_args!("{}: message-id={}", new.queue_id, report.message_id);
                    observe::info(&self.cleanup_tag, line);
                    observe::emit(&self.bounce_tag, &report.event(queue_id));
                    self.arrived(new, now);
                    reported = Reported::Queued;
                }
                Err(reason) => {
                    let failed = ReportFailed { queue_id, reader: to.reader, reason: &reason };
                    observe::emit(&self.bounce_tag, &failed);
                    // The first one carries the cause; what postmaster would get besides is not worth a repetition.
                    if reported == Reported::Nobody {
                        return Reported::Failed;
                    }
                }
            }
        }
        reported
    }

    /// Writes one report.
    fn compose(
        &mut self,
        concluding: &Concluding,
        due: &Due,
        (to, heading): (&Addressee, &Heading),
        content: &Content,
        now: Timestamp,
    ) -> Result<Report, String> {
        let message = &concluding.message;
        let addressed = concluding.addressed(heading).ok_or("a table of addresses cannot be asked")?;
        let original = Original { queue_id: &message.queue_id, envelope: &message.envelope, content };
        let new = (self.spool.new_id(now), now);
        bounce::compose(&self.bounce, due.kind, (to, &addressed), &original, &due.outcomes, new)
            .map_err(|error| error.to_string())
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
