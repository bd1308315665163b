//! `memcache` against Debian's memcached and against a server that answers by script.
//!
//! The answers to the malformed are those of Postfix 3.7's `postmap -q` with the same server.

#![allow(clippy::unwrap_used)]

mod debian;
mod script;

use debian::{Directory, Server};
use script::{Act, ask, say, serve};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use tables::{Settings, Table};

/// A table whose file has these lines.
fn table(directory: &Directory, port: u16, lines: &str) -> Table {
    let text = format!("memcache = inet:127.0.0.1:{port}\n{lines}\n");
    let file = directory.write(&format!("memcache-{port}.cf"), &text);
    Table::open(&format!("memcache:{}", file.display()), &Settings::default()).unwrap()
}

fn memcached(port: u16) -> Option<Command> {
    let mut command = debian::program("usr/bin/memcached")?;
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-m", "16"]);
    if debian::is_root() {
        command.args(["-u", "nobody"]);
    }
    Some(command)
}

/// Sends a command to memcached and gives what it says.
fn say_to(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "{command}\r\nquit\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn set(port: u16, key: &str, value: &str) {
    assert_eq!(say_to(port, &format!("set {key} 0 0 {}\r\n{value}", value.len())), "STORED\r\n");
}

#[test]
fn memcached_answers_for_what_it_has() {
    if memcached(0).is_none() {
        return;
    }
    let directory = Directory::new("memcache");
    let server = Server::start(|port| memcached(port).unwrap());
    set(server.port, "mail:ann@example.org", "ann, Ünited");
    set(server.port, "mail:empty", "");
    let table = table(&directory, server.port, "key_format = mail:%s");
    assert!(table.takes_parts());
    assert_eq!(ask(&table, "Ann@Example.ORG"), "found ann, Ünited");
    assert_eq!(ask(&table, "empty"), "found ");
    assert_eq!(ask(&table, "bob@example.org"), "not found");
    assert_eq!(ask(&table, "two words"), "not found");
    let found = ask(&table, &"k".repeat(300));
    assert!(found.starts_with("fails: ") && found.contains("CLIENT_ERROR"), "{found}");
    assert_eq!(ask(&table, "ann@example.org"), "found ann, Ünited");
}

#[test]
fn memcached_answers_as_it_does_for_postfix() {
    if memcached(0).is_none() {
        return;
    }
    let directory = Directory::new("memcache");
    let server = Server::start(|port| memcached(port).unwrap());
    let port = server.port;
    let stored = [("a@x.org", "1"), ("a", "2"), ("x.org", "3"), ("ä@x.org", "4"), ("k%s", "5"), ("org", "6")];
    for (key, value) in stored {
        set(port, key, value);
    }
    let keys = [
        "A@x.org",
        "a",
        "a@",
        "@x.org",
        "x.org",
        "Ä@X.ORG",
        "k%s",
        "K%S",
        "a b",
        "b@x.org",
        "a@a@x.org",
        "org",
    ];
    for lines in [
        "",
        "key_format = %u",
        "key_format = %d",
        "key_format = %1",
        "key_format = %u@%2.%1",
        "domain = x.org",
    ] {
        let table = table(&directory, port, lines);
        let found = |key: &&str| Some((key.to_string(), ask(&table, key).strip_prefix("found ")?.to_owned()));
        let ours: Vec<_> = keys.iter().filter_map(found).collect();
        assert_eq!(Some(ours), debian::postmap(&directory, &keys, table.spec()), "{lines}");
    }
}

#[test]
fn what_the_table_behind_knows_is_put_into_memcached() {
    if memcached(0).is_none() {
        return;
    }
    let directory = Directory::new("memcache");
    let server = Server::start(|port| memcached(port).unwrap());
    let table =
        table(&directory, server.port, "backup = inline:{ann=ann@home}\nflags = 7\nkey_format = p:%s");
    assert_eq!(ask(&table, "Ann"), "found ann@home");
    assert_eq!(say_to(server.port, "get p:ann"), "VALUE p:ann 7 8\r\nann@home\r\nEND\r\n");
    set(server.port, "p:ann", "elsewhere");
    assert_eq!(ask(&table, "ann"), "found elsewhere");
    assert_eq!(ask(&table, "bob"), "not found");
}

#[test]
fn while_memcached_is_down_mail_waits_and_when_it_is_back_mail_goes_on() {
    if memcached(0).is_none() {
        return;
    }
    let directory = Directory::new("memcache");
    let server = Server::start(|port| memcached(port).unwrap());
    let port = server.port;
    let alone = table(&directory, port, "");
    assert_eq!(ask(&alone, "k"), "not found");
    drop(server);
    let found = ask(&alone, "k");
    assert!(found.starts_with(&format!("fails: 127.0.0.1:{port}: Connection refused")), "{found}");
    let backed = table(&directory, port, "backup = static:behind");
    assert_eq!(ask(&backed, "k"), "found behind");
    let again = Server::start_at(port, memcached(port).unwrap()).unwrap();
    set(again.port, "k", "back");
    // The breaker may have one pause of a second yet to go.
    let back = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        ask(&alone, "k") == "found back"
    });
    assert!(back);
}

#[test]
fn many_lookups_at_once_share_a_few_connections() {
    if memcached(0).is_none() {
        return;
    }
    let directory = Directory::new("memcache");
    let server = Server::start(|port| memcached(port).unwrap());
    let keys: Vec<String> = (0..40).map(|number| format!("key{number}")).collect();
    for key in &keys {
        set(server.port, key, &format!("value of {key}"));
    }
    let table = &table(&directory, server.port, "");
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_eq!(ask(table, key), format!("found value of {key}"));
                }
            });
        }
    });
    let stats = say_to(server.port, "stats");
    let count = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(count("get_hits"), 1000);
    // One for each key that was set, one for these figures, one to see that the server is up, and the table's own.
    let ours = count("total_connections") - 40 - 2;
    assert!((1..=10).contains(&ours), "{ours} connections");
}

#[test]
fn answers_are_read_as_postfix_reads_them() {
    let directory = Directory::new("memcache");
    for (answer, lines, expected) in [
        ("END\r\n", "", "not found"),
        ("VALUE k 0 2\r\nab\r\nEND\r\n", "", "found ab"),
        ("VALUE k 0 2 77\r\nab\r\nEND\r\n", "", "found ab"),
        ("VALUE k 5 4\r\na\r\nb\r\nEND\r\n", "", "found a\r\nb"),
        ("VALUE k 0 3\r\na\0b\r\nEND\r\n", "", "found a"),
        ("VALUE k 0 2\r\nab\r\nEND\r\n", "data_size_limit = 2", "found ab"),
        (
            "VALUE k 0 2\r\nab\r\nEND\r\n",
            "data_size_limit = 1",
            "at most 1 bytes of data (data_size_limit), found 2",
        ),
        ("VALUE k 0 2\r\nab\r\nEND\r\n", "line_size_limit = 12", "found ab"),
        (
            "VALUE k 0 2\r\nab\r\nEND\r\n",
            "line_size_limit = 11",
            "a line of at most 11 bytes (line_size_limit)",
        ),
        ("VALUE k 0 2\nab\nEND\n", "", "expected a line, found `VALUE k 0 2`"),
        ("VALUE k 0 2\r\nabcd\r\nEND\r\n", "", "expected END behind the data"),
        ("VALUE k 0 x\r\nab\r\nEND\r\n", "", "expected VALUE or END, found `VALUE k 0 x`"),
        ("VALUE other 0 2\r\nab\r\nEND\r\n", "", "expected VALUE or END, found `VALUE other 0 2`"),
        ("ERROR\r\n", "", "expected VALUE or END, found `ERROR`"),
        ("SERVER_ERROR out of memory\r\n", "", "found `SERVER_ERROR out of memory`"),
    ] {
        let (port, _reads) = serve(vec![say(answer)]);
        let found = ask(&table(&directory, port, &format!("max_try = 1\n{lines}")), "k");
        match expected.starts_with("found ") && !expected.contains('`') || expected == "not found" {
            true => assert_eq!(found, expected, "{answer:?}"),
            false => assert!(found.starts_with("fails: ") && found.contains(expected), "{answer:?}: {found}"),
        }
    }
}

#[test]
fn a_command_that_fails_is_tried_again_as_often_as_max_try_says() {
    let directory = Directory::new("memcache");
    let value = say("VALUE k 0 2\r\nab\r\nEND\r\n");
    let (port, reads) = serve(vec![Act::Close, value.clone()]);
    assert_eq!(ask(&table(&directory, port, ""), "k"), "found ab");
    assert_eq!(reads.try_iter().map(|(connection, _)| connection).collect::<Vec<_>>(), [0, 1]);
    let (port, reads) = serve(vec![Act::Close, value]);
    let found = ask(&table(&directory, port, "max_try = 1"), "k");
    assert_eq!(found, format!("fails: 127.0.0.1:{port}: the server closed the connection"));
    assert_eq!(reads.try_iter().count(), 1);
}

#[test]
fn a_server_that_answers_after_its_timeout_is_given_up_with_its_connection() {
    let directory = Directory::new("memcache");
    let value = |text: &str| format!("VALUE k 0 {}\r\n{text}\r\nEND\r\n", text.len());
    let late = Act::Late(value("late").into_bytes());
    let (port, reads) = serve(vec![say(value("first")), late, say(value("right"))]);
    let table = table(&directory, port, "max_try = 1\ntimeout = 1");
    assert_eq!(ask(&table, "k"), "found first");
    let found = ask(&table, "k");
    assert_eq!(found, format!("fails: 127.0.0.1:{port}: no answer within 1 s"));
    // What comes too late finds its connection closed; it is no answer to the next question.
    assert_eq!(ask(&table, "k"), "found right");
    let connections: Vec<usize> = reads.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[test]
fn keys_are_made_from_key_format_and_only_those_of_the_domains_are_asked_for() {
    let directory = Directory::new("memcache");
    for (lines, key, asked) in [
        ("", "K", Some("get k\r\n")),
        ("key_format = x:%s", "k", Some("get x:k\r\n")),
        ("key_format = %U.%d", "a@b.c", Some("get a.b.c\r\n")),
        ("key_format = %1.%2", "a@b.c", Some("get c.b\r\n")),
        ("key_format = %3", "a@b.c", None),
        ("key_format = %d", "k", None),
        ("key_format = %u", "@b", None),
        ("key_format = $foo:%s", "k", Some("get $foo:k\r\n")),
        ("domain = b.c", "a@b.c", Some("get a@b.c\r\n")),
        ("domain = b.c", "@b.c", None),
        ("domain = b.c", "b.c", None),
        ("domain = c", "a@b.c", None),
    ] {
        let (port, reads) = serve(vec![say("END\r\n")]);
        assert_eq!(ask(&table(&directory, port, lines), key), "not found", "{lines} {key}");
        let read = reads.try_recv().ok().map(|(_, bytes)| String::from_utf8(bytes).unwrap());
        assert_eq!(read.as_deref(), asked, "{lines} {key}");
    }
}

#[test]
fn a_table_that_names_itself_is_an_error_of_opening() {
    let directory = Directory::new("memcache");
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    directory.write("a", &format!("domain = memcache:{}\n", b.display()));
    directory.write("b", &format!("backup = memcache:{}\n", a.display()));
    let error =
        Table::open(&format!("memcache:{}", a.display()), &Settings::default()).unwrap_err().to_string();
    let text = error.replace(&directory.path().display().to_string(), "D");
    assert_eq!(
        text,
        "memcache:D/a: D/a:1: domain: memcache:D/b: D/b:1: backup: \
         memcache:D/a: expected another table, found one whose own settings name it"
    );
}
