//! Dialogues with a session whose driver agrees to everything, unless a test says otherwise.

use super::*;
use crate::smtp::command::Verb;
use mail::Dsn;
use std::sync::Arc;

pub(super) struct Yes;
pub(super) struct Done(QueueId);

impl Queued for Done {
    fn queue_id(&self) -> &QueueId {
        &self.0
    }
}

impl Host for Yes {
    type Mail = Vec<u8>;
    type Permit = ();
    type Committed = Done;
}

/// A session and what it did so far.
struct Talk {
    session: Session<Yes>,
    queued: Vec<(Vec<u8>, Vec<String>)>,
    notes: Vec<Note>,
    sleeps: usize,
    closed: bool,
    refuse: fn(&Ask) -> Option<Reply>,
}

impl Talk {
    fn new(change: impl FnOnce(&mut Settings, &mut Peer)) -> (Talk, String) {
        let mut settings = Settings::of_host("mx.example.org");
        let mut peer = Peer::stranger("unknown[192.0.2.1]");
        change(&mut settings, &mut peer);
        let mut out = Outputs::default();
        let (session, next) = Session::start(Arc::new(settings), peer, &mut out);
        let mut talk =
            Talk { session, queued: vec![], notes: vec![], sleeps: 0, closed: false, refuse: |_| None };
        let said = talk.go_on(next, Bytes::new(), out);
        (talk, said)
    }

    /// A session behind EHLO.
    fn with(change: impl FnOnce(&mut Settings, &mut Peer)) -> Talk {
        let (mut talk, _) = Talk::new(change);
        talk.say("EHLO client\r\n");
        talk
    }

    fn open() -> Talk {
        Talk::with(|_, _| ())
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let mut input = Bytes::copy_from_slice(bytes.as_ref());
        let mut out = Outputs::default();
        let next = self.session.step(Input::Bytes(&mut input), &mut out);
        self.go_on(next, input, out)
    }

    fn go_on(&mut self, mut next: Next<Yes>, mut input: Bytes, mut out: Outputs) -> String {
        loop {
            let answer = match next {
                Next::Read if input.is_empty() => break,
                Next::Refused => {
                    self.write_refusals(&mut out);
                    None
                }
                Next::Close => {
                    self.write_refusals(&mut out);
                    self.closed = true;
                    break;
                }
                Next::Read => None,
                Next::Sleep(_) => {
                    self.sleeps += 1;
                    None
                }
                Next::Body(piece) => {
                    self.session.mail_mut().unwrap().extend_from_slice(&piece);
                    None
                }
                Next::Ask(ask) => Some(match ((self.refuse)(&ask), ask) {
                    (Some(reply), Ask::Noop(_) | Ask::Forbidden(_)) if reply.code == 200 => Answer::Listed,
                    (Some(reply), Ask::Filter(_)) if reply.code == 200 => Answer::Command(reply.text.into()),
                    (Some(reply), _) => Answer::Refuse(reply),
                    (None, Ask::Mail(_)) => Answer::Mail(Vec::new()),
                    (None, Ask::Rcpt(_)) => Answer::Recipient(()),
                    (None, Ask::Xclient(_)) => Answer::Peer(Box::new(Peer::stranger("other[192.0.2.2]"))),
                    (None, _) => Answer::Pass,
                }),
                Next::Commit(transaction) => {
                    let (_, mail, recipients) = transaction.into_parts();
                    let recipients = recipients.iter().map(|(r, ())| r.address.to_string()).collect();
                    self.queued.push((mail, recipients));
                    Some(Answer::Queued(Done(QueueId::parse("ID1").unwrap())))
                }
            };
            next = match answer {
                Some(answer) => self.session.step(Input::Answer(answer), &mut out),
                None => self.session.step(Input::Bytes(&mut input), &mut out),
            };
        }
        self.write_refusals(&mut out);
        self.notes.append(&mut out.notes);
        String::from_utf8(out.replies).unwrap()
    }

    /// A driver that adds the envelope to each refusal, and ends the session at one that says so.
    fn write_refusals(&mut self, out: &mut Outputs) {
        for refusal in out.refusals.drain(..) {
            let envelope =
                refusal.envelope.map(|(from, to)| format!("{from} {}", to.unwrap_or(Address::null())));
            let text = format!("{}\n({})", refusal.reply.text, envelope.unwrap_or_default());
            if text.starts_with("Out") {
                self.session.hang_up();
            }
            assert_eq!(refusal.at, out.replies.len());
            crate::smtp::reply::write(&Reply { text, ..refusal.reply }, &mut out.replies);
        }
    }
}

const ENVELOPE: &str = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n";

#[test]
fn a_pipelined_message_is_queued_and_the_replies_come_in_order() {
    let mut talk = Talk::open();
    assert_eq!(
        talk.say(format!("{ENVELOPE}DATA\r\n")),
        "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
    );
    let end = talk.say("Subject: x\r\n\r\n..hello\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n");
    assert_eq!(end, "250 2.0.0 Ok: queued as ID1\r\n250 2.1.0 Ok\r\n221 2.0.0 Bye\r\n");
    assert_eq!(talk.queued, [(b"Subject: x\r\n\r\n.hello\r\n".to_vec(), vec!["b@example.org".into()])]);
    assert!(talk.closed && talk.notes.is_empty());
    let counts: Vec<_> = talk.session.counts().iter().filter(|c| c.2 > 0).map(|c| (c.0, c.1, c.2)).collect();
    assert_eq!(
        counts,
        [(Verb::Ehlo, 1, 1), (Verb::Mail, 2, 2), (Verb::Rcpt, 1, 1), (Verb::Data, 1, 1), (Verb::Quit, 1, 1)]
    );
}

#[test]
fn ehlo_lists_the_keywords_in_postfix_order() {
    let mut talk = Talk::open();
    assert_eq!(
        talk.say("EHLO client\r\n"),
        "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
    );
    let (mut talk, _) = Talk::new(|s, p| {
        s.disable_vrfy_command = true;
        s.message_size_limit = 0;
        p.discard_ehlo = EhloKeywords { dsn: true, chunking: true, ..Default::default() };
    });
    assert_eq!(
        talk.say("EHLO client\r\n"),
        "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-ETRN\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-8BITMIME\r\n250 SMTPUTF8\r\n"
    );
    assert_eq!(talk.say("MAIL FROM:<a@b.c> RET=FULL\r\n"), "501 5.7.1 DSN support is disabled\r\n");
}

#[test]
fn chunks_make_a_message_and_errors_throw_the_rest_away() {
    let mut talk = Talk::open();
    let said = talk.say(format!("{ENVELOPE}BDAT 5\r\nSub.\rBDAT 6 LAST\r\n\n.\r\n.\rNOOP\r\n"));
    assert_eq!(
        said,
        "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: 5 bytes\r\n250 2.0.0 Ok: 13 bytes queued as ID1\r\n250 2.0.0 Ok\r\n"
    );
    assert_eq!(talk.queued[0].0, b"Sub.\r\n.\r\n. \r\n");
    let said = talk.say("BDAT 3\r\nabcBDAT 2\r\nxyMAIL FROM:<>\r\nBDAT 1 LAST\r\nzMAIL FROM:<>\r\n");
    assert_eq!(
        said,
        "503 5.5.1 Error: need RCPT command\r\n551 5.0.0 Discarded 2 bytes after earlier error\r\n\
         503 5.5.1 Error: MAIL after BDAT\r\n551 5.0.0 Discarded 1 bytes after earlier error\r\n250 2.1.0 Ok\r\n"
    );
    assert_eq!(talk.say("BDAT 0\r\n"), "551 5.7.1 Null BDAT request\r\n");
    assert_eq!(talk.say("BDAT x\r\n"), "521 5.5.4 Syntax: BDAT count [LAST]\r\n");
    assert!(talk.closed);
}

#[test]
fn a_message_beyond_the_size_limit_is_refused_and_the_session_goes_on() {
    let mut talk = Talk::with(|s, _| s.message_size_limit = 100);
    assert_eq!(talk.say("MAIL FROM:<> SIZE=101\r\n"), "552 5.3.4 Message size exceeds fixed limit\r\n");
    talk.say(format!("{ENVELOPE}DATA\r\n"));
    assert_eq!(
        talk.say(format!("{}\r\n.\r\n", "x".repeat(5000))),
        "552 5.3.4 Error: message file too big\r\n"
    );
    assert!(talk.queued.is_empty() && talk.notes.contains(&Note::MessageTooBig));
    let said = talk.say(format!("{ENVELOPE}BDAT 101 LAST\r\n{}NOOP\r\n", "x".repeat(101)));
    assert!(said.ends_with("552 5.3.4 Chunk exceeds message size limit\r\n250 2.0.0 Ok\r\n"), "{said}");
}

#[test]
fn errors_slow_the_client_down_and_then_end_the_session() {
    let mut talk = Talk::open();
    let said = talk.say("FOO\r\n".repeat(30));
    assert_eq!(said.matches("500 5.5.2 Error: command not recognized").count(), 20);
    assert!(said.ends_with("421 4.7.0 mx.example.org Error: too many errors\r\n"));
    assert_eq!((talk.sleeps, talk.closed), (11, true), "ten errors and the last word");
    let ended = Note::Ended { how: Ending::TooManyErrors, after: "UNKNOWN".into() };
    assert_eq!(talk.notes, [ended]);
}

#[test]
fn commands_that_bring_no_mail_become_errors_in_the_end() {
    let (mut talk, _) = Talk::new(|s, _| s.error_sleep_time = std::time::Duration::ZERO);
    let said: String = (0..200).map_while(|_| (!talk.closed).then(|| talk.say("RSET\r\n"))).collect();
    assert_eq!(said.matches("250 2.0.0 Ok").count(), 121);
}

#[test]
fn a_client_that_does_not_wait_is_thrown_out() {
    let (talk, said) = Talk::new(|_, p| p.early = b"EHLO x\r\n".to_vec());
    assert_eq!(said, "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert!(talk.closed);
    assert_eq!(talk.notes, [Note::ImproperPipelining { after: "CONNECT", data: b"EHLO x\r\n".to_vec() }]);
    // PIPELINING is EHLO's.
    let (mut talk, _) = Talk::new(|_, _| ());
    talk.say("HELO x\r\n");
    assert_eq!(talk.say(ENVELOPE), "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    let mut talk = Talk::open();
    assert_eq!(talk.say("EHLO x\r\nNOOP\r\n"), "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert!(talk.closed);
    assert_eq!(talk.notes, [Note::ImproperPipelining { after: "EHLO", data: b"NOOP\r\n".to_vec() }]);
    let (mut talk, _) = Talk::new(|s, _| s.forbid_unauth_pipelining = false);
    assert!(talk.say("EHLO x\r\nNOOP\r\n").ends_with("CHUNKING\r\n250 2.0.0 Ok\r\n"));
}

#[test]
fn lines_are_bounded_and_need_not_come_at_once() {
    let mut talk = Talk::open();
    for part in ["RS", "E", "T\r", "\nRSE"] {
        talk.say(part);
    }
    assert_eq!(talk.say("T\r\n"), "250 2.0.0 Ok\r\n");
    for _ in 0..1000 {
        assert_eq!(talk.say("x".repeat(10_000)), "");
        assert!(talk.session.partial_len() <= 2 * 2049);
    }
    assert_eq!(
        talk.say("\r\nNOOP\r\n"),
        "500 5.5.2 mx.example.org Error: command too long\r\n250 2.0.0 Ok\r\n"
    );
}

#[test]
fn the_limit_of_a_line_is_the_same_for_any_size_of_reads() {
    for (length, good) in [(2047, true), (2048, false)] {
        let line = format!("RSET {}\r\n", "x".repeat(length - 5));
        let whole = Talk::open().say(&line);
        let mut talk = Talk::open();
        let torn: String = line.bytes().map(|b| talk.say([b])).collect();
        assert_eq!(whole, torn);
        assert_eq!(whole.starts_with("501"), good, "{length}: {whole}");
    }
}

#[test]
fn a_bare_newline_is_refused_where_it_is_forbidden() {
    let (mut talk, _) = Talk::new(|_, p| p.bare_newline = BareNewline::Reject);
    assert_eq!(talk.say("NOOP\n"), "550 5.5.2 mx.example.org Error: bare <LF> received\r\n");
    assert!(talk.closed);
    let mut talk = Talk::with(|_, p| p.bare_newline = BareNewline::Reject);
    talk.say(format!("{ENVELOPE}DATA\r\n"));
    // The message is refused; the session may go on.
    assert_eq!(talk.say("a\nb\r\n.\r\n"), "550 5.5.2 mx.example.org Error: bare <LF> received\r\n");
    assert!(!talk.closed && talk.queued.is_empty());
    let envelope = Some(("a@example.net".into(), Some("b@example.org".into())));
    assert_eq!(talk.notes, [Note::BareNewline { command: "END-OF-MESSAGE", envelope }]);
    let mut talk = Talk::with(|s, p| {
        (p.bare_newline, s.forbid_bare_newline_reject_code) = (BareNewline::Reject, 521);
    });
    talk.say(format!("{ENVELOPE}DATA\r\n"));
    assert!(talk.say("a\nb\r\n.\r\nNOOP\r\n").starts_with("521 5.5.2 ") && talk.closed);
}

#[test]
fn soft_bounce_makes_every_refusal_temporary() {
    let mut talk = Talk::with(|s, _| s.soft_bounce = true);
    assert_eq!(talk.say("FOO\r\n"), "400 4.5.2 Error: command not recognized\r\n");
    assert_eq!(talk.say("RCPT TO:<x>\r\n"), "403 4.5.1 Error: need MAIL command\r\n");
    assert_eq!(talk.say("BDAT x\r\n"), "421 4.5.4 Syntax: BDAT count [LAST]\r\n");
    assert!(talk.closed);
}

#[test]
fn recipients_beyond_the_limit_are_refused_and_only_the_overshoot_is_free() {
    let mut talk = Talk::with(|s, _| (s.recipient_limit, s.recipient_overshoot_limit) = (1, 2));
    talk.say(ENVELOPE);
    let said = talk.say("RCPT TO:<c@example.org>\r\n".repeat(30));
    assert_eq!(said.matches("452 4.5.3 Error: too many recipients").count(), 22);
    assert!(talk.closed);
}

#[test]
fn a_refusal_by_the_driver_is_passed_on_and_421_ends_the_session() {
    let mut talk = Talk::open();
    talk.refuse = |ask| match ask {
        Ask::Rcpt(r) if r.address.local_part() == b"no" => Some(Reply::new(554, Dsn::new(5, 7, 1), "No")),
        Ask::Rcpt(r) if r.address.local_part() == b"out" => Some(Reply::new(421, Dsn::new(4, 7, 0), "Out")),
        _ => None,
    };
    let said = talk.say("MAIL FROM:<>\r\nRCPT TO:<no@b.c>\r\nDATA\r\n");
    assert_eq!(said, "250 2.1.0 Ok\r\n554 5.7.1 No\r\n554 5.5.1 Error: no valid recipients\r\n");
    assert_eq!(talk.say("RCPT TO:<out@b.c>\r\n"), "421 4.7.0 Out\r\n");
    assert!(talk.closed && talk.session.transaction().is_none());
}

#[test]
fn a_counted_command_is_asked_about_when_it_is_meant_and_before_its_arguments_are_read() {
    let both = Counted { messages: true, recipients: true };
    let mut talk = Talk::with(|_, peer| peer.counted = both);
    // Nothing speaks against it: the session goes on as it would.
    assert_eq!(talk.say(ENVELOPE), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
    assert_eq!(talk.say("VRFY b@example.org\r\n"), "252 2.0.0 b@example.org\r\n");
    assert_eq!(talk.say("RSET\r\n"), "250 2.0.0 Ok\r\n");
    // What is out of order or no such command is not counted; what has bad arguments is.
    talk.refuse = |ask| {
        let Ask::Count(verb) = ask else { return None };
        Some(Reply::new(450, Dsn::new(4, 7, 1), format!("Error: too much of {}", verb.name())))
    };
    for (line, reply) in [
        ("RCPT TO:<b@example.org>", "503 5.5.1 Error: need MAIL command"),
        ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a b> NONSENSE", "450 4.7.1 Error: too much of MAIL"),
        ("VRFY", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]"),
        ("VRFY <", "450 4.7.1 Error: too much of VRFY"),
    ] {
        assert_eq!(talk.say(format!("{line}\r\n")), format!("{reply}\r\n"), "{line}");
    }
    talk.refuse = |ask| {
        let is_recipient = matches!(ask, Ask::Count(Verb::Rcpt));
        is_recipient.then(|| Reply::new(450, Dsn::new(4, 7, 1), "Error: too many"))
    };
    let said = talk.say("MAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT foo\r\nRCPT TO:<b@c> NONSENSE\r\n");
    let replies: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(replies, ["250", "503", "501", "450"], "{said}");
}

#[test]
fn a_client_refused_at_connect_may_only_quit() {
    let mut settings = Settings::of_host("mx.example.org");
    settings.delay_reject = false;
    let peer = Peer::stranger("unknown[192.0.2.1]");
    let mut out = Outputs::default();
    let (session, next) = Session::start(Arc::new(settings), peer, &mut out);
    let refuse = |ask: &Ask| (*ask == Ask::Connect).then(|| Reply::new(554, Dsn::new(5, 7, 1), "No"));
    let mut talk = Talk { session, queued: vec![], notes: vec![], sleeps: 0, closed: false, refuse };
    let said = talk.go_on(next, Bytes::new(), out);
    assert_eq!(said, "554 5.7.1 No\r\n");
    assert_eq!(talk.say("EHLO x\r\n"), "503 5.7.0 Error: access denied for unknown[192.0.2.1]\r\n");
    assert_eq!(talk.say("QUIT\r\n"), "221 2.0.0 Bye\r\n");
}

#[test]
fn after_xclient_the_session_begins_anew_with_the_other_client() {
    let mut talk = Talk::with(|_, peer| peer.xclient = true);
    assert!(talk.say("EHLO x\r\n").contains("\r\n250-ETRN\r\n250-XCLIENT NAME ADDR PROTO HELO "));
    assert_eq!(talk.say("XFORWARD NAME=x\r\n"), "550 5.7.0 Error: insufficient authorization\r\n");
    assert_eq!(talk.say("XCLIENT NAME=other HELO=h\r\n"), "220 mx.example.org ESMTP Postfix\r\n");
    assert_eq!((talk.session.helo(), talk.session.protocol()), (Some("h"), "SMTP"));
    assert_eq!(talk.say("XCLIENT NAME=x\r\n"), "550 5.7.0 Error: insufficient authorization\r\n");
}

#[test]
fn who_takes_no_other_client_refuses_xclient_at_once() {
    let mut talk = Talk::with(|settings, peer| (settings.delay_reject, peer.xclient) = (false, true));
    talk.refuse = |ask| matches!(ask, Ask::Connect).then(|| Reply::new(554, Dsn::new(5, 7, 1), "No"));
    assert_eq!(talk.say("XCLIENT NAME=other\r\n"), "554 5.7.1 No\r\n");
    assert_eq!(talk.say("NOOP\r\n"), "503 5.7.0 Error: access denied for other[192.0.2.2]\r\n");
}

#[test]
fn the_dialogue_of_a_watched_client_is_told_in_order() {
    let mut talk = Talk::with(|_, peer| peer.verbose = true);
    talk.notes.clear();
    talk.say(format!("{ENVELOPE}DATA\r\n"));
    talk.say("secret\r\n.\r\n");
    let (heard, said) = (|s: &str| Note::Heard(s.into()), |s: &str| Note::Said(s.into()));
    assert_eq!(
        talk.notes,
        [
            heard("MAIL FROM:<a@example.net>"),
            said("250 2.1.0 Ok\r\n"),
            heard("RCPT TO:<b@example.org>"),
            said("250 2.1.5 Ok\r\n"),
            heard("DATA"),
            said("354 End data with <CR><LF>.<CR><LF>\r\n"),
            said("250 2.0.0 Ok: queued as ID1\r\n"),
        ]
    );
}

#[test]
fn what_xforward_says_holds_for_one_message() {
    let mut talk = Talk::with(|_, peer| peer.xforward = true);
    assert_eq!(talk.say("XFORWARD NAME=x\r\nXFORWARD IDENT=4X\r\n"), "250 2.0.0 Ok\r\n".repeat(2));
    assert_eq!(talk.say("XFORWARD NAME=y PROTO\r\n"), "501 5.5.4 Error: attribute=value expected\r\n");
    let said = talk.session.forwarded();
    assert_eq!((said.name, said.ident.as_deref()), (Some(Told::Is("x".into())), Some("4X")));
    talk.say(ENVELOPE);
    assert_eq!(talk.say("XFORWARD NAME=x\r\n"), "503 5.5.1 Error: MAIL transaction in progress\r\n");
    talk.say("RSET\r\n");
    assert_eq!(talk.session.forwarded(), Xforward::default());
}

#[test]
fn the_end_of_a_session_says_where_it_was() {
    let end = |said: &[&str], input: fn() -> Input<'static, Yes>| {
        let mut talk = Talk::open();
        for line in said {
            talk.say(line);
        }
        let mut out = Outputs::default();
        assert!(matches!(talk.session.step(input(), &mut out), Next::Close));
        (out.notes.pop(), String::from_utf8(out.replies).unwrap())
    };
    let lost = |after: &str| Some(Note::Ended { how: Ending::Lost, after: after.into() });
    assert_eq!(end(&[], || Input::Lost).0, lost("EHLO"));
    assert_eq!(end(&["XYZZY\r\n"], || Input::Lost).0, lost("UNKNOWN"));
    assert_eq!(end(&[ENVELOPE], || Input::Lost).0, lost("RCPT"));
    assert_eq!(end(&[ENVELOPE, "DATA\r\n", "12345678\r\n"], || Input::Lost).0, lost("DATA (10 bytes)"));
    assert_eq!(end(&[ENVELOPE, "DATA\r\n", ".\r\n"], || Input::Lost).0, None);
    let (note, said) = end(&["NOOP\r\n"], || Input::Timeout);
    assert_eq!(note, Some(Note::Ended { how: Ending::Timeout, after: "NOOP".into() }));
    assert_eq!(said, "421 4.4.2 mx.example.org Error: timeout exceeded\r\n");
}

#[test]
fn each_reply_waits_beyond_the_soft_limit_until_a_message_is_queued() {
    let mut talk = Talk::with(|s, _| s.soft_error_limit = 2);
    talk.say("A\r\nB\r\n");
    assert_eq!(talk.sleeps, 0);
    talk.say(format!("RSET\r\n{ENVELOPE}DATA\r\n"));
    assert_eq!(talk.sleeps, 4, "RSET, MAIL, RCPT and DATA");
    talk.say(".\r\nRSET\r\nA\r\nB\r\n");
    assert_eq!(talk.sleeps, 4);
    assert_eq!(talk.say("QUIT\r\n"), "221 2.0.0 Bye\r\n");
    assert_eq!((talk.sleeps, talk.closed), (5, true));
}

#[test]
fn the_reply_that_ends_a_session_waits_too() {
    let mut talk = Talk::with(|s, _| (s.soft_error_limit, s.hard_error_limit) = (2, 3));
    let said = talk.say("A\r\nB\r\nC\r\nNOOP\r\n");
    assert!(said.ends_with("421 4.7.0 mx.example.org Error: too many errors\r\n"), "{said}");
    assert_eq!((talk.sleeps, talk.closed), (2, true));
}

#[test]
fn a_filter_puts_another_line_in_place_of_the_clients() {
    let mut talk = Talk::with(|s, _| s.command_filter = true);
    talk.refuse = |ask| match ask {
        Ask::Filter(line) => match line.as_slice() {
            b"XNOP x" => Some(Reply::plain(200, "NOOP")),
            b"EMPTY" => Some(Reply::plain(200, "")),
            b"FAIL" => Some(Reply::new(421, Dsn::new(4, 3, 0), "Server local data error")),
            _ => None,
        },
        _ => None,
    };
    assert_eq!(talk.say("XNOP x\r\n"), "250 2.0.0 Ok\r\n");
    assert_eq!(talk.say("EMPTY\r\n"), "500 5.5.2 Error: bad syntax\r\n");
    assert_eq!(talk.say(b"\xff\r\n"), "500 5.5.2 Error: bad UTF-8 syntax\r\n");
    assert_eq!(talk.say(format!("{ENVELOPE}RSET\r\n")), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n");
    assert_eq!(talk.say("FAIL\r\nNOOP\r\n"), "421 4.3.0 Server local data error\r\n");
    assert!(talk.closed);
    // What the client sent too early is looked at behind the filter, too.
    let mut talk = Talk::with(|s, _| s.command_filter = true);
    assert_eq!(talk.say("EHLO x\r\nNOOP\r\n"), "554 5.5.0 Error: SMTP protocol synchronization\r\n");
    assert_eq!(talk.notes, [Note::ImproperPipelining { after: "EHLO", data: b"NOOP\r\n".to_vec() }]);
}

#[test]
fn lists_of_commands_may_be_the_drivers() {
    let mut talk = Talk::with(|s, _| {
        (s.noop_commands, s.forbidden_commands) = (CommandList::Asked, CommandList::Asked);
    });
    talk.refuse = |ask| match ask {
        Ask::Noop(word) if word == "RSET" => Some(Reply::plain(200, "")),
        Ask::Forbidden(word) if word == "GET" => Some(Reply::plain(200, "")),
        _ => None,
    };
    talk.say(ENVELOPE);
    assert_eq!(talk.say("RSET\r\nFOO\r\n"), "250 2.0.0 Ok\r\n500 5.5.2 Error: command not recognized\r\n");
    assert!(talk.session.transaction().is_some(), "it did nothing");
    assert_eq!(talk.say("GET /\r\n"), "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
    assert!(talk.closed);
    assert_eq!(talk.notes, [Note::NonSmtpCommand(b"GET /".to_vec())]);
}

#[test]
fn refusals_are_handed_over_one_by_one_with_their_envelope() {
    let mut talk = Talk::with(|s, _| s.hand_over_refusals = true);
    assert_eq!(
        talk.say("FOO\r\nMAIL FROM:<a@b.c>\r\nFOO\r\nRCPT TO:<d@e.f>\r\nFOO\r\n"),
        "500-5.5.2 Error: command not recognized\r\n500 5.5.2 ()\r\n250 2.1.0 Ok\r\n\
         500-5.5.2 Error: command not recognized\r\n500 5.5.2 (a@b.c )\r\n250 2.1.5 Ok\r\n\
         500-5.5.2 Error: command not recognized\r\n500 5.5.2 (a@b.c d@e.f)\r\n"
    );
    talk.say("RSET\r\n");
    talk.refuse = |ask| match ask {
        Ask::Rcpt(r) if r.address.local_part() == b"out" => Some(Reply::plain(550, "Out")),
        _ => None,
    };
    let said = talk.say("MAIL FROM:<a@b.c>\r\nRCPT TO:<out@e.f>\r\nNOOP\r\n");
    assert_eq!(said, "250 2.1.0 Ok\r\n550-Out\r\n550 (a@b.c )\r\n");
    assert!(talk.closed, "the driver said the last word");
}

#[test]
fn a_refusal_at_the_end_of_the_content_has_its_envelope() {
    let mut talk = Talk::with(|s, _| (s.hand_over_refusals, s.message_size_limit) = (true, 20));
    talk.say(format!("{ENVELOPE}DATA\r\n"));
    let said = talk.say("12345678901234567890\r\n.\r\nMAIL\r\n");
    assert_eq!(
        said,
        "552-5.3.4 Error: message file too big\r\n552 5.3.4 (a@example.net b@example.org)\r\n\
         501-5.5.4 Syntax: MAIL FROM:<address>\r\n501 5.5.4 ()\r\n"
    );
}

#[test]
fn each_command_and_each_chunk_is_a_request_of_its_own() {
    let mut talk = Talk::open();
    let mut last = talk.session.requests();
    let mut next = |talk: &mut Talk, said: &str| {
        talk.say(said);
        let now = talk.session.requests();
        let is_new = now != last;
        last = now;
        is_new
    };
    assert!(next(&mut talk, ENVELOPE));
    assert!(!next(&mut talk, "BD"));
    assert!(next(&mut talk, "AT 3\r\n") && talk.session.is_receiving());
    assert!(!next(&mut talk, "ab"));
    assert!(next(&mut talk, "c") && !talk.session.is_receiving());
    assert!(next(&mut talk, "RSET\r\n"));
    assert!(next(&mut talk, &format!("{ENVELOPE}DATA\r\n")) && talk.session.is_receiving());
    assert!(!next(&mut talk, "a\r\nb\r\n"));
    assert!(next(&mut talk, ".\r\n"));
}

#[test]
fn who_submitted_a_message_first_is_told_once_and_kept_as_it_was_written() {
    let mut talk = Talk::open();
    let told = |talk: &Talk| talk.session.transaction().and_then(|t| t.request.sasl_sender.clone());
    assert_eq!(talk.say("MAIL FROM:<a@b.example> AUTH=x+40y\r\n"), "250 2.1.0 Ok\r\n");
    assert_eq!(told(&talk).as_deref(), Some("x+40y"));
    talk.say("RSET\r\n");
    talk.say("MAIL FROM:<a@b.example> AUTH=<> AUTH=a\x01b\r\n");
    assert_eq!(told(&talk).as_deref(), Some("a?b"), "nobody is not told of");
    talk.say("RSET\r\n");
    let twice = "503 5.5.4 Error: multiple AUTH= options\r\n";
    assert_eq!(talk.say("MAIL FROM:<a@b.example> AUTH=x AUTH=<>\r\n"), twice);
    assert_eq!(told(&talk), None);
}
