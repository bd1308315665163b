//! `mysql:` against a MariaDB server that each test starts.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used)]

mod databases;

use databases::{Asked, Mariadb, certificate, comes, found, postmap};
use tables::Lookup;

const TARGET: &str = "query = SELECT target, note FROM alias WHERE address = '%s' ORDER BY n\n";

/// A server with some addresses.
fn server() -> Option<Mariadb> {
    let server = Mariadb::start()?;
    server.sql(
        r"CREATE TABLE alias (n int, address varchar(99), target varchar(99), note varchar(99));
          INSERT INTO alias VALUES (1, 'ann@example.org', 'a@x', 'first'), (2, 'ann@example.org', NULL, 'second'),
              (3, 'ann@example.org', '', 'third'), (4, 'o''neil@example.org', 'quoted', NULL),
              (5, 'back\\slash@example.org', 'backslash', NULL), (6, 'which', 'one', NULL),
              (7, 'jörg@bücher.example', 'ümlaut@x', NULL);
          CREATE PROCEDURE look(IN a varchar(99)) SELECT target FROM alias WHERE address = a ORDER BY n;
          CREATE PROCEDURE touch(IN a varchar(99)) UPDATE alias SET note = NULL WHERE address = a;",
    );
    server.sql("INSERT INTO alias VALUES (9, '📧@example.org', 'envelope', NULL)");
    Some(server)
}

fn table(server: &Mariadb, settings: &str) -> Asked {
    Asked::open("mysql", &server.directory, &format!("{}{settings}", server.login()))
}

#[test]
fn each_field_of_each_row_is_a_result_as_postmap_says() {
    let Some(server) = server() else { return };
    let keys = [
        "ann@example.org",
        "o'neil@example.org",
        "back\\slash@example.org",
        "jörg@bücher.example",
        "📧@example.org",
        "nobody",
        "which",
        "@example.org",
        "say \"hello\"@example.org",
    ];
    for settings in [
        TARGET,
        "query = SELECT target FROM alias WHERE address = '%u@%d'\nresult_format = [%s] %1\n",
        "query = SELECT '%s|%u', 7, 1.50, true, now() IS NULL, NULL\n",
        "query = CALL look('%s')\n",
        "query = UPDATE alias SET note = 'x' WHERE n = 99\nrequire_result_set = no\n",
        "select_field = target\ntable = alias\nwhere_field = address\nadditional_conditions = AND n > 1\n",
        "query = SELECT '%d'\ndomain = example.org\n",
        "query = CALL touch('%s')\nrequire_result_set = no\n",
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
        let Some(theirs) = postmap("mysql", &server.directory, &asked.file, &keys) else { return };
        assert_eq!(ours, theirs, "{settings}");
    }
}

#[test]
fn keys_with_special_characters_find_what_they_name_and_nothing_else() {
    let Some(server) = server() else { return };
    for mode in ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,STRICT_ALL_TABLES"] {
        server.sql(&format!("SET GLOBAL sql_mode = '{mode}'"));
        let asked = table(&server, TARGET);
        assert_eq!(asked.look("o'neil@example.org"), found("quoted"), "{mode}");
        assert_eq!(asked.look("back\\slash@example.org"), found("backslash"), "{mode}");
        assert_eq!(asked.look("JÖRG@bücher.example"), found("ümlaut@x"));
        assert_eq!(asked.look("📧@example.org"), found("envelope"));
        let keys = [
            "' OR '1'='1",
            "\\' OR 1=1 -- ",
            "\\\\' OR 1=1 -- ",
            "'; DROP TABLE alias; -- ",
            "ῃ' OR 1=1 -- ",
            "\" OR 1=1 -- ",
            "\\",
            "''",
            "a\nb",
            "\x1a",
        ];
        for key in keys {
            assert_eq!(asked.look(key), Lookup::NotFound, "{key} {mode}");
        }
        assert_eq!(asked.look("which"), found("one"), "nothing was broken");
    }
}

#[test]
fn a_server_that_talks_another_character_set_to_its_clients_takes_ours_for_utf_8() {
    let Some(mut server) = server() else { return };
    server.kill();
    server.more = vec!["--skip-character-set-client-handshake".into(), "--character-set-server=gbk".into()];
    server.run();
    let asked = table(&server, TARGET);
    assert_eq!(asked.look("jörg@bücher.example"), found("ümlaut@x"));
    assert_eq!(asked.look("ῃ' OR 1=1 -- "), Lookup::NotFound);
}

#[test]
fn a_query_without_a_result_set_or_with_two_fails_for_the_time_being() {
    let Some(server) = server() else { return };
    let none = "expected a query with a result set, found none (require_result_set = yes)";
    let asked = table(&server, "query = CALL touch('%s')\n");
    for _ in 0..5 {
        assert!(asked.fails("which").ends_with(none));
    }
    server.sql("DELIMITER //\nCREATE PROCEDURE two(IN a varchar(9)) BEGIN SELECT 1; SELECT 2; END//");
    let asked = table(&server, "query = CALL two('%s')\n");
    assert!(asked.fails("which").ends_with("expected one result set, found more"));
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
fn sockets_are_asked_before_the_network() {
    let Some(server) = server() else { return };
    let socket = server.directory.0.join("socket");
    let hosts = format!("hosts = inet:127.0.0.1:{} unix:{}\n", server.port, socket.display());
    let query = "query = SELECT SUBSTRING_INDEX(host, ':', 1) FROM information_schema.processlist WHERE id = CONNECTION_ID()\n";
    for _ in 0..8 {
        assert_eq!(table(&server, &format!("{query}{hosts}")).look("k"), found("localhost"));
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
fn a_server_that_restarts_or_closes_the_connection_between_two_lookups_costs_none() {
    let Some(mut server) = server() else { return };
    let asked = table(&server, TARGET);
    assert_eq!(asked.look("which"), found("one"));
    server.kill();
    server.run();
    assert_eq!(asked.look("which"), found("one"));
    let id = server.sql("SELECT id FROM information_schema.processlist WHERE user = 'mail'");
    server.sql(&format!("KILL {id}"));
    assert_eq!(asked.look("which"), found("one"));
}

#[test]
fn an_answer_that_comes_too_late_is_nobodys_answer() {
    let Some(server) = server() else { return };
    let slow = "query = SELECT IF('%s' LIKE 'slow%%', CONCAT(SLEEP(5), '%s'), '%s')\ntimeout = 1s\n";
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
    assert!(wrong.contains("Access denied for user 'mail'") && !wrong.contains("wr0ng"), "{wrong}");
    let wrong = table(&server, &format!("{TARGET}dbname = other\n")).fails("which");
    assert!(wrong.contains("to database 'other'"), "{wrong}");
}

#[test]
fn a_query_that_the_server_refuses_fails_and_the_next_works() {
    let Some(server) = server() else { return };
    let asked = table(&server, "query = SELECT '%s' FROM DUAL WHERE %u\n");
    for _ in 0..5 {
        let error = asked.fails("nonsense");
        assert!(error.contains("Unknown column 'nonsense'"), "{error}");
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
        let count = server.sql("SELECT count(*) FROM information_schema.processlist WHERE user = 'mail'");
        assert!((1..=8).contains(&count.parse::<u32>().unwrap()), "{count}");
        sessions.wait();
    });
}

#[test]
fn tls_is_spoken_where_a_setting_names_it_and_the_servers_certificate_counts() {
    let Some(mut server) = server() else { return };
    let Some((key, cert)) = certificate(&server.directory) else { return };
    let cipher = "query = SHOW STATUS LIKE 'Ssl_version'\n";
    assert_eq!(table(&server, cipher).look("k"), found("Ssl_version"), "without TLS the version is empty");
    let ca = format!("{cipher}tls_CAfile = {}\n", cert.display());
    table(&server, &ca).fails("k");
    server.kill();
    server.more = vec![format!("--ssl-key={}", key.display()), format!("--ssl-cert={}", cert.display())];
    server.run();
    assert_eq!(table(&server, &ca).look("k"), found("Ssl_version,TLSv1.3"));
    assert_eq!(
        table(&server, &format!("{ca}tls_verify_cert = yes\n")).look("k"),
        found("Ssl_version,TLSv1.3")
    );
    // The system's authorities do not know this server.
    table(&server, &format!("{cipher}tls_verify_cert = yes\n")).fails("k");
    // The same server under an address that its certificate does not have. The library checks the name in any case.
    server.kill();
    server.more.push("--bind-address=127.0.0.2".to_owned());
    server.run();
    for verify in ["no", "yes"] {
        let other = format!("{ca}hosts = 127.0.0.2:{}\ntls_verify_cert = {verify}\n", server.port);
        assert!(table(&server, &other).fails("k").contains("not valid for name"));
    }
}
