//! Who gets a report on what, if anybody.

use crate::{ReportKind, ReportReader, Settings};
use mail::{Address, Envelope, Notify, Outcome, QueueId};
use observe::events::bounce::ReportSuppressed;

/// Who gets one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// In which role.
    pub reader: ReportReader,
    /// Where it goes.
    pub address: Address,
    /// A report about a report: postmaster gets the message itself, since its sender cannot.
    pub double: bool,
}

/// Who gets a report of this kind about these outcomes of a message: nobody, who sent it, postmaster, or both. What is
/// for the sender goes to `returns`, which with VERP names the recipient, and for a list is its owner.
pub fn addressees(
    settings: &Settings,
    kind: ReportKind,
    (envelope, returns): (&Envelope, &Address),
    outcomes: &[Outcome],
) -> Vec<Addressee> {
    let sender = &envelope.sender;
    let mut found = Vec::new();
    if is_double_bounce(settings, sender) {
        return found;
    }
    if sender.is_null() {
        if kind == ReportKind::Failure && settings.notifies("2bounce") {
            found.extend(postmaster(&settings.double_bounce_notice_recipient, true));
        }
        return found;
    }
    if outcomes.iter().any(|o| is_wanted(kind, envelope, o)) {
        found.push(Addressee { reader: ReportReader::Sender, address: returns.clone(), double: false });
    }
    if kind == ReportKind::Failure && settings.notifies("bounce") {
        found.extend(postmaster(&settings.bounce_notice_recipient, false));
    }
    if kind == ReportKind::Delay && settings.notifies("delay") {
        found.extend(postmaster(&settings.delay_notice_recipient, false));
    }
    found
}

/// The line to log where Postfix says that it makes no report, because the message is one itself.
pub fn suppressed<'a>(
    settings: &Settings,
    kind: ReportKind,
    (queue_id, envelope): (&'a QueueId, &Envelope),
) -> Option<ReportSuppressed<'a>> {
    let double = is_double_bounce(settings, &envelope.sender);
    let null = envelope.sender.is_null();
    let said = match kind {
        ReportKind::Failure => double,
        ReportKind::Success | ReportKind::Probe | ReportKind::Attempt => double || null,
        ReportKind::Delay => false,
    };
    said.then_some(ReportSuppressed { queue_id, kind, double })
}

/// Whether the sender wants to be told of this outcome (RFC 3461 4.1).
pub(crate) fn is_wanted(kind: ReportKind, envelope: &Envelope, outcome: &Outcome) -> bool {
    let Some(recipient) = envelope.recipient_or_alias(outcome.index) else { return false };
    match kind {
        ReportKind::Failure => recipient.notify.on_failure(),
        ReportKind::Delay => recipient.notify.on_delay(),
        // That a delay is over is told to who wanted to know of the delay (`confirm_delay_cleared`).
        ReportKind::Success => recipient.notify.has(Notify::SUCCESS) || recipient.notify.on_delay(),
        // It is what the message was sent for.
        ReportKind::Probe | ReportKind::Attempt => true,
    }
}

fn is_double_bounce(settings: &Settings, sender: &Address) -> bool {
    let double = settings.double_bounce_sender.as_bytes();
    !double.is_empty() && sender.as_bytes().eq_ignore_ascii_case(double)
}

fn postmaster(address: &Address, double: bool) -> Option<Addressee> {
    let addressee = || Addressee { reader: ReportReader::Postmaster, address: address.clone(), double };
    (!address.is_null()).then(addressee)
}
