//! `mysql:` against a MariaDB server that each test starts.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used)]

#[macro_use]
mod databases;
mod debian;

use databases::scenarios::{Database, TARGET};
use databases::{Asked, Mariadb, certificate, found};
use debian::Directory;
use tables::Lookup;

impl Database for Mariadb {
    const KIND: &str = "mysql";
    const ECHO_SLOWLY: &str = "query = SELECT IF('%s' LIKE 'slow%%', CONCAT(SLEEP(5), '%s'), '%s')\n";
    const CONDITION: &str = "query = SELECT '%s' FROM DUAL WHERE %u\n";
    const UNKNOWN_COLUMN: &str = "Unknown column 'nonsense'";
    const CONNECTIONS: &str = "SELECT count(*) FROM information_schema.processlist WHERE user = 'mail'";
    const REFUSALS: [&str; 2] = ["Access denied for user 'mail'", "to database 'other'"];

    fn with_addresses() -> Option<Mariadb> {
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

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn login(&self) -> String {
        self.login()
    }

    fn run(&mut self) {
        self.run();
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn sql(&self, sql: &str) -> String {
        self.sql(sql)
    }
}

scenarios!(Mariadb);

fn server() -> Option<Mariadb> {
    Mariadb::with_addresses()
}

#[test]
fn each_field_of_each_row_is_a_result_as_postmap_says() {
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
    let settings = [
        TARGET,
        "query = SELECT target FROM alias WHERE address = '%u@%d'\nresult_format = [%s] %1\n",
        "query = SELECT '%s|%u', 7, 1.50, true, now() IS NULL, NULL\n",
        "query = CALL look('%s')\n",
        "query = UPDATE alias SET note = 'x' WHERE n = 99\nrequire_result_set = no\n",
        "select_field = target\ntable = alias\nwhere_field = address\nadditional_conditions = AND n > 1\n",
        "query = SELECT '%d'\ndomain = example.org\n",
        "query = CALL touch('%s')\nrequire_result_set = no\n",
    ];
    scenarios::as_postmap_says::<Mariadb>(&keys, &settings);
}

#[test]
fn keys_with_special_characters_find_what_they_name_and_nothing_else() {
    let Some(server) = server() else { return };
    for mode in ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,STRICT_ALL_TABLES"] {
        server.sql(&format!("SET GLOBAL sql_mode = '{mode}'"));
        let hostile = [
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
        scenarios::finds_what_they_name(&server, mode, &hostile);
        assert_eq!(server.table(TARGET).look("📧@example.org"), found("envelope"));
    }
}

#[test]
fn a_server_that_closes_the_connection_between_two_lookups_costs_none() {
    let Some(server) = server() else { return };
    let asked = server.table(TARGET);
    assert_eq!(asked.look("which"), found("one"));
    let id = server.sql("SELECT id FROM information_schema.processlist WHERE user = 'mail'");
    server.sql(&format!("KILL {id}"));
    assert_eq!(asked.look("which"), found("one"));
}

#[test]
fn a_server_that_talks_another_character_set_to_its_clients_takes_ours_for_utf_8() {
    let Some(mut server) = server() else { return };
    server.kill();
    server.more = vec!["--skip-character-set-client-handshake".into(), "--character-set-server=gbk".into()];
    server.run();
    let asked = server.table(TARGET);
    assert_eq!(asked.look("jörg@bücher.example"), found("ümlaut@x"));
    assert_eq!(asked.look("ῃ' OR 1=1 -- "), Lookup::NotFound);
}

#[test]
fn a_query_without_a_result_set_or_with_two_fails_for_the_time_being() {
    let Some(server) = server() else { return };
    let none = "expected a query with a result set, found none (require_result_set = yes)";
    let asked = server.table("query = CALL touch('%s')\n");
    for _ in 0..5 {
        assert!(asked.fails("which").ends_with(none));
    }
    server.sql("DELIMITER //\nCREATE PROCEDURE two(IN a varchar(9)) BEGIN SELECT 1; SELECT 2; END//");
    let asked = server.table("query = CALL two('%s')\n");
    assert!(asked.fails("which").ends_with("expected one result set, found more"));
}

#[test]
fn sockets_are_asked_before_the_network() {
    let Some(server) = server() else { return };
    let socket = server.directory.path().join("socket");
    let hosts = format!("hosts = inet:127.0.0.1:{} unix:{}\n", server.port, socket.display());
    let query = "query = SELECT SUBSTRING_INDEX(host, ':', 1) FROM information_schema.processlist WHERE id = CONNECTION_ID()\n";
    for _ in 0..8 {
        assert_eq!(server.table(&format!("{query}{hosts}")).look("k"), found("localhost"));
    }
}

#[test]
fn tls_is_spoken_where_a_setting_names_it_and_the_servers_certificate_counts() {
    let Some(mut server) = server() else { return };
    let Some((key, cert)) = certificate(&server.directory) else { return };
    let cipher = "query = SHOW STATUS LIKE 'Ssl_version'\n";
    assert_eq!(server.table(cipher).look("k"), found("Ssl_version"), "without TLS the version is empty");
    let ca = format!("{cipher}tls_CAfile = {}\n", cert.display());
    server.table(&ca).fails("k");
    server.kill();
    server.more = vec![format!("--ssl-key={}", key.display()), format!("--ssl-cert={}", cert.display())];
    server.run();
    assert_eq!(server.table(&ca).look("k"), found("Ssl_version,TLSv1.3"));
    assert_eq!(server.table(&format!("{ca}tls_verify_cert = yes\n")).look("k"), found("Ssl_version,TLSv1.3"));
    // The system's authorities do not know this server.
    server.table(&format!("{cipher}tls_verify_cert = yes\n")).fails("k");
    // The same server under an address that its certificate does not have: only who asks for the name minds.
    server.kill();
    server.more.push("--bind-address=127.0.0.2".to_owned());
    server.run();
    let other = |verify: &str| format!("{ca}hosts = 127.0.0.2:{}\ntls_verify_cert = {verify}\n", server.port);
    assert!(server.table(&other("yes")).fails("k").contains("not valid for name"));
    assert_eq!(server.table(&other("no")).look("k"), found("Ssl_version,TLSv1.3"));
    // Nobody vouches for it by this file, whatever its name is.
    let stranger = Directory::new("mysql-other");
    let Some((_, stranger)) = certificate(&stranger) else { return };
    let hosts = format!("hosts = 127.0.0.2:{}\ntls_CAfile = {}\n", server.port, stranger.display());
    assert!(server.table(&format!("{cipher}{hosts}")).fails("k").contains("invalid peer certificate"));
}

#[test]
fn option_files_give_what_the_table_leaves_out_as_postmap_says() {
    let Some(server) = server() else { return };
    let directory = &server.directory;
    let socket = directory.path().join("socket").display().to_string();
    let login = format!("[client]\nuser = mail\nsocket={socket}\n[mysqld]\nuser = x\n");
    let password = "password = secret\n".to_owned();
    let keys = ["which", "ann@example.org", "nobody"];
    for (options, settings, finds) in [
        (login.clone(), password.clone(), true),
        (login.clone(), format!("{password}user = other\n"), false),
        (format!("{login}[mail]\nuser = other\n"), password.clone(), true),
        (format!("{login}[mail]\nuser = other\n"), format!("{password}option_group = mail\n"), false),
        (
            login.replace("= mail", "= 'mail'").replace("[client]", "# c\n[client] \n; d\n"),
            password.clone(),
            true,
        ),
        (login.replace("= mail", "= mail # comment"), password.clone(), false),
        (login.replace("[client]", "[client-server]"), password.clone(), true),
        (
            format!("[client]\nport = {}\nuser=mail\n", server.port),
            format!("{password}hosts = 127.0.0.1\n"),
            true,
        ),
        (format!("[client]\nhost = 127.0.0.1\nport = {}\nuser=mail\n", server.port), password.clone(), true),
        (
            format!("[client]\nhost = 127.0.0.1\nport = {}\nuser=mail\n", server.port),
            format!("{password}hosts = localhost\n"),
            true,
        ),
        (format!("{login}[client]\npassword = secret\n"), String::new(), false),
    ] {
        let file = directory.write("my.cnf", &options);
        let settings = format!("{TARGET}dbname = mail\noption_file = {}\n{settings}", file.display());
        let asked = Asked::open("mysql", directory, &settings);
        let ours = keys.iter().filter_map(|key| match asked.look(key) {
            Lookup::Found(text) => Some((key.to_string(), text)),
            _ => None,
        });
        let ours: Vec<_> = ours.collect();
        assert_eq!(!ours.is_empty(), finds, "{options}{settings}");
        let Some(theirs) = debian::postmap(directory, &keys, asked.table.spec()) else { return };
        assert_eq!(ours, theirs, "{options}{settings}");
    }
}

#[test]
fn option_files_name_what_tls_needs() {
    let Some(mut server) = server() else { return };
    let Some((key, cert)) = certificate(&server.directory) else { return };
    server.kill();
    server.more = vec![format!("--ssl-key={}", key.display()), format!("--ssl-cert={}", cert.display())];
    server.run();
    let options = server.directory.write("my.cnf", &format!("[client]\nssl-ca = {}\n", cert.display()));
    let settings = format!("query = SHOW STATUS LIKE 'Ssl_version'\noption_file = {}\n", options.display());
    assert_eq!(server.table(&settings).look("k"), found("Ssl_version,TLSv1.3"));
}
