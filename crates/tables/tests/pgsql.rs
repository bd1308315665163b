//! `pgsql:` against a PostgreSQL server that each test starts.

#![cfg(feature = "pgsql")]
#![allow(clippy::unwrap_used)]

#[macro_use]
mod databases;
mod debian;

use databases::scenarios::{Database, TARGET};
use databases::{Postgres, certificate, found};
use debian::Directory;

impl Database for Postgres {
    const KIND: &str = "pgsql";
    const ECHO_SLOWLY: &str =
        "query = SELECT CASE WHEN '%s' LIKE 'slow%%' THEN pg_sleep(5)::text || '%s' ELSE '%s' END\n";
    const CONDITION: &str = "query = SELECT '%s' WHERE %u\n";
    const UNKNOWN_COLUMN: &str = "ERROR: column \"nonsense\" does not exist";
    const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posthaste'";
    const REFUSALS: [&str; 2] = [
        "FATAL: password authentication failed for user \"mail\"",
        "FATAL: database \"other\" does not exist",
    ];

    fn with_addresses() -> Option<Postgres> {
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

scenarios!(Postgres);

fn server() -> Option<Postgres> {
    Postgres::with_addresses()
}

#[test]
fn each_field_of_each_row_is_a_result_as_postmap_says() {
    let keys = [
        "ann@example.org",
        "o'neil@example.org",
        "back\\slash@example.org",
        "nobody",
        "which",
        "@example.org",
    ];
    let settings = [
        TARGET,
        "query = SELECT target FROM alias WHERE address = '%u@%d'\nresult_format = [%s] %1\n",
        "query = SELECT '%s|%u', 7, 1.50, true, now() IS NULL\n",
        "query = SELECT 1; SELECT target FROM alias WHERE address = '%s'\n",
        "query = SELECT target FROM alias WHERE address = '%s'; UPDATE alias SET note = 'x' WHERE n = 99\n",
        "select_field = target\ntable = alias\nwhere_field = address\nadditional_conditions = AND n > 1\n",
        "select_function = upper\n",
        "query = SELECT '%d'\ndomain = example.org\n",
        "query = UPDATE alias SET note = 'x' WHERE n = 99\n",
    ];
    scenarios::as_postmap_says::<Postgres>(&keys, &settings);
}

#[test]
fn keys_with_special_characters_find_what_they_name_and_nothing_else() {
    let Some(server) = server() else { return };
    for setting in ["on", "off"] {
        server.sql(&format!("ALTER DATABASE mail SET standard_conforming_strings = {setting}"));
        let hostile =
            ["' OR '1'='1", "\\' OR 1=1 --", "\\\\' OR 1=1 --", "'; DROP TABLE alias; --", "%s", "\\", "''"];
        scenarios::finds_what_they_name(&server, setting, &hostile);
    }
}

#[test]
fn a_uri_shows_its_password_to_nobody() {
    let Some(server) = server() else { return };
    let uri = format!("{TARGET}hosts = postgresql://mail:wr0ng@127.0.0.1:{}/mail\n", server.port);
    let wrong = server.table(&uri).fails("which");
    assert!(!wrong.contains("wr0ng") && wrong.contains("postgresql://mail@127.0.0.1"), "{wrong}");
}

#[test]
fn a_server_is_reached_over_its_socket_and_by_a_uri() {
    let Some(server) = server() else { return };
    let (port, path) = (server.port, server.directory.path().display().to_string());
    let encoded = path.replace('/', "%2F");
    for hosts in [
        format!("postgresql://mail:secret@127.0.0.1:{port}/mail"),
        format!("postgres://127.0.0.1:{port}"),
        format!("postgresql://mail@{encoded}:{port}/mail"),
        format!("postgresql:///mail?host={path}&port={port}"),
    ] {
        let asked = server.table(&format!("{TARGET}hosts = {hosts}\n"));
        assert_eq!(asked.look("which"), found("one"), "{hosts}");
    }
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
    assert_eq!(server.table(version).look("k"), found("clear"));
    assert!(server.table(&uri("127.0.0.1", "sslmode=require")).fails("k").contains("does not support TLS"));
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
        let asked = server.table(&uri(host, &parameters));
        match expected {
            Some(version) => assert_eq!(asked.look("k"), found(version), "{host} {parameters}"),
            None => assert!(asked.fails("k").contains("certificate"), "{host} {parameters}"),
        }
    }
}
