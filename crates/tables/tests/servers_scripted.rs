//! `tcp` and `socketmap` against servers that answer by script: well, badly, late, twice, or not at all.
//!
//! The answers to the well-formed and the malformed are those of Postfix 3.7's `postmap -q` with the same servers.

#![allow(clippy::unwrap_used)]

mod script;

use script::{Act, ask, netstring, say, serve};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use tables::{Lookup, Settings, Table, wait};

fn tcp(port: u16) -> Table {
    Table::open(&format!("tcp:127.0.0.1:{port}"), &Settings::default()).unwrap()
}

fn socketmap(port: u16, settings: &Settings) -> Table {
    Table::open(&format!("socketmap:inet:127.0.0.1:{port}:users"), settings).unwrap()
}

#[test]
fn tcp_answers_are_read_as_postfix_reads_them() {
    let long = |bytes: usize| format!("200 {}\n", "x".repeat(bytes));
    for (answer, expected) in [
        ("200 ok\n", "found ok"),
        ("200 x y\n", "found x y"),
        ("200   x\n", "found   x"),
        ("200\tx\n", "found x"),
        ("200 x%20%c3%84\n", "found x Ä"),
        ("200 a%00b\n", "found a"),
        ("200 \n", "found "),
        ("500 no\n", "not found"),
        ("200\n", "malformed"),
        ("200x\n", "malformed"),
        ("2000 x\n", "malformed"),
        (" 200 x\n", "malformed"),
        ("200 x%zz\n", "malformed"),
        ("200 x%4\n", "malformed"),
        ("500\n", "malformed"),
        ("300 x\n", "malformed"),
        ("junk\n", "malformed"),
        ("400 try again\n", "says"),
        ("404 x\n", "says"),
        ("200 %ff\n", "UTF-8"),
        (&long(4091), &format!("found {}", "x".repeat(4091))),
        (&long(4092), "at most 4096 bytes"),
    ] {
        let (port, _reads) = serve(vec![say(answer)]);
        let found = ask(&tcp(port), "key");
        let expected = match expected {
            "malformed" => format!(
                "expected `200 value`, `400 text` or `500 text`, found `{}`",
                answer.trim_end_matches('\n')
            ),
            "says" => format!("the server says `{}`", answer.trim_end()),
            expected => expected.to_owned(),
        };
        match expected.starts_with("found ") || expected == "not found" {
            true => assert_eq!(found, expected, "{answer:?}"),
            false => {
                assert!(found.starts_with("fails: ") && found.contains(&expected), "{answer:?}: {found}")
            }
        }
    }
}

#[test]
fn tcp_keys_keep_their_case_and_are_encoded() {
    let (port, reads) = serve(vec![say("200 ok\n")]);
    let table = tcp(port);
    assert!(!table.takes_parts());
    assert_eq!(ask(&table, "Ann 100%@Example.ORG"), "found ok");
    assert_eq!(reads.recv().unwrap().1, b"get Ann%20100%25@Example.ORG\n");
}

#[test]
fn socketmap_answers_are_read_as_postfix_reads_them() {
    for (content, expected) in [
        (&b"OK v w "[..], "found v w "),
        (b"OK  x", "found  x"),
        (b"OK ", "found "),
        (b"OK x\ny", "found x\ny"),
        (b"OK a\0b", "found a"),
        (b"OK", "not found"),
        (b"NOTFOUND ", "not found"),
        (b"NOTFOUND", "not found"),
        (b"NOTFOUND why", "not found"),
        (b"TEMP why", "temporary error of the server: why"),
        (b"TEMP", "temporary error of the server: "),
        (b"TIMEOUT why", "the server ran out of time: why"),
        (b"PERM why", "permanent error of the server: why"),
        (b"ok v", "expected OK, NOTFOUND, TEMP, TIMEOUT or PERM, found `ok v`"),
        (b"OKx y", "found `OKx y`"),
        (b"", "found ``"),
        (b"OK \xff", "UTF-8"),
    ] {
        let (port, reads) = serve(vec![netstring(content)]);
        let table = socketmap(port, &Settings::default());
        let found = ask(&table, "A key");
        assert_eq!(reads.recv().unwrap().1, b"11:users A key,");
        match expected.starts_with("found ") && !expected.contains('`') || expected == "not found" {
            true => assert_eq!(found, expected),
            false => assert!(found.starts_with("fails: ") && found.contains(expected), "{found}"),
        }
    }
}

#[test]
fn what_is_no_netstring_is_an_error_that_shows_the_place() {
    for (bytes, expected) in [
        ("4:OK v.", "found `.` in its place"),
        ("x4:OK v,", "found `x` in its place"),
        ("OK v\n", "found `O` in its place"),
        ("99999999999999999999:", "at most 100000 bytes (socketmap_max_reply_size)"),
        ("100001:OK", "at most 100000 bytes (socketmap_max_reply_size)"),
        ("00000000000000000004:OK v,", "found `4` in its place"),
    ] {
        let (port, _reads) = serve(vec![say(bytes)]);
        let found = ask(&socketmap(port, &Settings::default()), "k");
        assert!(found.starts_with("fails: ") && found.contains(expected), "{bytes}: {found}");
    }
}

#[test]
fn socketmap_sizes_are_those_of_main_cf() {
    let parameter = |name: &str| match name {
        "socketmap_max_reply_size" => Some("5".to_owned()),
        "socketmap_max_query_size" => Some("9".to_owned()),
        _ => None,
    };
    let settings = Settings { parameter: Arc::new(parameter), ..Settings::default() };
    // A kept connection that fails is asked anew.
    let (port, _reads) = serve(vec![netstring("OK ab"), netstring("OK abc"), netstring("OK abc")]);
    let table = socketmap(port, &settings);
    assert_eq!(ask(&table, "key"), "found ab");
    assert!(ask(&table, "key").contains("at most 5 bytes (socketmap_max_reply_size)"));
    assert_eq!(
        ask(&table, "long"),
        "fails: expected a query of at most 9 bytes (socketmap_max_query_size), found 10"
    );
}

#[test]
fn a_connection_serves_many_questions() {
    let (port, reads) = serve(vec![say("200 a\n"), say("500 b\n"), say("200 c\n")]);
    let table = tcp(port);
    assert_eq!(["1", "2", "3"].map(|key| ask(&table, key)), ["found a", "not found", "found c"]);
    assert!(reads.try_iter().all(|(connection, _)| connection == 0));
}

#[test]
fn a_server_that_closed_a_kept_connection_is_asked_anew() {
    let (port, reads) = serve(vec![say("200 a\n"), Act::Close, say("200 b\n")]);
    let table = tcp(port);
    assert_eq!(["1", "2"].map(|key| ask(&table, key)), ["found a", "found b"]);
    assert_eq!(reads.try_iter().map(|(connection, _)| connection).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn what_a_server_sends_unasked_is_no_answer_to_the_next_question() {
    let (port, _reads) = serve(vec![say("200 a\n200 wrong\n"), say("200 b\n")]);
    let table = tcp(port);
    assert_eq!(["1", "2"].map(|key| ask(&table, key)), ["found a", "found b"]);
    let (port, _reads) = serve(vec![say("4:OK a,8:OK wrong,"), netstring("OK b")]);
    let table = socketmap(port, &Settings::default());
    assert_eq!(["1", "2"].map(|key| ask(&table, key)), ["found a", "found b"]);
}

#[test]
fn a_server_that_dies_makes_mail_wait_and_is_then_left_in_peace() {
    let (port, _reads) = serve(Vec::new());
    let table = tcp(port);
    for _ in 0..3 {
        assert_eq!(ask(&table, "k"), format!("fails: 127.0.0.1:{port}: the server closed the connection"));
    }
    let found = ask(&table, "k");
    assert!(found.contains(&format!("127.0.0.1:{port} has failed 3 times in a row")), "{found}");
}

#[test]
fn a_lookup_that_hangs_holds_up_no_other_lookup() {
    let (port, reads) = serve(vec![Act::Hang, say("200 b\n")]);
    let table = tcp(port);
    let hanging = table.clone();
    thread::spawn(move || wait(hanging.lookup("hangs")));
    reads.recv().unwrap();
    assert_eq!(ask(&table, "k"), "found b");
}

#[test]
fn lookups_work_from_within_an_executor_that_others_need() {
    let (port, _reads) = serve(vec![netstring("OK a")]);
    let table = socketmap(port, &Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(table.lookup("k")), Lookup::Found("a".to_owned()));
}

#[test]
fn a_server_behind_a_socket_of_this_machine_is_asked_as_one_behind_a_port() {
    let path = std::env::temp_dir().join(format!("socketmap-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 100];
        let count = stream.read(&mut bytes).unwrap();
        stream.write_all(b"4:OK v,").unwrap();
        bytes[..count].to_vec()
    });
    // A relative path starts at queue_directory.
    let directory = path.parent().map(Into::into);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let settings = Settings { directory, ..Settings::default() };
    let table = Table::open(&format!("socketmap:unix:{name}:users"), &settings).unwrap();
    assert_eq!(ask(&table, "key"), "found v");
    assert_eq!(server.join().unwrap(), b"9:users key,");
    std::fs::remove_file(&path).unwrap();
}
