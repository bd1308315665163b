//! `pgsql:` against a PostgreSQL server that each test starts.

#![cfg(feature = "pgsql")]
#![allow(clippy::unwrap_used)]

mod databases;

use databases::{Asked, Directory, Postgres, certificate, comes, found, postmap};
use tables::Lookup;

const TARGET: &str = "query = SELECT target, note FROM alias WHERE address = '%s' ORDER BY n\n";

/// A server with some addresses.
fn server() -> Option<Postgres> {
    let server = Postgres::start()?;
    server.sql(
        "CREATE TABLE alias (n int, address text, target text, note text);
         INSERT INTO alias VALUES (1, 'ann@example.org', 'a@x', 'first'), (2, 'ann@example.org', NULL, 'second'),
             (3, 'ann@example.org', '', 'third'), (4, 'o''neil@example.org', 'quoted', NULL),
             (5, 'back\\slash@example.org', 'backslash', NULL), (6, 'which', 'one', NULL),
             (7, 'jörg@bücher.example', 'ümlaut@x', NULL)",
    );
    Some(server)
}

fn table(server: &Postgres, settings: &str) -> Asked {
    Asked::open("pgsql", &server.directory, &format!("{}{settings}", server.login()))
}

#[test]
fn each_field_of_each_row_is_a_result_as_postmap_says() {
    let Some(server) = server() else { return };
    let keys = [
        "ann@example.org",
        "o'neil@example.org",
        "back\\slash@example.org",
        "nobody",
        "which",
        "@example.org",
    ];
    for settings in [
        TARGET,
        "query = SELECT target FROM alias WHERE address = '%u@%d'\nresult_format = [%s] %1\n",
        "query = SELECT '%s|%u', 7, 1.50, true, now() IS NULL\n",
        "query = SELECT 1; SELECT target FROM alias WHERE address = '%s'\n",
        "query = SELECT target FROM alias WHERE address = '%s'; UPDATE alias SET note = 'x' WHERE n = 99\n",
        "select_field = target\ntable = alias\nwhere_field = address\nadditional_conditions = AND n > 1\n",
        "select_function = upper\n",
        "query = SELECT '%d'\ndomain = example.org\n",
        "query = UPDATE alias SET note = 'x' WHERE n = 99\n",
    ] {
        let asked = table(&server, settings);
        let ours: Vec<Option<String>> = keys
            .iter()
            .map(|key| match asked.look(key) {
                Lookup::Found(text) => Some(text),
                Lookup::NotFound => None,
                Lookup::TempFail(text) => panic!("{settings}{key}: {text}"),
            })
            .collect();
        let Some(theirs) = postmap("pgsql", &server.directory, &asked.file, &keys) else { return };
        assert_eq!(ours, theirs, "{settings}");
    }
    assert_eq!(table(&server, TARGET).look("ann@example.org"), found("a@x,first,second,third"));
}

#[test]
fn keys_with_special_characters_find_what_they_name_and_nothing_else() {
    let Some(server) = server() else { return };
    for setting in ["on", "off"] {
        server.sql(&format!("ALTER DATABASE mail SET standard_conforming_strings = {setting}"));
        let asked = table(&server, TARGET);
        assert_eq!(asked.look("o'neil@example.org"), found("quoted"));
        assert_eq!(asked.look("back\\slash@example.org"), found("backslash"));
        assert_eq!(asked.look("JÖRG@bücher.example"), found("ümlaut@x"));
        for key in
            ["' OR '1'='1", "\\' OR 1=1 --", "\\\\' OR 1=1 --", "'; DROP TABLE alias; --", "%s", "\\", "''"]
        {
            assert_eq!(asked.look(key), Lookup::NotFound, "{key} {setting}");
        }
        assert_eq!(asked.look("which"), found("one"), "nothing was broken");
    }
}

#[test]
fn a_host_that_is_dead_is_followed_by_one_that_lives() {
    let Some(server) = server() else { return };
    let hosts = format!("{TARGET}hosts = 127.0.0.1:1 inet:127.0.0.1:{}\n", server.port);
    for _ in 0..8 {
        assert_eq!(table(&server, &hosts).look("which"), found("one"));
    }
}

#[test]
fn a_server_is_reached_over_its_socket_and_by_a_uri() {
    let Some(server) = server() else { return };
    let (port, path) = (server.port, server.directory.0.display().to_string());
    let encoded = path.replace('/', "%2F");
    for hosts in [
        format!("postgresql://mail:secret@127.0.0.1:{port}/mail"),
        format!("postgres://127.0.0.1:{port}"),
        format!("postgresql://mail@{encoded}:{port}/mail"),
        format!("postgresql:///mail?host={path}&port={port}"),
    ] {
        let asked = table(&server, &format!("{TARGET}hosts = {hosts}\n"));
        assert_eq!(asked.look("which"), found("one"), "{hosts}");
    }
}

#[test]
fn a_server_that_stops_makes_mail_wait_and_one_that_is_back_is_asked_again() {
    let Some(mut server) = server() else { return };
    let asked = table(&server, TARGET);
    assert_eq!(asked.look("which"), found("one"));
    server.kill();
    for _ in 0..5 {
        asked.fails("which");
    }
    assert!(asked.fails("which").contains("has failed 3 times in a row"), "the breaker is open");
    server.run();
    assert!(comes(|| asked.look("which") == found("one")), "{:?}", asked.warnings.lock().unwrap());
}

#[test]
fn a_server_that_restarts_between_two_lookups_costs_none() {
    let Some(mut server) = server() else { return };
    let asked = table(&server, TARGET);
    assert_eq!(asked.look("which"), found("one"));
    server.kill();
    server.run();
    assert_eq!(asked.look("which"), found("one"));
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys_answer() {
    let Some(server) = server() else { return };
    let slow = "query = SELECT CASE WHEN '%s' LIKE 'slow%%' THEN pg_sleep(5)::text || '%s' ELSE '%s' END\ntimeout = 1s\n";
    let asked = table(&server, slow);
    assert_eq!(asked.look("a"), found("a"));
    assert!(asked.fails("slow").ends_with("no answer within 1 s"));
    for key in ["b", "c", "d"] {
        assert_eq!(asked.look(key), found(key));
    }
}

#[test]
fn a_login_that_is_refused_makes_mail_wait_and_keeps_the_password_to_itself() {
    let Some(server) = server() else { return };
    let wrong = table(&server, &format!("{TARGET}password = wr0ng\n")).fails("which");
    assert!(wrong.ends_with("FATAL: password authentication failed for user \"mail\""), "{wrong}");
    let wrong = table(&server, &format!("{TARGET}dbname = other\n")).fails("which");
    assert!(wrong.ends_with("FATAL: database \"other\" does not exist"), "{wrong}");
    let uri = format!("{TARGET}hosts = postgresql://mail:wr0ng@127.0.0.1:{}/mail\n", server.port);
    let wrong = table(&server, &uri).fails("which");
    assert!(!wrong.contains("wr0ng") && wrong.contains("postgresql://mail@127.0.0.1"), "{wrong}");
}

#[test]
fn a_query_that_the_server_refuses_fails_and_the_next_works() {
    let Some(server) = server() else { return };
    let asked = table(&server, "query = SELECT '%s' WHERE %u\n");
    let error = asked.fails("nonsense");
    assert!(error.ends_with("ERROR: column \"nonsense\" does not exist"), "{error}");
    for _ in 0..5 {
        asked.fails("nonsense");
    }
    assert_eq!(asked.look("true"), found("true"), "a question that is refused does not open the breaker");
}

#[test]
fn sessions_share_few_connections_and_each_gets_its_own_answer() {
    let Some(server) = server() else { return };
    let asked = table(&server, "query = SELECT '%s'\n");
    let sessions = std::sync::Barrier::new(33);
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let (asked, sessions) = (&asked, &sessions);
            scope.spawn(move || {
                for n in 0..20 {
                    let key = format!("{thread}-{n}");
                    assert_eq!(asked.look(&key), found(&*key));
                }
                sessions.wait();
                sessions.wait();
            });
        }
        sessions.wait();
        let count = server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posthaste'");
        assert!((1..=8).contains(&count.parse::<u32>().unwrap()), "{count}");
        sessions.wait();
    });
}

#[test]
fn tls_is_spoken_where_the_server_has_it_and_a_uri_says_what_its_certificate_must_show() {
    let Some(mut server) = server() else { return };
    let Some((key, cert)) = certificate(&server.directory) else { return };
    let other = Directory::new("pgsql-other");
    let Some((_, stranger)) = certificate(&other) else { return };
    let version = "query = SELECT coalesce(version, 'clear') FROM pg_stat_ssl WHERE pid = pg_backend_pid()\n";
    let port = server.port;
    let uri = |host: &str, parameters: &str| {
        format!("{version}hosts = postgresql://{host}:{port}/mail?{parameters}\n")
    };
    assert_eq!(table(&server, version).look("k"), found("clear"));
    assert!(table(&server, &uri("127.0.0.1", "sslmode=require")).fails("k").contains("does not support TLS"));
    server.kill();
    server.more = [
        "ssl=on".into(),
        format!("ssl_key_file={}", key.display()),
        format!("ssl_cert_file={}", cert.display()),
    ]
    .into_iter()
    .flat_map(|setting: String| ["-c".to_owned(), setting])
    .collect();
    server.run();
    let (root, stranger) = (cert.display(), stranger.display());
    let cases = [
        ("127.0.0.1", "sslmode=disable".to_owned(), Some("clear")),
        ("127.0.0.1", String::new(), Some("TLSv1.3")),
        ("localhost", "sslmode=require".to_owned(), Some("TLSv1.3")),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={root}"), Some("TLSv1.3")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={root}"), Some("TLSv1.3")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={root}"), None),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={stranger}"), None),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={stranger}"), None),
    ];
    for (host, parameters, expected) in cases {
        let asked = table(&server, &uri(host, &parameters));
        match expected {
            Some(version) => assert_eq!(asked.look("k"), found(version), "{host} {parameters}"),
            None => assert!(asked.fails("k").contains("certificate"), "{host} {parameters}"),
        }
    }
}
