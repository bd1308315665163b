//! Dialogues with clients that smtpd does not see.

use super::*;

fn rules() -> Rules {
    Rules {
        myhostname: "mx.example".into(),
        banner: "mx.example ESMTP".into(),
        helo_required: false,
        disable_vrfy: false,
        announces_vrfy: true,
        message_size_limit: 1000,
        smtputf8: false,
        commands_max: 20,
        line_bytes_max: 100,
        actions: [Action::Enforce, Action::Drop, Action::Ignore],
        forbidden: Box::new(|word| word == "GET"),
        filter: Box::new(|line| (line == "X").then(|| "NOOP".to_owned())),
    }
}

fn judgement(tests: &[Test]) -> Judgement {
    let mut todo = Tests::default();
    tests.iter().for_each(|test| todo.add(*test));
    Judgement::new(todo, None, false)
}

/// What is said to a text, and what is found.
fn talk(rules: &Rules, judgement: Judgement, text: &[u8]) -> (Vec<String>, Vec<Finding>, bool) {
    let mut engine = Engine::new(rules, Discarded::default(), judgement);
    let mut out = Outputs::default();
    engine.take(text, &mut out);
    (out.replies.iter().map(ToString::to_string).collect(), out.findings, out.closes)
}

#[test]
fn a_client_that_has_to_come_back_gets_450_for_each_recipient() {
    let rules = rules();
    let mut engine = Engine::new(&rules, Discarded::default(), judgement(&[Test::Pipelining]));
    let mut out = Outputs::default();
    for line in ["EHLO a\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "QUIT\r\n"] {
        engine.take(line.as_bytes(), &mut out);
    }
    let codes: Vec<u16> = out.replies.iter().map(|r| r.code).collect();
    assert_eq!(codes, [250, 250, 450, 221]);
    assert!(matches!(&out.findings[..], [Finding::Rejected(r)] if r.protocol == "ESMTP" && r.helo == "a"));
    assert!(out.closes && engine.reached_rcpt());
    assert!(engine.end().passed.has(Test::Pipelining));
}

#[test]
fn who_does_not_wait_for_replies_is_refused() {
    let rules = rules();
    let text = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n";
    let (replies, findings, _) = talk(&rules, judgement(&[Test::Pipelining]), text);
    assert_eq!(replies, ["250 2.1.0 Ok", "550 5.5.1 Protocol error", "221 2.0.0 Bye"]);
    let first = Finding::Pipelining { after: "MAIL".into(), text: b"RCPT TO:<c@d>\r\nQUIT\r\n".to_vec() };
    assert_eq!((&findings[0], findings.len()), (&first, 2), "it is told once");
}

#[test]
fn what_is_no_command_ends_the_dialogue_where_that_is_tested() {
    let rules = rules();
    for text in [&b"GET / HTTP/1.1\r\n"[..], b"Host: x\r\n"] {
        let (replies, findings, closes) = talk(&rules, judgement(&[Test::NonSmtp]), text);
        assert_eq!(replies, ["521 5.7.0 Error: I can break rules, too. Goodbye."]);
        assert!(closes && matches!(findings[0], Finding::NonSmtp { after: "CONNECT", .. }));
        let (replies, findings, closes) = talk(&rules, judgement(&[]), text);
        assert_eq!(replies, ["502 5.5.2 Error: command not recognized"]);
        assert!(!closes && findings.is_empty());
    }
}

#[test]
fn a_bare_line_feed_is_told_once_and_ignored_where_that_is_set() {
    let rules = rules();
    let (replies, findings, _) = talk(&rules, judgement(&[Test::BareNewline]), b"NOOP x\nNOOP\n");
    assert_eq!(replies, ["250 2.0.0 Ok", "250 2.0.0 Ok"]);
    assert_eq!(findings, [Finding::BareNewline(b"NOOP x".to_vec())]);
}

#[test]
fn limits_end_the_dialogue() {
    let rules = Rules { commands_max: 2, ..rules() };
    let busy = "421 mx.example Service unavailable - try again later";
    let (replies, findings, closes) = talk(&rules, judgement(&[]), b"NOOP\r\nRSET\r\nNOOP\r\nNOOP\r\n");
    assert_eq!(replies, ["250 2.0.0 Ok", "250 2.0.0 Ok", busy]);
    assert_eq!(findings, [Finding::Limited(Limit::Count, "RSET")]);
    assert!(closes);
    for (length, fits) in [(100, true), (101, false)] {
        let mut line = vec![b'x'; length];
        line.splice(..5, *b"NOOP ");
        line.push(b'\n');
        let (_, findings, closes) = talk(&rules, judgement(&[]), &line);
        assert_eq!(closes, !fits, "{length}");
        assert_eq!(findings.is_empty(), fits);
    }
    let endless = vec![b'x'; 101];
    assert!(talk(&rules, judgement(&[]), &endless).2, "a line without end is not waited for");
}

#[test]
fn data_ends_the_dialogue_since_no_recipient_was_accepted() {
    let rules = rules();
    for (text, told) in [
        ("DATA\r\n", "503 5.5.1 Error: need RCPT command"),
        ("DATA x\r\n", "501 5.5.4 Syntax: DATA"),
        ("MAIL FROM:<>\r\nDATA\r\n", "554 5.5.1 Error: no valid recipients"),
        ("BDAT\r\n", "501 5.5.4 Syntax: BDAT count [LAST]"),
        ("BDAT 5\r\n", "554 5.5.1 Error: need MAIL command"),
    ] {
        let (replies, _, closes) = talk(&rules, judgement(&[]), text.as_bytes());
        assert_eq!(replies.last().map(String::as_str), Some(told));
        assert!(closes);
    }
}

#[test]
fn a_command_may_be_replaced() {
    let rules = rules();
    let (replies, findings, _) = talk(&rules, judgement(&[]), b"X\r\n");
    assert_eq!(replies, ["250 2.0.0 Ok"]);
    assert_eq!(findings, [Finding::Replaced { from: "X".into(), to: "NOOP".into() }]);
}

#[test]
fn any_word_is_an_address_here() {
    let shown = |rest: &str, keyword: &str| address(rest, keyword).map(|a| a.to_string());
    assert_eq!(shown("FROM: <a@b.c> SIZE=1", "FROM:").unwrap(), "a@b.c");
    assert_eq!(shown("to:ann@example.com NOTIFY=NEVER", "TO:").unwrap(), "ann@example.com");
    assert_eq!(shown("TO:<@a,@b:c@d>", "TO:").unwrap(), "c@d");
    assert_eq!(shown("FROM:", "FROM:").unwrap(), "");
    assert_eq!(shown("FROM", "FROM:"), None);
}
