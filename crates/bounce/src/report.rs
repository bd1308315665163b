//! Writes one report.

use crate::addressees::{Addressee, is_wanted};
use crate::settings::of_host;
use crate::text::{Text, fold, one_line};
use crate::{Addressed, Original, ReportKind, ReportReader, Settings, local_date, original};
use bytes::Bytes;
use mail::smtputf8::{self, Asking};
use mail::{
    Address, ContentFlags, Encoding, Envelope, FailedPart, Outcome, QueueId, Recipient, Ret, Status,
    Timestamp,
};
use observe::events::bounce::ReportQueued;
use std::io;

/// A report, ready to be queued.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its queue id.
    pub queue_id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its content.
    pub content: Vec<Bytes>,
    /// What is known of the content's lines.
    pub flags: ContentFlags,
    /// Its Message-ID with `<>`, which cleanup would log.
    pub message_id: String,
    /// What it says.
    pub kind: ReportKind,
    /// Who reads it.
    pub reader: ReportReader,
}

impl Report {
    /// The line to log when it is queued.
    pub fn event<'a>(&'a self, about: &'a QueueId) -> ReportQueued<'a> {
        ReportQueued { queue_id: about, kind: self.kind, reader: self.reader, report: &self.queue_id }
    }
}

/// One report on the outcomes of a message, which gets the given id and time. An error means that the message could not
/// be read.
pub fn compose(
    settings: &Settings,
    kind: ReportKind,
    (to, addressed): (&Addressee, &Addressed),
    original: &Original<'_>,
    outcomes: &[Outcome],
    (queue_id, now): (QueueId, Timestamp),
) -> io::Result<Report> {
    let text = settings.texts.of(kind);
    let composer = Composer { settings, kind, text, to, addressed, original, id: &queue_id, now };
    // Postmaster is told of all; the sender of what he asked for.
    let told: Vec<_> = outcomes
        .iter()
        .filter(|o| to.reader == ReportReader::Postmaster || is_wanted(kind, original.envelope, o))
        .collect();
    let message_id = composer.message_id();
    let mut out = Vec::new();
    composer.header(&message_id, &mut out)?;
    composer.notification(&told, &mut out);
    composer.delivery_status(&told, &mut out);
    composer.returned(&mut out)?;
    let boundary = composer.boundary();
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let flags = flags_of(&out);
    let envelope = composer.envelope(flags);
    Ok(Report {
        envelope,
        content: vec![Bytes::from(out)],
        flags,
        message_id,
        kind,
        reader: to.reader,
        queue_id,
    })
}

struct Composer<'a> {
    settings: &'a Settings,
    kind: ReportKind,
    text: &'a Text,
    to: &'a Addressee,
    addressed: &'a Addressed,
    original: &'a Original<'a>,
    id: &'a QueueId,
    now: Timestamp,
}

macro_rules! line {
    ($out:expr, $($text:tt)*) => {{
        $out.extend_from_slice(format!($($text)*).as_bytes());
        $out.extend_from_slice(b"\r\n");
    }};
}

impl Composer<'_> {
    fn boundary(&self) -> String {
        format!("{}.{}/{}", self.original.queue_id, self.now.secs(), self.settings.myhostname)
    }

    fn message_id(&self) -> String {
        message_id(self.id, self.now, &self.settings.myhostname)
    }

    /// Whether the original came as SMTPUTF8, so that the report takes the forms of RFC 6533.
    fn is_global(&self) -> bool {
        self.original.envelope.smtputf8 & smtputf8::REQUESTED != 0
    }

    fn encoding(&self) -> &'static str {
        if self.original.envelope.encoding == Encoding::SevenBit { "7bit" } else { "8bit" }
    }

    /// Whether the whole message comes back rather than its header.
    fn is_whole(&self) -> bool {
        let for_postmaster = self.to.reader == ReportReader::Postmaster && !self.to.double;
        self.kind == ReportKind::Failure
            && !for_postmaster
            && self.original.envelope.ret != Some(Ret::Hdrs)
            && self.original.content.size <= self.settings.bounce_size_limit
    }

    fn header(&self, message_id: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let Settings { myhostname, mail_name, .. } = self.settings;
        let submitted =
            if self.to.reader == ReportReader::Sender { "auto-replied" } else { "auto-generated" };
        out.extend_from_slice(made_here(myhostname, mail_name, self.id, self.now).as_bytes());
        out.extend_from_slice(&self.addressed.from);
        line!(out, "Subject: {}", self.text.subject(self.to.reader));
        out.extend_from_slice(&self.addressed.to);
        if self.settings.threaded
            && let Some(id) = original::message_id(self.original.content)?
        {
            line!(out, "References: {id}");
            line!(out, "In-Reply-To: {id}");
        }
        line!(out, "Auto-Submitted: {submitted}");
        line!(out, "MIME-Version: 1.0");
        line!(out, "Content-Type: multipart/report; report-type=delivery-status;");
        line!(out, "\tboundary=\"{}\"", self.boundary());
        line!(out, "Content-Transfer-Encoding: {}", self.encoding());
        line!(out, "Message-Id: {message_id}");
        line!(out, "\r\nThis is a MIME-encapsulated message.");
        Ok(())
    }

    fn part(&self, description: &str, kind: &str, encoding: Option<&str>, out: &mut Vec<u8>) {
        line!(out, "\r\n--{}", self.boundary());
        line!(out, "Content-Description: {description}");
        line!(out, "Content-Type: {kind}");
        if let Some(encoding) = encoding {
            line!(out, "Content-Transfer-Encoding: {encoding}");
        }
        line!(out, "");
    }

    fn notification(&self, told: &[&Outcome], out: &mut Vec<u8>) {
        let kind = format!("text/plain; charset={}", self.text.charset());
        self.part("Notification", &kind, Some("8bit"), out);
        // Postmaster needs no introduction.
        if self.to.reader == ReportReader::Sender {
            out.extend_from_slice(&self.text.body);
        }
        for (recipient, outcome) in told.iter().flat_map(|outcome| self.lines(outcome)) {
            let mut text = format!("<{}>", one_line_address(&recipient.address));
            let known = !recipient.original.is_null();
            if known && !recipient.original.as_bytes().eq_ignore_ascii_case(recipient.address.as_bytes()) {
                text.push_str(&format!(" (expanded from <{}>)", one_line_address(&recipient.original)));
            }
            line!(out, "");
            fold(&format!("{text}: {}", self.reason(&outcome)), out);
        }
    }

    fn delivery_status(&self, told: &[&Outcome], out: &mut Vec<u8>) {
        if self.is_global() {
            self.part("Delivery report", "message/global-delivery-status", Some("8bit"), out);
        } else {
            self.part("Delivery report", "message/delivery-status", None, out);
        }
        let Settings { myhostname, mail_name, .. } = self.settings;
        let envelope = self.original.envelope;
        line!(out, "Reporting-MTA: dns; {myhostname}");
        if !envelope.envid.is_empty() {
            line!(out, "Original-Envelope-Id: {}", one_line(&envelope.envid));
        }
        line!(out, "X-{mail_name}-Queue-ID: {}", self.original.queue_id);
        let sender = self.sender();
        out.extend_from_slice(format!("X-{mail_name}-Sender: {}; ", address_type(&sender)).as_bytes());
        put_address(&sender, out);
        line!(out, "");
        line!(out, "Arrival-Date: {}", local_date(envelope.arrival));
        for (recipient, outcome) in told.iter().flat_map(|outcome| self.lines(outcome)) {
            self.recipient_status(&recipient, &outcome, out);
        }
    }

    fn recipient_status(&self, recipient: &Recipient, outcome: &Outcome, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("\r\nFinal-Recipient: {}; ", address_type(&recipient.address)).as_bytes(),
        );
        put_address(&recipient.address, out);
        line!(out, "");
        if recipient.dsn_orcpt.is_empty() && recipient.original.is_null() {
            // Nobody is to know.
        } else if recipient.dsn_orcpt.is_empty() {
            out.extend_from_slice(b"Original-Recipient: rfc822;");
            put_address(&recipient.original, out);
            line!(out, "");
        } else {
            line!(out, "Original-Recipient: {}", one_line(&recipient.dsn_orcpt));
        }
        line!(out, "Action: {}", self.action(outcome));
        line!(out, "Status: {}", outcome.dsn);
        if let Some(host) = &outcome.remote_mta {
            line!(out, "Remote-MTA: dns; {}", one_line(host));
        }
        match &outcome.diagnostic {
            Some(d) => fold(&format!("Diagnostic-Code: {}; {}", one_line(&d.kind), one_line(&d.text)), out),
            None => fold(&format!("Diagnostic-Code: X-Postfix; {}", self.reason(outcome)), out),
        }
        if self.kind == ReportKind::Delay {
            let until = self.original.envelope.created.after(self.settings.maximal_queue_lifetime);
            line!(out, "Will-Retry-Until: {}", local_date(until));
        }
    }

    /// RFC 3464 2.3.3; the words for what was only probed are Postfix's.
    fn action(&self, outcome: &Outcome) -> &'static str {
        let is_alias = self.original.envelope.recipients.get(outcome.index as usize).is_none();
        match (self.kind, outcome.status) {
            (ReportKind::Probe, Status::Sent) => "deliverable",
            (ReportKind::Probe, Status::Deferred | Status::Bounced) => "undeliverable",
            (_, Status::Bounced) => "failed",
            (_, Status::Deferred) => "delayed",
            (_, Status::Sent) if is_alias => "expanded",
            (_, Status::Sent) if outcome.relayed => "relayed",
            (_, Status::Sent) => "delivered",
        }
    }

    fn returned(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let whole = self.is_whole();
        let (kind, description) = match (self.is_global(), whole) {
            (false, true) => ("message/rfc822", "Message"),
            (false, false) => ("text/rfc822-headers", "Message Headers"),
            (true, true) => ("message/global", "Message"),
            (true, false) => ("message/global-headers", "Message Headers"),
        };
        let undelivered = match self.kind {
            ReportKind::Failure | ReportKind::Delay => "Undelivered ",
            ReportKind::Success | ReportKind::Probe | ReportKind::Attempt => "",
        };
        self.part(&format!("{undelivered}{description}"), kind, Some(self.encoding()), out);
        out.extend_from_slice(b"Return-Path: <");
        put_address(&self.sender(), out);
        line!(out, ">");
        match whole {
            true => original::whole(self.original.content, out),
            false => original::headers(self.original.content, out),
        }
    }

    /// The sender as reports name it.
    fn sender(&self) -> Address {
        let sender = &self.original.envelope.sender;
        if sender.is_null() {
            return of_host("MAILER-DAEMON", &self.settings.myhostname);
        }
        sender.clone()
    }

    /// Who is told of in an outcome: the recipient, or those that an alias made of it and that failed.
    fn lines(&self, outcome: &Outcome) -> Vec<(Recipient, Outcome)> {
        // It may also be an alias that was followed.
        let Some(recipient) = self.original.envelope.recipient_or_alias(outcome.index) else {
            return Vec::new();
        };
        if outcome.parts.is_empty() {
            return vec![(recipient.clone(), outcome.clone())];
        }
        let line = |part: &FailedPart| {
            let FailedPart { address, dsn, reason, diagnostic, .. } = part.clone();
            let of_part = Outcome { dsn, reason, diagnostic, parts: Vec::new(), ..outcome.clone() };
            match part.expanded_is_told {
                // Behind a list with an owner nobody is told by which address the mail came.
                false => (Recipient { original: Address::null(), ..Recipient::new(address) }, of_part),
                true => (Recipient { address, ..recipient.clone() }, of_part),
            }
        };
        outcome.parts.iter().map(line).collect()
    }

    /// Why it is so, or how it went, on one line.
    fn reason(&self, outcome: &Outcome) -> String {
        let reason = one_line(&outcome.reason);
        let tells_all = matches!(self.kind, ReportKind::Probe | ReportKind::Attempt);
        match &outcome.relay {
            Some(relay) if tells_all || outcome.status == Status::Sent => {
                format!("delivery via {}: {reason}", one_line(relay))
            }
            _ => reason,
        }
    }

    fn envelope(&self, flags: ContentFlags) -> Envelope {
        let detects = match self.to.reader {
            ReportReader::Sender => self.settings.detects_smtputf8,
            ReportReader::Postmaster => self.settings.notices_detect_smtputf8,
        };
        let asking = Asking::new(self.is_global(), detects);
        let mut envelope = self.addressed.envelope(self.now, asking, flags);
        // As its header says, whatever the bytes are: servers are told BODY=8BITMIME.
        envelope.encoding = if self.encoding() == "8bit" { Encoding::EightBit } else { Encoding::SevenBit };
        envelope
    }
}

/// The address type of RFC 3461 and RFC 6533.
fn address_type(address: &Address) -> &'static str {
    if address.needs_smtputf8() { "utf-8" } else { "rfc822" }
}

/// The external form without anything that could end its line.
pub(crate) fn put_address(address: &Address, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(&address.to_external());
    for byte in &mut out[from..] {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
}

/// The same as text.
pub(crate) fn one_line_address(address: &Address) -> String {
    let mut out = Vec::new();
    put_address(address, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// How the header of mail of our own begins: who made it as what message, and when.
pub(crate) fn made_here(myhostname: &str, mail_name: &str, id: &QueueId, now: Timestamp) -> String {
    let date = local_date(now);
    format!("Received: by {myhostname} ({mail_name})\r\n\tid {id}; {date}\r\nDate: {date}\r\n")
}

/// The Message-ID that Postfix gives a message, with `<>`.
pub(crate) fn message_id(id: &QueueId, now: Timestamp, host: &str) -> String {
    match id.long_form_micros() {
        Some(_) => format!("<{id}@{host}>"),
        None => format!("<{}.{id}@{host}>", compact_utc(now)),
    }
}

/// `20261122161928`, as Postfix has it in Message-IDs: UTC.
fn compact_utc(at: Timestamp) -> String {
    let (days, secs) = (at.secs().div_euclid(86_400), at.secs().rem_euclid(86_400));
    // The civil calendar from days since 1970-01-01, in eras of 400 years that begin on 1 March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

pub(crate) fn flags_of(content: &[u8]) -> ContentFlags {
    let mut flags = ContentFlags::default();
    let mut in_body = false;
    for line in content.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b".") {
            flags = flags.with(ContentFlags::LEADING_DOT);
        }
        if line.len() >= mail::WIDE_LINE {
            flags = flags.with(ContentFlags::WIDE_LINE);
        }
        if line.len() > 998 {
            flags = flags.with(ContentFlags::LONG_LINE);
        }
        if !line.is_ascii() {
            flags = flags.with(ContentFlags::EIGHT_BIT);
            if !in_body {
                flags = flags.with(ContentFlags::UTF8_HEADER);
            }
        }
        in_body |= line.is_empty();
    }
    flags
}
