//! Log lines of header and body checks: `QID: reject: header Subject: x from NAME[ADDRESS]; from=<…> …: why`.

use crate::escape::Escaped;
use crate::event::{Event, Level};
use mail::QueueId;
use std::fmt::Write as _;

/// So much of a line is shown.
const SHOWN_MAX: usize = 200;

/// A check found something in a message's content.
#[derive(Debug)]
pub struct Found<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// What is done: `reject`, `hold`, …
    pub word: &'a str,
    /// What was looked at: `header`, `body`, `content`.
    pub what: &'a str,
    /// The line.
    pub line: &'a [u8],
    /// Where the message comes from and goes to: `NAME[ADDRESS]; from=<…> to=<…> …`.
    pub origin: &'a str,
    /// What the table says to it; may be empty.
    pub reason: &'a [u8],
}

impl Event for Found<'_> {
    fn line(&self, out: &mut String) {
        let line = Escaped(&self.line[..self.line.len().min(SHOWN_MAX)]);
        let Found { queue_id, word, what, origin, .. } = self;
        let _ = write!(out, "{queue_id}: {word}: {what} {line} from {}", Escaped(origin.as_bytes()));
        if !self.reason.is_empty() {
            let _ = write!(out, ": {}", Escaped(self.reason));
        }
    }
}

/// A message does what MIME forbids: `QID: reject: mime-error WHY: LINE from NAME[ADDRESS]; from=<…> to=<…>`.
#[derive(Debug)]
pub struct MimeError<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// What is forbidden.
    pub why: &'a str,
    /// Where.
    pub line: &'a [u8],
    /// Where the message comes from and goes to, in short.
    pub origin: &'a str,
}

impl Event for MimeError<'_> {
    fn line(&self, out: &mut String) {
        let line = Escaped(&self.line[..self.line.len().min(SHOWN_MAX)]);
        let MimeError { queue_id, why, origin, .. } = self;
        let _ =
            write!(out, "{queue_id}: reject: mime-error {why}: {line} from {}", Escaped(origin.as_bytes()));
    }
}

/// A table could not be asked: the message comes again.
#[derive(Debug)]
pub struct Unanswered<'a> {
    /// The message.
    pub queue_id: &'a QueueId,
    /// The parameter that names the table.
    pub parameter: &'a str,
}

impl Event for Unanswered<'_> {
    fn line(&self, out: &mut String) {
        let Unanswered { queue_id, parameter } = self;
        let advice = "message not accepted, try again later";
        let _ = write!(out, "{queue_id}: {parameter} map lookup problem -- {advice}");
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_in_part_and_without_control_characters() {
        let queue_id = QueueId::parse("ID1").expect("a short name is an id");
        let line = [&b"X: a\n b"[..], &[b'y'; 300]].concat();
        let found = Found {
            queue_id: &queue_id,
            word: "info",
            what: "header",
            line: &line,
            origin: "local; from=<a> to=<b>",
            reason: b"",
        };
        let mut out = String::new();
        found.line(&mut out);
        let shown = format!("X: a? b{}", "y".repeat(193));
        assert_eq!(out, format!("ID1: info: header {shown} from local; from=<a> to=<b>"));
    }
}
