//! What `flags=` on a line of smtp(8) or lmtp(8) adds: headers for the mailbox that lies behind, and who reports.
//!
//! Postfix 3.5: D Delivered-To with a check for loops, O X-Original-To, R Return-Path, X the last station.

use crate::local_role::text::{has_delivered_to, header};
use crate::report::{Report, ReportStyle, Verdict, Via};
use crate::{Assignment, DeliveryAgent};
use bytes::Bytes;
use config::parameters::Lmtp;
use config::{Error, Errors, Scope, ServiceLine};
use mail::{Content, Dsn, Job};
use observe::{Numbers, Tag};
use std::io;

/// Letters that `flags=` may hold.
const FLAGS: &str = "DORX";

/// Headers longer than this are not looked at for the mark of an earlier delivery.
const HEADERS_MAX: usize = 1 << 20;

/// The letters of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// D.
    pub delivered_to: bool,
    /// O.
    pub original_to: bool,
    /// R.
    pub return_path: bool,
    /// X, or `lmtp_assume_final`: an LMTP server that will not report a success is the last station.
    pub is_final: bool,
}

impl Marks {
    /// Reads them from the arguments of an smtp or lmtp line; the error holds every mistake.
    pub fn of(scope: &Scope<'_>, service: &ServiceLine) -> Result<Marks, Errors> {
        let mut letters = String::new();
        for word in &service.args {
            letters += word.strip_prefix("flags=").unwrap_or_default();
        }
        if let Some(letter) = letters.chars().find(|letter| !FLAGS.contains(*letter)) {
            let subject = format!("{}/{}", service.name, service.kind);
            let text =
                format!("{}: flags: expected letters out of {FLAGS}, found `{letter}`", service.command);
            return Err(Error::new(Some(service.origin.clone()), subject, text).into());
        }
        let has = |letter: char| letters.contains(letter);
        // An SMTP server is never the last station.
        let is_lmtp = service.command == "lmtp";
        let is_final = is_lmtp && (has('X') || Lmtp::read_in(scope)?.lmtp_assume_final);
        Ok(Marks { delivered_to: has('D'), original_to: has('O'), return_path: has('R'), is_final })
    }
}

/// A client whose messages are marked.
pub struct Marked<A> {
    agent: A,
    marks: Marks,
    tag: Tag,
    numbers: Numbers,
    style: ReportStyle,
}

impl<A: DeliveryAgent> Marked<A> {
    /// Marks what `agent` sends; what does not get that far is logged as `tag` with a number of `numbers`.
    pub fn new(agent: A, marks: Marks, tag: Tag, numbers: Numbers, style: ReportStyle) -> Self {
        Marked { agent, marks, tag, numbers, style }
    }

    fn refuse(&self, assignment: Assignment, verdict: &Verdict, advice: Option<String>) {
        let number = self.numbers.take();
        let transport = assignment.job.transport.clone();
        let mut report = Report::new(assignment, self.tag.numbered(*number), self.style);
        if let Some(advice) = advice {
            observe::warn(report.tag(), format_args!("{advice}"));
        }
        let via = Via { relay: &transport, conn_use: 1, connected: None };
        report.rest(via, net::clock::now(), verdict);
        report.finish(None);
    }
}

impl<A: DeliveryAgent> DeliveryAgent for Marked<A> {
    const KIND: &'static str = A::KIND;

    fn accept(&self, mut assignment: Assignment) {
        let marks = self.marks;
        if marks.is_final {
            assignment.outcomes = assignment.outcomes.at_the_last_station();
        }
        let job = &mut assignment.job;
        let of_one = marks.delivered_to || marks.original_to;
        if of_one && job.recipients.len() != 1 {
            let letter = if marks.delivered_to { 'D' } else { 'O' };
            let advice =
                format!("flag `{letter}' requires {}_destination_recipient_limit = 1", job.transport);
            let verdict = Verdict::failure(Dsn::new(4, 3, 5), "mail system configuration error");
            return self.refuse(assignment, &verdict, Some(advice));
        }
        if marks.delivered_to {
            let address = job.recipients[0].recipient.address.clone();
            match headers(&job.content) {
                Ok(headers) if has_delivered_to(&headers, &address) => {
                    let address = String::from_utf8_lossy(address.as_bytes());
                    let text = format!("mail forwarding loop for {address}");
                    return self.refuse(assignment, &Verdict::failure(Dsn::new(5, 4, 6), text), None);
                }
                Ok(_) => {}
                Err(error) => {
                    let text = format!("cannot read the message: {error}");
                    return self.refuse(assignment, &Verdict::failure(Dsn::new(4, 3, 0), text), None);
                }
            }
        }
        let lines = lines(job, marks);
        if !lines.is_empty() {
            let content =
                std::mem::replace(&mut job.content, Content::in_memory(Vec::new(), Default::default()));
            job.content = content.behind(Bytes::from(lines));
        }
        self.agent.accept(assignment);
    }
}

/// The lines in front of the content, in Postfix's order.
fn lines(job: &Job, marks: Marks) -> Vec<u8> {
    let mut out = Vec::new();
    if marks.return_path {
        header(&mut out, b"Return-Path: ", &[b"<", &job.sender.to_external()[..], b">"].concat());
    }
    if let [one] = &job.recipients[..] {
        if marks.original_to {
            header(&mut out, b"X-Original-To: ", &one.recipient.original.to_external());
        }
        if marks.delivered_to {
            header(&mut out, b"Delivered-To: ", &one.recipient.address.to_external());
        }
    }
    // `header` ends lines as mailboxes have them.
    let lines = out.split_inclusive(|&byte| byte == b'\n');
    lines.flat_map(|line| [&line[..line.len() - 1], b"\r\n"].concat()).collect()
}

/// The header with LF ends, as far as it may go.
fn headers(content: &Content) -> io::Result<Vec<u8>> {
    let (mut reader, mut headers) = (content.reader(), Vec::new());
    while let Some(piece) = reader.next_piece()? {
        headers.extend_from_slice(&piece);
        if headers.len() > HEADERS_MAX || memchr::memmem::find(&headers, b"\r\n\r\n").is_some() {
            break;
        }
    }
    headers.retain(|&byte| byte != b'\r');
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::super::testjob::{Seen, assignment};
    use super::*;
    use config::{Config, Host};
    use mail::{Outcome, Status};
    use observe::NumbersRange;
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    /// Takes all it gets as sent, by a server that reports or does not.
    #[derive(Clone, Default)]
    struct Taking(Rc<RefCell<Vec<String>>>);

    impl DeliveryAgent for Taking {
        const KIND: &'static str = "lmtp";

        fn accept(&self, mut assignment: Assignment) {
            let content = assignment.job.content.to_vec().unwrap();
            self.0.borrow_mut().push(String::from_utf8(content).unwrap());
            for (place, recipient) in assignment.job.recipients.iter().enumerate() {
                let dsn = Dsn::new(2, 0, 0);
                let sent = Outcome::new(assignment.job.id, recipient.index, Status::Sent, dsn, "ok");
                let reports = place > 0;
                assignment.outcomes.outcome(Outcome { relayed: true, next_hop_reports: reports, ..sent });
            }
            assignment.outcomes.done(None);
        }
    }

    fn read(line: &str, main_cf: &str) -> Result<Marks, String> {
        let config = Config::parse(Path::new("/etc/postfix"), main_cf, line, Host::default()).unwrap();
        let service = &config.services()[0];
        Marks::of(&config.scope(Some(service)), service).map_err(|e| e.to_string())
    }

    fn accepted(flags: &str, recipients: &[&str]) -> (Vec<String>, Vec<Outcome>) {
        let marks = read(&format!("x unix - - n - - lmtp {flags}\n"), "").unwrap();
        let (inner, seen) = (Taking::default(), Seen::new());
        let numbers = Numbers::new(NumbersRange::of_slot(0));
        let tag = Tag::new("postfix", "lmtp", 1);
        let agent = Marked::new(inner.clone(), marks, tag, numbers, ReportStyle::default());
        agent.accept(assignment("hop", recipients, &seen));
        assert_eq!(seen.done(), [None]);
        let sent = inner.0.borrow().clone();
        (sent, seen.outcomes())
    }

    #[test]
    fn each_letter_puts_its_header_in_front() {
        let rest = "Subject: x\r\n\r\nFrom here\r\nto there\r\n";
        for (flags, lines) in [
            ("", ""),
            ("flags=R", "Return-Path: <s@x.example>\r\n"),
            ("flags=O", "X-Original-To: a@a.example\r\n"),
            ("flags=D", "Delivered-To: a@a.example\r\n"),
            (
                "flags=DO flags=R",
                "Return-Path: <s@x.example>\r\nX-Original-To: a@a.example\r\nDelivered-To: a@a.example\r\n",
            ),
        ] {
            assert_eq!(accepted(flags, &["a@a.example"]).0, [format!("{lines}{rest}")], "{flags}");
        }
        assert_eq!(accepted("flags=R", &["a@a.example", "b@a.example"]).0.len(), 1);
    }

    #[test]
    fn a_header_of_one_recipient_wants_one_recipient() {
        for flags in ["flags=D", "flags=O"] {
            let (sent, outcomes) = accepted(flags, &["a@a.example", "b@a.example"]);
            assert!(sent.is_empty());
            assert!(outcomes.iter().all(|o| o.status == Status::Deferred && o.dsn == Dsn::new(4, 3, 5)));
        }
    }

    #[test]
    fn at_the_last_station_a_success_that_nobody_else_reports_is_a_delivery() {
        let relayed = |flags| {
            let outcomes = accepted(flags, &["a@a.example", "b@a.example"]).1;
            outcomes.iter().map(|outcome| outcome.relayed).collect::<Vec<_>>()
        };
        assert_eq!((relayed("flags=X"), relayed("")), (vec![false, true], vec![true, true]));
    }

    #[test]
    fn letters_and_lmtp_assume_final_are_read() {
        let x = Marks { is_final: true, ..Marks::default() };
        assert_eq!(read("x unix - - n - - lmtp\n", "lmtp_assume_final = yes\n"), Ok(x));
        assert_eq!(read("x unix - - n - - smtp\n", "lmtp_assume_final = yes\n"), Ok(Marks::default()));
        assert_eq!(read("x unix - - n - - lmtp flags=X\n", ""), Ok(x));
        assert_eq!(read("x unix - - n - - smtp flags=X\n", ""), Ok(Marks::default()));
        assert_eq!(
            read("x unix - - n - - smtp flags=RB\n", "").unwrap_err(),
            "/etc/postfix/master.cf:1: x/unix: smtp: flags: expected letters out of DORX, found `B`"
        );
    }
}
