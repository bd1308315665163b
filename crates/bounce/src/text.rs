//! The words for people, and how lines are folded.

use crate::{Addressee, ReportKind, ReportReader, Settings};
use config::postconf::Template;
use std::time::Duration;

/// Postfix folds at this width and indents what follows.
const WIDTH: usize = 79;
const INDENT: &str = "    ";

/// Subject of a report. Postfix's words: filters and people look for them.
pub(crate) fn subject(kind: ReportKind, reader: ReportReader) -> &'static str {
    match (kind, reader) {
        (ReportKind::Failure, ReportReader::Sender) => "Undelivered Mail Returned to Sender",
        (ReportKind::Failure, ReportReader::Postmaster) => "Postmaster Copy: Undelivered Mail",
        (ReportKind::Delay, ReportReader::Sender) => "Delayed Mail (still being retried)",
        (ReportKind::Delay, ReportReader::Postmaster) => "Postmaster Warning: Delayed Mail",
        (ReportKind::Success, _) => "Successful Mail Delivery Report",
        (ReportKind::Probe | ReportKind::Attempt, _) => "Mail Delivery Status Report",
    }
}

/// What stands in front of the list of recipients; postmaster needs no introduction.
pub(crate) fn introduction(settings: &Settings, kind: ReportKind, to: &Addressee, whole: bool) -> String {
    if to.reader == ReportReader::Postmaster {
        return String::new();
    }
    let returned = if whole { "Your message" } else { "The header of your message" };
    let warning = in_words(settings.delay_warning_time);
    let lifetime = in_words(settings.maximal_queue_lifetime);
    body(kind, &settings.myhostname, returned, &warning, &lifetime)
}

fn body(kind: ReportKind, host: &str, returned: &str, warning: &str, lifetime: &str) -> String {
    let body = match kind {
        ReportKind::Failure => format!(
            "This is the mail server {host}.\r\n\r\n\
             Your message did not reach the recipients listed below, and no further\r\n\
             attempt will be made. The reason stands behind each address. {returned}\r\n\
             is attached.\r\n\r\n\
             If you need help, forward this report to <postmaster>; the attached text of\r\n\
             your own message may be left out.\r\n"
        ),
        ReportKind::Delay => format!(
            "This is the mail server {host}.\r\n\r\n\
             This is only a warning. There is no need to send your message again.\r\n\r\n\
             For {warning} your message could not be delivered to the recipients\r\n\
             listed below. Delivery will be tried again until the message is {lifetime} old.\r\n\
             {returned} is attached.\r\n",
        ),
        ReportKind::Success => format!(
            "This is the mail server {host}.\r\n\r\n\
             Your message was delivered to the recipients listed below, as you asked to be\r\n\
             told. A recipient that was delivered to a mailbox gives no further report; one\r\n\
             that was passed on to another server may give reports from there.\r\n"
        ),
        ReportKind::Probe | ReportKind::Attempt => format!(
            "This is the mail server {host}.\r\n\r\n\
             Here is the report that you asked for.\r\n"
        ),
    };
    body + "\r\n                   The mail system\r\n"
}

/// The built-in texts as templates of bounce(5), for `postconf -b` and `-t`.
pub fn templates() -> Vec<Template> {
    let of = |class, kind| {
        let mut header = vec![("Charset", "us-ascii"), ("From", "Mail Delivery System <MAILER-DAEMON>")];
        header.push(("Subject", subject(kind, ReportReader::Sender)));
        if matches!(kind, ReportKind::Failure | ReportKind::Delay) {
            header.push(("Postmaster-Subject", subject(kind, ReportReader::Postmaster)));
        }
        let (warning, lifetime) =
            ("$delay_warning_time_hours hour(s)", "$maximal_queue_lifetime_days day(s)");
        let body = body(kind, "$myhostname", "Your message", warning, lifetime).replace('\r', "");
        Template { class, header, body }
    };
    vec![
        of("failure", ReportKind::Failure),
        of("delay", ReportKind::Delay),
        of("success", ReportKind::Success),
        of("verify", ReportKind::Probe),
    ]
}

/// The largest unit that leaves something to count.
fn in_words(d: Duration) -> String {
    let secs = d.as_secs();
    for (unit, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute")] {
        if secs >= unit && (secs.is_multiple_of(unit) || secs >= 2 * unit) {
            return count(secs / unit, name);
        }
    }
    count(secs, "second")
}

fn count(n: u64, name: &str) -> String {
    format!("{n} {name}{}", if n == 1 { "" } else { "s" })
}

/// Appends `text` as lines of at most 79 columns, broken at blanks; a longer word stays whole up to `HARD`.
pub(crate) fn fold(text: &str, out: &mut Vec<u8>) {
    fold_to(text, WIDTH, INDENT, out);
}

/// The same for lines of a transcript, which all begin with a blank of their own.
pub(crate) fn fold_said(line: &str, out: &mut Vec<u8>) {
    let mut folded = Vec::new();
    fold_to(line, WIDTH - 1, INDENT, &mut folded);
    for line in folded.split_inclusive(|b| *b == b'\n') {
        out.push(b' ');
        out.extend_from_slice(line);
    }
}

fn fold_to(text: &str, most: usize, indent: &str, out: &mut Vec<u8>) {
    /// Bytes of one line (RFC 5322 2.1.1), less the indent.
    const HARD: usize = 900;
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split(' ').flat_map(|w| chunks(w, HARD)) {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width > most {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
            line.clear();
            line.push_str(indent);
            columns = indent.len();
        } else if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += width;
    }
    out.extend_from_slice(line.trim_end().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn chunks(word: &str, most: usize) -> Vec<&str> {
    let (mut rest, mut found) = (word, Vec::new());
    while rest.len() > most {
        let at = (0..=most).rev().find(|&n| rest.is_char_boundary(n)).unwrap_or(rest.len());
        let (now, later) = rest.split_at(at);
        found.push(now);
        rest = later;
    }
    found.push(rest);
    found
}

/// One line of text: what peers said must not begin a header or a MIME part of its own.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
