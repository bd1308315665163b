//! Each reply of the server outside the restrictions, of the restrictions and of postscreen stands in some case.

use crate::honoured;
use State::{Shown, Tested, Waits};
use regex_lite::Regex;
use testkit::play::Transcript;

/// Whether a reply can be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Some case shows it.
    Shown,
    /// It comes with what is named. The ring fails once a case shows it: the row has to change then.
    Waits(&'static str),
    /// No dialogue can show it on both programs; a test of this package and name shows it on ours.
    Tested(&'static str),
}

const TLS: State = Waits("STARTTLS");
const SASL: State = Waits("AUTH");
const MILTER: State = Waits("milters");
const FLUSH: State = Waits("fast flush");

/// Groups of rows; a pattern is one whole line of a reply, in which HOST is our name and PEER `name[address]`.
const REPLIES: &[&[(&str, State)]] = &[SESSION, TRANSACTION, CONTENT, OTHERS, RESTRICTIONS, POSTSCREEN];

/// The session itself.
const SESSION: &[(&str, State)] = &[
    ("220 HOST ESMTP Postfix", Shown),
    ("554 5.7.1 <PEER>: Client host rejected: Access denied", Shown),
    ("503 5.7.0 Error: access denied for PEER", Shown),
    ("554 HOST ESMTP not accepting connections", MILTER),
    ("421 HOST Service unavailable - try again later", Shown),
    ("421 4.3.0 Mail system error", MILTER),
    ("421 4.3.0 HOST Server local error", Shown),
    ("421 4.3.0 HOST Server local data error", Shown),
    ("421 4.7.0 HOST Error: too many connections from ADDR", Shown),
    ("450 4.7.1 Error: too much mail from ADDR", Shown),
    ("450 4.7.1 Error: too many recipients from ADDR", Shown),
    ("421 4.7.0 HOST Error: too many errors", Shown),
    ("421 4.4.2 HOST Error: timeout exceeded", Shown),
    ("500 5.5.2 HOST Error: command too long", Shown),
    ("550 5.5.2 HOST Error: bare <LF> received", Shown),
    ("5[0-46-9]. 5.5.2 HOST Error: bare <LF> received", Shown),
    ("500 5.5.2 Error: bad UTF-8 syntax", Shown),
    ("500 5.5.2 Error: bad syntax", Shown),
    ("500 5.5.2 Error: command not recognized", Shown),
    ("502 5.5.1 Error: command not implemented", Shown),
    ("221 2.7.0 Error: I can break rules, too. Goodbye.", Shown),
    ("554 5.5.0 Error: SMTP protocol synchronization", Shown),
    ("421 (?:4.7.1 )?<PEER>: Client host rejected: .*", Shown),
    ("521 (?:5.7.1 )?<PEER>: Client host rejected: .*", Shown),
    ("221 2.0.0 Bye", Shown),
    ("250 2.0.0 Ok", Shown),
    ("214 2.0.0 Commands: .*", Shown),
    ("252 2.0.0 .+@.+", Shown),
    ("502 5.5.1 VRFY command is disabled", Shown),
    ("250 HOST", Shown),
    ("250-HOST", Shown),
    ("501 Syntax: HELO hostname", Shown),
    ("501 Syntax: EHLO hostname", Shown),
];

/// MAIL and RCPT.
const TRANSACTION: &[(&str, State)] = &[
    ("250 2.1.0 Ok", Shown),
    ("503 5.5.1 Error: send HELO/EHLO first", Shown),
    ("503 5.5.1 Error: nested MAIL command", Shown),
    ("503 5.5.1 Error: MAIL after BDAT", Shown),
    ("501 5.5.4 Syntax: MAIL FROM:<address>", Shown),
    ("501 5.1.7 Bad sender address syntax", Shown),
    ("501 5.5.4 Bad message size syntax", Shown),
    ("552 5.3.4 Message size exceeds file system imposed limit", Shown),
    ("552 5.3.4 Message size exceeds fixed limit", Shown),
    ("452 4.3.1 Insufficient system storage", Shown),
    ("501 5.5.4 Bad RET parameter syntax", Shown),
    ("501 5.5.4 Bad ENVID parameter syntax", Shown),
    ("501 5.7.1 DSN support is disabled", Shown),
    ("555 5.5.4 Unsupported option: .+", Shown),
    ("503 5.5.4 Error: XVERP requires non-null sender", Shown),
    ("501 5.5.4 Error: XVERP needs two characters from .+", Shown),
    ("553 5.6.7 Must declare SMTPUTF8 to send unicode address", Shown),
    ("250 2.1.5 Ok", Shown),
    ("503 5.5.1 Error: need MAIL command", Shown),
    ("503 5.5.1 Error: RCPT after BDAT", Shown),
    ("501 5.5.4 Syntax: RCPT TO:<address>", Shown),
    ("501 5.1.3 Bad recipient address syntax", Shown),
    ("501 5.5.4 Error: Bad NOTIFY parameter syntax", Shown),
    ("501 5.5.4 Error: Bad ORCPT parameter syntax", Shown),
    ("452 4.5.3 Error: too many recipients", Shown),
];

/// DATA, BDAT, and what becomes of the message.
const CONTENT: &[(&str, State)] = &[
    ("354 End data with <CR><LF>.<CR><LF>", Shown),
    ("503 5.5.1 Error: need RCPT command", Shown),
    ("503 5.5.1 Error: DATA after BDAT", Shown),
    ("554 5.5.1 Error: no valid recipients", Shown),
    ("501 5.5.4 Syntax: DATA", Shown),
    ("250 2.0.0 Ok: queued as ID", Shown),
    ("250 2.0.0 Ok: [0-9]+ bytes", Shown),
    ("250 2.0.0 Ok: [0-9]+ bytes queued as ID", Shown),
    ("521 5.5.1 Error: command not implemented", Shown),
    ("521 5.5.4 Syntax: BDAT count \\[LAST\\]", Shown),
    ("551 5.7.1 Null BDAT request", Shown),
    ("551 5.0.0 Discarded [0-9]+ bytes after earlier error", Shown),
    ("552 5.3.4 Chunk exceeds message size limit", Shown),
    ("451 4.3.0 Error: queue file write error", Tested("smtpd a_failed_write_gives_451_and_a_full_disk_452")),
    ("552 5.3.4 Error: message file too big", Shown),
    ("554 5.4.0 Error: too many hops", Shown),
    ("550 5.7.1 Error: message content rejected", Waits("header_checks and body_checks")),
    ("550 5.7.1 Error: service denied", Waits("QMQP and proxies")),
    ("550 5.1.0 Error: no recipients specified", Waits("cleanup's own count of recipients")),
    ("451 4.3.0 Error: internal error .*", Waits("a cleanup that speaks another protocol")),
    ("451 4.7.1 Error: service unavailable", MILTER),
];

/// ETRN, STARTTLS, AUTH, XCLIENT and XFORWARD.
const OTHERS: &[(&str, State)] = &[
    ("250 Queuing started", FLUSH),
    ("458 Unable to queue messages", Shown),
    ("459 <.+>: service unavailable", Shown),
    ("500 Syntax: ETRN domain", Shown),
    ("501 Error: invalid parameter syntax", Shown),
    ("503 Error: send HELO/EHLO first", Shown),
    ("503 Error: MAIL transaction in progress", Shown),
    ("530 5.7.0 Must issue a STARTTLS command first", TLS),
    ("220 2.0.0 Ready to start TLS", TLS),
    ("501 5.5.4 Syntax: STARTTLS", Shown),
    ("454 4.3.0 Try again later", TLS),
    ("454 4.7.0 TLS not available due to local problem", TLS),
    ("454 4.7.0 Error: too many new TLS sessions from PEER", TLS),
    ("421 4.7.0 HOST Error: too many new TLS sessions from PEER", TLS),
    ("554 5.5.1 Error: TLS already active", TLS),
    ("421 4.7.1 HOST Error: No client certificate presented", TLS),
    ("421 4.7.1 HOST Error: Client certificate not trusted", TLS),
    ("450 4.7.1 Error: too many AUTH commands from ADDR", SASL),
    ("334 .*", SASL),
    ("235 2.7.0 Authentication successful", SASL),
    ("535 5.7.8 Error: authentication failed: .*", SASL),
    ("454 4.7.0 Temporary authentication failure: .*", SASL),
    ("501 5.7.0 Authentication aborted", SASL),
    ("500 5.5.6 SASL response limit exceeded", SASL),
    ("503 5.5.1 Error: authentication not enabled", Shown),
    ("503 5.5.1 Error: already authenticated", SASL),
    ("504 5.5.4 Encryption required for requested authentication mechanism", SASL),
    ("501 5.5.4 Syntax: AUTH mechanism", SASL),
    ("550 5.7.0 Error: insufficient authorization", Shown),
    ("501 5.5.4 Syntax: XCLIENT attribute=value...", Shown),
    ("501 5.5.4 Syntax: XFORWARD attribute=value...", Shown),
    ("501 5.5.4 Bad [A-Z_]+ syntax: .*", Shown),
    ("501 5.5.4 Bad XCLIENT attribute name: .*", Shown),
    ("501 5.5.4 Bad XFORWARD attribute name: .*", Shown),
    ("501 5.5.4 Error: attribute=value expected", Shown),
    ("501 5.5.4 Error: attribute value too long", Shown),
    ("503 5.5.1 Error: MAIL transaction in progress", Shown),
];

/// What restrictions say.
const RESTRICTIONS: &[(&str, State)] = &[
    ("450 4.7.25 Client host rejected: cannot find your hostname, \\[ADDR\\]", Shown),
    ("450 4.7.1 Client host rejected: cannot find your reverse hostname, \\[ADDR\\]", Shown),
    ("450 4.7.1 Session encryption is required", Shown),
    ("501 5.5.2 <.*>: Helo command rejected: invalid ip address", Shown),
    ("501 5.5.2 <.*>: Helo command rejected: Invalid name", Shown),
    ("504 5.5.2 <.*>: Helo command rejected: need fully-qualified hostname", Shown),
    ("450 4.7.1 <.*>: Helo command rejected: Host not found", Shown),
    ("504 5.5.2 <.*>: Sender address rejected: need fully-qualified address", Shown),
    ("504 5.5.2 <.*>: Recipient address rejected: need fully-qualified address", Shown),
    ("450 4.1.8 <.*>: Sender address rejected: Domain not found", Shown),
    ("450 4.1.2 <.*>: Recipient address rejected: Domain not found", Shown),
    ("550 5.7.27 <.*>: Sender address rejected: Domain .+ does not accept mail \\(nullMX\\)", Shown),
    ("556 5.1.10 <.*>: Recipient address rejected: Domain .+ does not accept mail \\(nullMX\\)", Shown),
    ("[45]50 [45].1.[82] <.*>: .* address rejected: Malformed DNS server reply", Shown),
    ("554 5.7.1 <.*>: Relay access denied", Shown),
    ("454 4.7.1 <.*>: Relay access denied", Shown),
    ("503 5.5.0 <.*>: .* rejected: Improper use of SMTP command pipelining", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: User unknown in local recipient table", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: User unknown in virtual mailbox table", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: User unknown in relay recipient table", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: User unknown in virtual alias table", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: User unknown", Shown),
    ("550 5.1.0 <.*>: Sender address rejected: User unknown in .* table", Shown),
    ("45[0-2] 4.1.1 <.*>: Recipient address rejected: un(?:deliverable|verified) address: .*", Shown),
    ("45[0-2] 4.1.7 <.*>: Sender address rejected: unverified address: .*", Shown),
    ("550 5.1.1 <.*>: Recipient address rejected: undeliverable address: .*", Shown),
    ("550 5.1.7 <.*>: Sender address rejected: undeliverable address: .*", Shown),
    ("553 5.7.1 <.*>: Sender address rejected: not owned by user .*", Shown),
    ("553 5.7.1 <.*>: Sender address rejected: not logged in", Shown),
    ("550 5.5.3 <.*>: .* rejected: Multi-recipient bounce", Shown),
    ("554 5.7.1 Service unavailable; Client host \\[ADDR\\] blocked using [^;]+", Shown),
    ("554 5.7.1 Service unavailable; Client host \\[ADDR\\] blocked using .+; .+", Shown),
    ("554 5.7.1 Service unavailable; Unverified Client host \\[.+\\] blocked using .+", Shown),
    ("554 5.7.1 Service unavailable; Helo command \\[.+\\] blocked using .+", Shown),
    ("554 5.7.1 Service unavailable; Sender address \\[.+\\] blocked using .+", Shown),
    ("554 5.7.1 Service unavailable; Recipient address \\[.+\\] blocked using .+", Shown),
    ("554 5.7.1 <.*>: .* rejected: Access denied", Shown),
    ("450 4.3.2 <.*>: .* rejected: Try again later", Shown),
    ("450 4.7.1 <.*>: .* rejected: .*", Shown),
    ("554 5.7.1 <.*>: Unverified Client host rejected: .*", Shown),
    ("554 5.7.1 <.*>: Helo command rejected: .*", Shown),
    ("554 5.7.1 <.*>: Sender address rejected: .*", Shown),
    ("554 5.7.1 <.*>: Recipient address rejected: .*", Shown),
    ("554 5.7.1 <DATA>: Data command rejected: .*", Shown),
    ("554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: .*", Shown),
    ("554 5.7.1 <.*>: Etrn command rejected: .*", Shown),
    ("554 5.7.1 <.*>: SASL login name rejected: .*", Shown),
    ("554 5.7.1 <.*>: Client certificate rejected: .*", TLS),
    ("451 4.3.0 <.*>: Temporary lookup failure", Shown),
    ("451 4.3.5 <.*>: .* rejected: Server configuration problem", Shown),
    ("451 4.3.5 <.*>: .* rejected: Server configuration error", Shown),
    ("451 4.3.5 Server configuration error", Shown),
];

/// What postscreen says.
const POSTSCREEN: &[(&str, State)] = &[
    ("220-HOST ESMTP Postfix", Shown),
    ("521 5.3.2 Service currently unavailable", Shown),
    ("550 5.3.2 Service currently unavailable", Shown),
    ("521 5.5.1 Protocol error", Shown),
    ("550 5.5.1 Protocol error", Shown),
    ("521 5.7.1 Service unavailable; client \\[ADDR\\] blocked using .+", Shown),
    ("550 5.7.1 Service unavailable; client \\[ADDR\\] blocked using .+", Shown),
    ("450 4.3.2 Service currently unavailable", Shown),
    ("421 4.3.2 Service currently unavailable", Shown),
    ("421 4.3.2 All server ports are busy", Shown),
    ("421 4.3.2 All screening ports are busy", Shown),
    ("421 4.7.0 Error: too many connections", Shown),
    ("421 4.3.2 No system resources", Shown),
    ("521 5.7.0 Error: I can break rules, too. Goodbye.", Shown),
    ("502 5.5.2 Error: command not recognized", Shown),
];

/// The pattern of a row as a regular expression.
fn pattern(row: &str) -> Regex {
    let row = row.replace("HOST", r"mail\.example\.com").replace("PEER", r"[^ ]+\[ADDR\]");
    let row = row.replace("ADDR", r"[0-9a-f.:]+");
    Regex::new(&format!("^{row}$")).expect("rows are constants")
}

/// A reply in a dialogue, or behind other words in what a command of a case prints.
fn reply<'a>(case: &'a String, part: &str, line: &'a str) -> Option<(&'a String, &'a str)> {
    match part {
        "replies" => Some((case, line.strip_prefix("S: ")?)),
        "run" => {
            let begins = |at: &usize| {
                let rest = &line[*at..];
                rest.starts_with(['2', '4', '5']) && rest.get(3..4) == Some(" ")
            };
            let words = std::iter::once(0).chain(line.match_indices(' ').map(|(at, _)| at + 1));
            let start = words.filter(begins).max()?;
            Some((case, line[start..].trim_end_matches("\\x0d")))
        }
        _ => None,
    }
}

/// The replies that no case shows, and those that are shown before their time.
pub(super) fn gaps(shown: &[Transcript]) -> Vec<String> {
    let lines = shown.iter().flat_map(|case| case.lines.iter().map(|(part, line)| (&case.case, part, line)));
    let replies: Vec<(&String, &str)> =
        lines.filter_map(|(case, part, line)| reply(case, part, line)).collect();
    let rows = REPLIES.iter().copied().flatten();
    rows.filter_map(|(row, state)| {
        let pattern = pattern(row);
        let found = replies.iter().find(|(_, line)| pattern.is_match(line));
        match (found, state) {
            (None, Shown) => Some(format!("no case shows the reply {row}")),
            (Some((case, _)), Waits(what)) => Some(format!(
                "{case} shows the reply {row}, of which the ring's table says: waits for {what}"
            )),
            (_, Tested(test)) => {
                let (package, name) = test.split_once(' ').expect("rows are constants");
                honoured::rust_text(package, name).err().map(|why| format!("the reply {row}: {why}"))
            }
            _ => None,
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_patterns_of_whole_lines() {
        assert!(pattern("250-HOST").is_match("250-mail.example.com"));
        assert!(!pattern("250 HOST").is_match("250 mail.example.com more"));
        let row = pattern("503 5.7.0 Error: access denied for PEER");
        assert!(row.is_match("503 5.7.0 Error: access denied for unknown[2001:db8::1]"));
    }

    #[test]
    fn a_reply_that_no_case_shows_is_told_and_so_is_one_before_its_time() {
        let line = |text: &str| ("replies".to_owned(), format!("S: {text}"));
        let lines = vec![line("221 2.0.0 Bye"), line("235 2.7.0 Authentication successful")];
        let gaps = gaps(&[Transcript { case: "a/b".into(), lines }]);
        assert!(!gaps.iter().any(|gap| gap.contains("Bye")));
        assert!(gaps.contains(&"no case shows the reply 250 2.1.5 Ok".to_owned()));
        assert!(gaps.iter().any(|gap| gap.starts_with("a/b shows the reply 235") && gap.ends_with("AUTH")));
    }
}
