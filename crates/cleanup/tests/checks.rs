//! Header and body checks on whole messages: what is queued, what is found, and that pieces change nothing.

mod common;

use bytes::Bytes;
use cleanup::Refusal;
use cleanup::checks::{Checks, Found};
use common::{client, maps, message};
use mail::ContentFlags;
use tables::Maps;

/// What is queued of `text` behind our own header, what is found, and the flags.
fn checked(checks: &Checks, text: &[u8], step: usize) -> Result<(Vec<u8>, Found, ContentFlags), Refusal> {
    let client = client();
    let mut message = message(checks.clone(), Some(&client), false);
    for piece in text.chunks(step) {
        tables::wait(message.append(Bytes::copy_from_slice(piece)));
    }
    let finished = tables::wait(message.finish())?;
    // Received has three lines.
    let ends = finished.sink.bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
    let top = ends.map(|(at, _)| at + 1).nth(2).expect("there is a Received header");
    Ok((finished.sink.bytes[top..].to_vec(), finished.found, finished.flags))
}

fn queued(checks: &Checks, text: &str) -> String {
    let whole = checked(checks, text.as_bytes(), 100_000).expect("it is taken").0;
    for step in [1, 2, 5, 33] {
        let pieces = checked(checks, text.as_bytes(), step).expect("it is taken").0;
        assert_eq!(String::from_utf8_lossy(&pieces), String::from_utf8_lossy(&whole), "in steps of {step}");
    }
    String::from_utf8(whole).expect("it is text")
}

#[test]
fn lines_are_replaced_put_in_and_taken_out_whatever_the_pieces() {
    let checks = Checks {
        header: maps("{/^Old: (.*)/ REPLACE New: $1}, {/^X-Gone/ IGNORE}, {/^Subject/ PREPEND X-Seen: yes}"),
        mime_header: maps("{/^X-Part/ STRIP}"),
        body: maps("{/^secret/ IGNORE}, {/^a/ PREPEND .}, {/^b/ REPLACE c}"),
        ..Checks::default()
    };
    let text = "Old: x\r\n y\r\nX-Gone: a\r\n b\r\nSubject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        a\r\n--b\r\nX-Part: p\r\nX-Other: o\r\n\r\nsecret\r\nb\r\n\r\n--b--\r\nsecret";
    let expected = "New: x\r\n y\r\nX-Seen: yes\r\nSubject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        .\r\na\r\n--b\r\nX-Other: o\r\n\r\nc\r\n\r\n--b--\r\n";
    assert_eq!(queued(&checks, text), expected);
    let (_, _, flags) = checked(&checks, text.as_bytes(), 7).expect("it is taken");
    assert!(flags.has(ContentFlags::LEADING_DOT), "a line that was put in begins with a dot");
}

#[test]
fn text_that_is_not_utf8_comes_through_a_capture_as_it_was() {
    let checks = Checks { header: maps("{/^Subject: (.*)/ REPLACE Subject: [$1]}"), ..Checks::default() };
    let kept = checked(&checks, b"Subject: \xe4\xf6 x\r\n\r\n", 100).expect("it is taken").0;
    assert_eq!(kept, b"Subject: [\xe4\xf6 x]\r\n\r\n");
}

#[test]
fn the_last_filter_and_the_first_hold_count() {
    let rules =
        "{/^A/ HOLD one}, {/^B/ HOLD two}, {/^C/ FILTER x:1}, {/^D/ FILTER x:2}, {/^E/ BCC a@example.com}";
    let checks = Checks { header: maps(rules), ..Checks::default() };
    let text = b"A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n";
    let found = checked(&checks, text, 9).expect("it is taken").1;
    assert_eq!((found.hold.as_deref(), found.filter.as_deref()), (Some("one"), Some("x:2")));
    assert_eq!(found.bcc, ["a@example.com".into()]);
    assert!(!found.discard && found.redirect.is_none());
}

#[test]
fn nothing_is_asked_behind_a_decision_that_stands() {
    for decision in ["PASS", "REDIRECT b@example.com", "DISCARD"] {
        let rules = format!("{{/^A/ {decision}}}, {{/^B/ REJECT}}");
        let checks = Checks { header: maps(&rules), ..Checks::default() };
        assert!(checked(&checks, b"A: 1\r\nB: 1\r\n\r\n", 4).is_ok(), "{decision}");
        assert!(checked(&checks, b"B: 1\r\nA: 1\r\n\r\n", 4).is_err(), "{decision}");
    }
}

#[test]
fn mail_of_a_local_program_is_returned_and_that_of_a_client_is_refused() {
    let checks = Checks { body: maps("{/^no/ REJECT 5.7.9 not this}"), ..Checks::default() };
    let refused = checked(&checks, b"A: b\r\n\r\nno\r\n", 100).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "550 5.7.9 not this");
    let mut message = message(checks, None, false);
    tables::wait(message.append(Bytes::from_static(b"A: b\r\n\r\nno\r\nmore\r\n")));
    let finished = tables::wait(message.finish()).unwrap_or_else(|reply| panic!("{reply}"));
    assert_eq!(
        finished.found.refusal.map(|refusal| refusal.to_string()).as_deref(),
        Some("550 5.7.9 not this")
    );
    assert!(finished.sink.bytes.ends_with(b"no\r\nmore\r\n"));
}

#[test]
fn a_table_that_cannot_be_asked_puts_the_message_off() {
    let fail = Maps::open(&["fail:x".to_owned()], &tables::Settings::default()).expect("it can be opened");
    let refused =
        checked(&Checks { header: fail, ..Checks::default() }, b"A: b\r\n\r\n", 100).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "451 4.3.0 Error: queue file write error");
}
