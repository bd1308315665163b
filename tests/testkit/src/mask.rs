//! Masks for what differs from run to run: queue ids, times, process ids, boundaries.

use regex_lite::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

static LOG_FRAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d(?:\.\d+)? \S+ ([^\[\]:]+)\[\d+\]: (.*)$")
});
static LOG_ID: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:warning: )?([0-9A-Za-z]{6,}): "));
static NEW_ID: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:notification: |orig_id=|queued as |forwarded as )([0-9A-Za-z]{6,})\b"));
static DELAY: LazyLock<Regex> = LazyLock::new(|| regex(r"delay=[0-9.]+, delays=[0-9./]+"));
// How long after its connection a client did something that postscreen tells.
static SCREENED: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(PREGREET \d+|HANGUP) after \d+(?:\.\d+)? from "));
static SIZE: LazyLock<Regex> = LazyLock::new(|| regex(r"from=<([^>]*)>, size=(\d+)"));
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"[A-Z][a-z]{2}, {1,2}\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}(?: \([A-Z]+\))?")
});
static STAMP: LazyLock<Regex> = LazyLock::new(|| regex(r"\b20\d{12}\."));
static SHORT_DATE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?: \d{4})?"));
// How often a connection served already depends on when it was opened, and we keep them open longer.
static CONN_USE: LazyLock<Regex> = LazyLock::new(|| regex(r"conn_use=\d+, "));
static BOUNDARY: LazyLock<Regex> = LazyLock::new(|| regex(r"\.\d{9,10}/"));
static EPOCH: LazyLock<Regex> = LazyLock::new(|| regex(r#""arrival_time": ?\d+"#));
static UNIQUE: LazyLock<Regex> = LazyLock::new(|| regex(r"\b\d{10}\.[PV][0-9A-Za-z]+\."));
static SIZE_PARAMETER: LazyLock<Regex> = LazyLock::new(|| regex(r"^(MAIL FROM:.*) SIZE=\d+"));
static FREE: LazyLock<Regex> = LazyLock::new(|| regex(r"in mail queue: \d+ bytes"));
static PORT: LazyLock<Regex> = LazyLock::new(|| regex(r"(\[[0-9a-f.:]+\]:?)(\d{5})\b"));

/// One log line without its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// For instance `postfix/smtpd`.
    pub tag: String,
    /// What follows `]: `.
    pub text: String,
}

impl LogLine {
    /// Takes the frame (time, host, process id) off; a line of another form keeps an empty tag.
    pub fn parse(line: &str) -> LogLine {
        match LOG_FRAME.captures(line) {
            Some(found) => LogLine { tag: found[1].to_owned(), text: found[2].to_owned() },
            None => LogLine { tag: String::new(), text: line.to_owned() },
        }
    }

    /// The queue id that this line begins with.
    pub fn queue_id(&self) -> Option<&str> {
        let id = LOG_ID.captures(&self.text)?.get(1)?.as_str();
        (id != "NOQUEUE" && id.bytes().any(|byte| byte.is_ascii_digit())).then_some(id)
    }

    /// A queue id that the line speaks of behind its beginning, such as a bounce's.
    pub fn other_id(&self) -> Option<&str> {
        // What a peer said (in brackets) is the peer's id.
        let own = self.text.split(" (").next().unwrap_or_default();
        let own = if self.text.contains("status=sent (forwarded as ") { &self.text } else { own };
        Some(NEW_ID.captures(own)?.get(1)?.as_str())
    }
}

/// Gives queue ids the names `Q1`, `Q2`, … in the order in which it first sees them.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    names: BTreeMap<String, String>,
    /// Ids of messages that hold another id of ours, since they were sent on.
    sent_on: BTreeSet<String>,
    /// Ids whose message got its Message-Id from us, so that the content holds the id twice.
    made_message_id: BTreeSet<String>,
}

impl Masker {
    /// Learns an id; a known one keeps its name.
    pub fn learn(&mut self, id: &str) {
        let next = format!("Q{}", self.names.len() + 1);
        self.names.entry(id.to_owned()).or_insert(next);
    }

    /// Learns the ids of log lines.
    pub fn learn_from(&mut self, lines: &[LogLine]) {
        for line in lines {
            if let Some(id) = line.queue_id() {
                self.learn(id);
                if line.text.contains("message-id=<20") && line.text.contains(&format!(".{id}@")) {
                    self.made_message_id.insert(id.to_owned());
                }
            }
            if let Some(id) = line.other_id() {
                self.learn(id);
                if line.text.contains(&format!("(forwarded as {id})")) {
                    self.sent_on.insert(id.to_owned());
                }
            }
        }
    }

    /// How many ids it knows.
    pub fn known(&self) -> usize {
        self.names.len()
    }

    /// Masks a text: ids, dates, delays, sizes that depend on the id's length, client ports.
    pub fn mask(&self, text: &str) -> String {
        let mut out = text.to_owned();
        // A message's size includes its id in our Received line and perhaps Message-Id; a bounce's holds several.
        let sized = out.clone();
        if let Some(found) = SIZE.captures(&sized) {
            let id = LOG_ID.captures(&sized).map_or(String::new(), |id| id[1].to_owned());
            let own = id.len() * if self.made_message_id.contains(&id) { 2 } else { 1 };
            let several = found[1].is_empty() || found[1].starts_with("double-bounce@");
            let size = match several || self.sent_on.contains(&id) {
                true => "N".to_owned(),
                false => found[2]
                    .parse::<usize>()
                    .map_or_else(|_| "N".to_owned(), |n| format!("{}+id", n.saturating_sub(own))),
            };
            out = SIZE.replace(&out, format!("from=<{}>, size={size}", &found[1]).as_str()).into_owned();
        }
        for (id, name) in &self.names {
            out = replace_word(&out, id, name);
        }
        for (pattern, to) in [
            (&DELAY, "delay=D, delays=D"),
            (&SCREENED, "$1 after T from "),
            (&CONN_USE, ""),
            (&DATE, "DATE"),
            (&STAMP, "STAMP."),
            (&SHORT_DATE, "DATE"),
            (&UNIQUE, "UNIQUE."),
            (&BOUNDARY, ".TIME/"),
            (&EPOCH, r#""arrival_time": TIME"#),
            (&PORT, "${1}PORT"),
            (&FREE, "in mail queue: N bytes"),
            (&SIZE_PARAMETER, "$1 SIZE=N"),
        ] {
            out = pattern.replace_all(&out, to).into_owned();
        }
        out
    }
}

/// Replaces an id where it stands alone, not inside a longer word.
fn replace_word(text: &str, word: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        out.push_str(before);
        let alone = !is_word(before.chars().next_back()) && !is_word(after.chars().next());
        out.push_str(if alone { with } else { word });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_loses_its_frame_and_its_id() {
        let line = LogLine::parse(
            "Jul  5 12:00:00 mx postfix/qmgr[800]: 4D2A71C0042: from=<a@example.net>, size=1432, nrcpt=1 (queue active)",
        );
        assert_eq!(line.tag, "postfix/qmgr");
        let mut masker = Masker::default();
        masker.learn_from(std::slice::from_ref(&line));
        assert_eq!(masker.mask(&line.text), "Q1: from=<a@example.net>, size=1421+id, nrcpt=1 (queue active)");
    }

    #[test]
    fn a_bounce_is_known_by_its_announcement() {
        let line = LogLine::parse(
            "Jul  5 12:00:03 mx postfix/bounce[830]: 9F01A1C0051: sender non-delivery notification: B2D4E1C0060",
        );
        let mut masker = Masker::default();
        masker.learn_from(std::slice::from_ref(&line));
        assert_eq!(masker.mask(&line.text), "Q1: sender non-delivery notification: Q2");
    }

    #[test]
    fn words_are_no_ids() {
        assert_eq!(LogLine { tag: String::new(), text: "NOQUEUE: reject: RCPT".into() }.queue_id(), None);
        assert_eq!(LogLine { tag: String::new(), text: "warning: connect to x".into() }.queue_id(), None);
        assert_eq!(
            LogLine { tag: String::new(), text: "connect from localhost[127.0.0.1]".into() }.queue_id(),
            None
        );
    }
}
