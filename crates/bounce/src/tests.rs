//! Tests of reports.

use super::*;
use bytes::Bytes;
use mail::{
    Address, ContentFlags, Diagnostic, Dsn, JobId, Notify, Outcome, Recipient, Ret, Status, Timestamp,
};

const NOW: Timestamp = Timestamp::from_micros(1_795_364_368_123_456);

fn settings() -> Settings {
    Settings::of_host("mail.example.com")
}

fn envelope(sender: &str) -> Envelope {
    let mut envelope = Envelope::new(Address::from(sender), NOW);
    envelope.recipients = vec![Recipient::new(Address::from("bad@far.example"))];
    envelope
}

fn content(text: &str) -> Content {
    Content::in_memory(vec![Bytes::copy_from_slice(text.as_bytes())], ContentFlags::default())
}

const MESSAGE: &str = "Subject: t\r\nMessage-ID: <m1@home.example>\r\n\r\nbody\r\n.dot\r\n";

fn outcome(status: Status, dsn: Dsn, reason: &str) -> Outcome {
    Outcome {
        job: JobId(1),
        index: 0,
        status,
        dsn,
        reason: reason.into(),
        diagnostic: None,
        remote_mta: None,
        relay: None,
        relayed: false,
        next_hop_reports: false,
        parts: Vec::new(),
    }
}

fn refused() -> Outcome {
    Outcome {
        diagnostic: Some(Diagnostic { kind: "smtp".into(), text: "550 5.1.1 no such user here".into() }),
        remote_mta: Some("mx.far.example".into()),
        ..outcome(
            Status::Bounced,
            Dsn::new(5, 1, 1),
            "host mx.far.example[192.0.2.7] said: 550 5.1.1 no such user here (in reply to RCPT TO command)",
        )
    }
}

fn make(
    settings: &Settings,
    kind: ReportKind,
    envelope: &Envelope,
    content: &Content,
    outcomes: &[Outcome],
) -> Vec<Report> {
    let id = QueueId::parse("D025298C9EA").unwrap();
    let original = Original { queue_id: &id, envelope, content };
    let report = |to: Addressee| {
        let addressed = settings.heading(kind, to.reader, to.address.clone()).as_written();
        let new = (QueueId::parse("D74A198C9F6").unwrap(), NOW);
        compose(settings, kind, (&to, &addressed), &original, outcomes, new).unwrap()
    };
    addressees(settings, kind, (envelope, &envelope.sender), outcomes).into_iter().map(report).collect()
}

fn text(report: &Report) -> String {
    String::from_utf8(report.content.concat()).unwrap()
}

/// The dates differ by the zone of the host that runs the test.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive("\r\n") {
        match line.find(", 22 Nov 2026 ").or(line.find(", 23 Nov 2026 ")).or(line.find(", 27 Nov 2026 ")) {
            Some(at) => {
                out.push_str(&line[..at - 3]);
                out.push_str("DATE\n");
            }
            None => out.push_str(&line.replace("\r\n", "\n")),
        }
    }
    out
}

#[test]
fn a_failure_is_reported_in_three_parts() {
    let mut e = envelope("ann@home.example");
    e.envid = "env+1".into();
    e.recipients[0].dsn_orcpt = "rfc822;Orig+x@example.org".into();
    let reports = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[refused()]);
    let [report] = &reports[..] else { panic!("one report") };
    assert_eq!(masked(&text(report)), include_str!("../testdata/failure.txt"));
    assert!(report.envelope.sender.is_null());
    assert_eq!(report.envelope.recipients[0].address, e.sender);
    assert!(report.flags.has(ContentFlags::LEADING_DOT) && !report.flags.has(ContentFlags::EIGHT_BIT));
}

#[test]
fn a_delay_returns_headers_only_and_says_until_when() {
    let e = envelope("ann@home.example");
    let waits = outcome(
        Status::Deferred,
        Dsn::new(4, 4, 1),
        "connect to mx.far.example[192.0.2.7]:25: Connection refused",
    );
    let reports = make(&settings(), ReportKind::Delay, &e, &content(MESSAGE), &[waits]);
    assert_eq!(masked(&text(&reports[0])), include_str!("../testdata/delay.txt"));
}

#[test]
fn success_is_reported_to_who_asked_for_it() {
    let mut e = envelope("ann@home.example");
    let sent = Outcome {
        relayed: true,
        next_hop_reports: false,
        parts: Vec::new(),
        remote_mta: Some("mx.far.example".into()),
        relay: Some("mx.far.example[192.0.2.7]:25".into()),
        ..outcome(Status::Sent, Dsn::new(2, 0, 0), "250 2.0.0 Ok")
    };
    for (notify, count) in [
        (Notify::NEVER, 0),
        (Notify::FAILURE, 0),
        // Who would be told of a delay may be told of its end; whether he is, the queue manager says.
        (Notify::DELAY, 1),
        (Notify::default(), 1),
    ] {
        e.recipients[0].notify = notify;
        let sent = std::slice::from_ref(&sent);
        let reports = make(&settings(), ReportKind::Success, &e, &content(MESSAGE), sent);
        assert_eq!(reports.len(), count, "{notify:?}");
    }
    e.recipients[0].notify = Notify::SUCCESS;
    let reports = make(&settings(), ReportKind::Success, &e, &content(MESSAGE), &[sent]);
    assert_eq!(masked(&text(&reports[0])), include_str!("../testdata/success.txt"));
}

#[test]
fn notify_never_and_the_null_sender_get_no_report() {
    let mut e = envelope("ann@home.example");
    e.recipients[0].notify = Notify::NEVER;
    assert!(make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).is_empty());
    e.recipients[0].notify = Notify::SUCCESS;
    assert!(make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).is_empty());
    let e = envelope("");
    for kind in [ReportKind::Failure, ReportKind::Delay, ReportKind::Success] {
        assert!(make(&settings(), kind, &e, &content(MESSAGE), &[refused()]).is_empty());
    }
}

#[test]
fn a_double_bounce_goes_to_postmaster_if_asked_for_and_a_third_nowhere() {
    let mut s = settings();
    s.notify_classes = vec!["2bounce".into()];
    let reports = make(&s, ReportKind::Failure, &envelope(""), &content(MESSAGE), &[refused()]);
    let [report] = &reports[..] else { panic!("one report") };
    assert_eq!(report.envelope.sender, s.double_bounce_sender);
    assert_eq!(report.envelope.recipients[0].address, s.double_bounce_notice_recipient);
    let text = text(report);
    assert!(text.contains("Subject: Postmaster Copy: Undelivered Mail\r\n"));
    assert!(text.contains("X-Postfix-Sender: rfc822; MAILER-DAEMON@mail.example.com\r\n"));
    assert!(text.contains("Content-Type: message/rfc822\r\n"));
    assert!(text.contains("Auto-Submitted: auto-generated\r\n"));

    let e = envelope("Double-Bounce@mail.example.com");
    assert!(make(&s, ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).is_empty());
    let id = QueueId::parse("D025298C9EA").unwrap();
    assert!(suppressed(&s, ReportKind::Failure, (&id, &e)).is_some());
}

#[test]
fn postmaster_gets_a_copy_without_the_body() {
    let mut s = settings();
    s.notify_classes = vec!["bounce".into()];
    let reports =
        make(&s, ReportKind::Failure, &envelope("ann@home.example"), &content(MESSAGE), &[refused()]);
    assert_eq!(
        reports.iter().map(|r| r.reader).collect::<Vec<_>>(),
        [ReportReader::Sender, ReportReader::Postmaster]
    );
    assert!(text(&reports[0]).contains("\r\nbody\r\n"));
    assert!(!text(&reports[1]).contains("\r\nbody\r\n"));
}

#[test]
fn large_messages_and_ret_hdrs_return_the_header_only() {
    let mut e = envelope("ann@home.example");
    let large = content(&format!("Subject: t\r\n\r\n{}", "body\r\n".repeat(9000)));
    let report = make(&settings(), ReportKind::Failure, &e, &large, &[refused()]).remove(0);
    assert!(
        text(&report).contains("Content-Type: text/rfc822-headers\r\n")
            && !text(&report).contains("\r\nbody\r\n")
    );
    e.ret = Some(Ret::Hdrs);
    let report = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).remove(0);
    assert!(
        text(&report).contains("Content-Type: text/rfc822-headers\r\n")
            && !text(&report).contains("\r\nbody\r\n")
    );
}

#[test]
fn mail_with_smtputf8_gets_the_global_forms() {
    let mut e = envelope("jörg@home.example");
    e.smtputf8 = 1;
    e.recipients = vec![Recipient::new(Address::from("bäd@far.example"))];
    let report = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).remove(0);
    let text = text(&report);
    for wanted in [
        "To: jörg@home.example\r\n",
        "Content-Type: message/global-delivery-status\r\n",
        "Final-Recipient: utf-8; bäd@far.example\r\n",
        "Content-Type: message/global\r\n",
        "Return-Path: <jörg@home.example>\r\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert_eq!(report.envelope.smtputf8, 3);
    assert!(report.flags.has(ContentFlags::UTF8_HEADER));
}

#[test]
fn what_a_peer_said_cannot_add_a_header() {
    let e = envelope("ann@home.example");
    let nasty = Outcome {
        diagnostic: Some(Diagnostic {
            kind: "smtp".into(),
            text: "550 x\r\nStatus: 2.0.0\r\n\r\n--evil".into(),
        }),
        ..outcome(Status::Bounced, Dsn::new(5, 0, 0), "said: x\r\nBcc: all@example.org")
    };
    let report = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[nasty]).remove(0);
    assert!(!text(&report).contains("\r\nBcc:") && !text(&report).contains("\r\nStatus: 2.0.0"));
}

#[test]
fn threads_refer_to_the_original() {
    let mut s = settings();
    s.threaded = true;
    let report =
        make(&s, ReportKind::Failure, &envelope("a@b.example"), &content(MESSAGE), &[refused()]).remove(0);
    assert!(text(&report).contains("References: <m1@home.example>\r\nIn-Reply-To: <m1@home.example>\r\n"));
}

proptest::proptest! {
    #[test]
    fn any_outcome_about_any_message_gives_a_report(
        reason in ".{0,300}", body in proptest::collection::vec(proptest::num::u8::ANY, 0..300), index in 0u32..3,
    ) {
        let e = envelope("ann@home.example");
        let message = Content::in_memory(vec![Bytes::from(body)], ContentFlags::default());
        let failed = Outcome { index, ..outcome(Status::Bounced, Dsn::new(5, 0, 0), &reason) };
        for report in make(&settings(), ReportKind::Failure, &e, &message, &[failed]) {
            proptest::prop_assert!(report.content.concat().ends_with(b"/mail.example.com--\r\n"));
        }
    }
}

#[test]
fn the_built_in_texts_name_the_host_and_are_ascii() {
    let templates = built_in();
    let classes: Vec<_> = templates.iter().map(|t| t.class).collect();
    assert_eq!(classes, ["failure", "delay", "success", "verify"]);
    assert!(templates.iter().all(|t| t.body.starts_with("This is the mail server $myhostname.\n\n")));
    assert!(templates.iter().all(|t| t.body.is_ascii() && !t.body.contains('\r')));
    assert_eq!(settings().texts.warnings, [""; 0]);
}

/// Texts from a file with this content.
fn texts(content: &[u8]) -> Texts {
    struct Named;
    impl config::expand::Names for Named {
        fn raw(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
            ["myhostname", "delay_warning_time", "maximal_queue_lifetime"]
                .contains(&name)
                .then(|| if name == "myhostname" { "m\u{fc}x.example" } else { "36h" }.into())
        }
    }
    let file = std::env::temp_dir().join(format!("bounce-{}-{}", std::process::id(), content.len()));
    std::fs::write(&file, content).unwrap();
    let texts = Texts::read(file.to_str().unwrap(), &Named);
    std::fs::remove_file(&file).unwrap();
    texts
}

#[test]
fn a_template_file_gives_header_and_words_octet_by_octet() {
    let file = b"failure_template = <<END\nCharset: iso-8859-1\nFrom: Post <post>\nSubject: back\n\n\
                 Gr\xfc\xdfe von $myhostname, $maximal_queue_lifetime_days\nEND\n";
    let settings = Settings { texts: texts(file), ..settings() };
    assert_eq!(settings.texts.warnings, [""; 0]);
    let e = envelope("ann@home.example");
    let report = make(&settings, ReportKind::Failure, &e, &content(MESSAGE), &[refused()]).remove(0);
    let octets = report.content.concat();
    let has = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
    assert!(has(b"\r\nFrom: Post <post>\r\nSubject: back\r\n"));
    assert!(has(b"\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"));
    // A value is in the parameters' own charset.
    assert!(has(b"\r\n\r\nGr\xfc\xdfe von m\xc3\xbcx.example, 1\r\n\r\n<bad@far.example>"));
}

#[test]
fn a_template_that_cannot_be_used_leaves_the_built_in_one() {
    let built_in = texts(b"").of(ReportKind::Failure).clone();
    for (file, warning) in [
        (&b"failure_template = <<END\n\n$nosuch\nEND\n"[..], "undefined $name in failure template: $nosuch"),
        (b"failure_template = <<END\nX: y\n\nx\nEND\n", "unknown \"X\" header label in failure template"),
        (b"failure_template <<END\n", "line 1: missing '=' after attribute name"),
    ] {
        let texts = texts(file);
        assert!(texts.warnings[0].contains(warning), "{:?}", texts.warnings);
        assert_eq!(*texts.of(ReportKind::Failure), built_in);
    }
}

#[test]
fn each_failed_member_of_an_alias_is_told_of_and_an_owner_does_not_learn_the_alias() {
    let e = envelope("ann@home.example");
    let part = |address: &str, owner: Option<&str>| mail::FailedPart {
        status: Status::Bounced,
        address: Address::from(address),
        dsn: Dsn::new(5, 1, 1),
        reason: format!("unknown user: \"{address}\""),
        diagnostic: None,
        expanded_is_told: owner.is_none(),
        owner: owner.map(Address::from),
    };
    let of_alias =
        Outcome { parts: vec![part("b@far.example", None), part("c@far.example", None)], ..refused() };
    let reports = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[of_alias]);
    let told = text(&reports[0]);
    let original = e.recipients[0].original.to_string();
    for address in ["b@far.example", "c@far.example"] {
        assert!(
            told.contains(&format!("<{address}> (expanded from\r\n    <{original}>)"))
                || told.contains(&format!("<{address}> (expanded from <{original}>)")),
            "{told}"
        );
        assert!(told.contains(&format!("Final-Recipient: rfc822; {address}\r\n")), "{told}");
    }
    assert_eq!(told.matches("Status: 5.1.1\r\n").count(), 2);

    let of_list = Outcome { parts: vec![part("b@far.example", Some("owner@far.example"))], ..refused() };
    let reports = make(&settings(), ReportKind::Failure, &e, &content(MESSAGE), &[of_list]);
    let told = text(&reports[0]);
    assert!(!told.contains("expanded from") && !told.contains("Original-Recipient"), "{told}");
}

#[test]
fn who_asked_what_becomes_of_recipients_is_told_of_all() {
    let mut e = envelope("ann@home.example");
    e.recipients.push(Recipient { notify: Notify::NEVER, ..Recipient::new(Address::from("ok@far.example")) });
    let sent = Outcome { index: 1, ..outcome(Status::Sent, Dsn::new(2, 0, 0), "delivers to maildir") };
    let told = |kind, outcomes: &[Outcome]| {
        let report = make(&settings(), kind, &e, &content(MESSAGE), outcomes).remove(0);
        let text = text(&report);
        assert!(text.contains("Subject: Mail Delivery Status Report\r\n"), "{text}");
        assert!(text.contains("Content-Type: text/rfc822-headers\r\n"), "{text}");
        let actions = text.lines().filter_map(|line| line.strip_prefix("Action: "));
        actions.map(str::to_owned).collect::<Vec<_>>()
    };
    let waits = outcome(Status::Deferred, Dsn::new(4, 2, 0), "later");
    let outcomes = [refused(), waits, sent];
    assert_eq!(told(ReportKind::Probe, &outcomes), ["undeliverable", "undeliverable", "deliverable"]);
    assert_eq!(told(ReportKind::Attempt, &outcomes), ["failed", "delayed", "delivered"]);
}
