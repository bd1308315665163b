//! `ldap` against Debian's slapd, and beside it Debian's Postfix with the same server and the same settings.

#![cfg(feature = "ldap")]
#![allow(clippy::unwrap_used)]

mod debian;
mod script;

use debian::{Directory, Server};
use script::{Act, ask, say, serve};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tables::{Lookup, Settings, Table, wait};

const PEOPLE: &str = include_str!("ldap/people.ldif");
const ELSEWHERE: &str = include_str!("ldap/elsewhere.ldif");
const SLAPD_CONF: &str = include_str!("ldap/slapd.conf");

/// slapd on three sockets: `ldap:` at its port, `ldaps:` at `tls_port`, `ldapi:` at `socket` in its directory.
struct Slapd {
    server: Server,
    tls_port: u16,
    directory: Directory,
}

/// A slapd with the people of people.ldif; nothing where there is no slapd.
fn slapd() -> Option<Slapd> {
    slapd_with(PEOPLE)
}

/// A slapd with these entries, in which PORT is its own.
fn slapd_with(entries: &str) -> Option<Slapd> {
    // Between finding a port and listening there, somebody else may take it.
    for _ in 0..10 {
        let port = testkit::free_port();
        let (directory, configuration) = prepared(&entries.replace("PORT", &port.to_string()))?;
        let tls_port = testkit::free_port();
        let socket = directory.path().join("socket").display().to_string().replace('/', "%2F");
        let listen = format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port} ldapi://{socket}");
        let mut command = debian::program("usr/sbin/slapd")?;
        command.args(["-d", "0", "-h", &listen, "-f"]).arg(&configuration);
        if debian::is_root() {
            command.args(["-u", "nobody", "-g", "nogroup"]);
        }
        if let Some(server) = Server::start_at(port, command) {
            return Some(Slapd { server, tls_port, directory });
        }
    }
    panic!("slapd does not start");
}

/// A directory with slapd's configuration and these entries.
fn prepared(entries: &str) -> Option<(Directory, PathBuf)> {
    let mut load = debian::program("usr/sbin/slapd")?;
    let directory = Directory::new("slapd");
    let here = directory.path();
    let copy = |from: &Path, name: &str| std::fs::copy(from, here.join(name)).unwrap();
    // The server's user may not be able to reach the tree of the packages.
    for schema in ["core", "cosine", "inetorgperson"] {
        copy(&debian::root().join(format!("etc/ldap/schema/{schema}.schema")), &format!("{schema}.schema"));
    }
    copy(&debian::root().join("usr/lib/ldap/back_mdb.so"), "back_mdb.so");
    let authority = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
    debian::certificate(&directory, "authority", &authority, None)?;
    let server = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "basicConstraints=CA:FALSE"];
    debian::certificate(&directory, "server", &server, Some("authority"))?;
    let data = here.join("data");
    std::fs::create_dir(&data).unwrap();
    let configuration = SLAPD_CONF.replace("HERE", &here.display().to_string());
    let (configuration, entries) =
        (directory.write("slapd.conf", &configuration), directory.write("entries.ldif", entries));
    let loaded = load.args(["-Ta", "-f"]).arg(&configuration).arg("-l").arg(&entries).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    if debian::is_root() {
        let nobody = Some(debian::NOBODY);
        for entry in std::fs::read_dir(&data).unwrap().chain(std::fs::read_dir(here).unwrap()) {
            chown(entry.unwrap().path(), nobody, nobody).unwrap();
        }
    }
    Some((directory, configuration))
}

impl Slapd {
    /// `ldap:FILE` whose file has these lines behind what every table needs.
    fn spec(&self, lines: &str) -> String {
        let port = self.server.port;
        let here = self.directory.path().display().to_string();
        let lines = lines
            .replace("TLSPORT", &self.tls_port.to_string())
            .replace("PORT", &port.to_string())
            .replace("SOCKET", &format!("{here}/socket").replace('/', "%2F"))
            .replace("HERE", &here);
        let mut text = String::new();
        for (name, value) in [
            ("server_host", format!("ldap://127.0.0.1:{port}")),
            ("search_base", "dc=example,dc=org".to_owned()),
            ("query_filter", "(mail=%s)".to_owned()),
        ] {
            if !lines.lines().any(|line| line.starts_with(name)) {
                text.push_str(&format!("{name} = {value}\n"));
            }
        }
        format!("ldap:{}", self.directory.write("ldap.cf", &format!("{text}{lines}\n")).display())
    }

    fn table(&self, lines: &str) -> Table {
        Table::open(&self.spec(lines), &Settings::default()).unwrap()
    }
}

/// Settings, and keys that are looked up with them. What Postfix answers with an error stands in another list.
const CASES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ann@example.org",
            "Ann@Example.ORG",
            "bob@example.org",
            "carl@example.org",
            "none@example.org",
            r"o*d(d)\d@example.org",
            "*",
            "comma@example.org",
            "eve@example.org",
            "ann",
        ],
    ),
    ("result_attribute = mail, maildrop", &["ann@example.org"]),
    ("result_attribute = maildrop mail", &["ann@example.org"]),
    ("result_attribute = MAILDROP,maildrop", &["ann@example.org"]),
    ("result_attribute = description", &["ann@example.org"]),
    ("result_attribute = objectClass", &["bob@example.org"]),
    ("result_attribute = dn", &["bob@example.org"]),
    ("query_filter = (mail=%u@example.org)", &["ann@other", "ann", "@other"]),
    ("query_filter = mail=%s", &["ann@example.org"]),
    ("query_filter = (&(mail=%s)(uid=%U))", &["ann@example.org"]),
    ("search_base = dc=%2,dc=%1", &["ann@example.org", "ann", "ann@x.y"]),
    (
        "search_base = cn=%u,ou=people,dc=example,dc=org\nquery_filter = (!(cn=%d))\nscope = base",
        &["a,b@x", " a@x", "#a@x", "a+b@x", "a\"b@x", "a<b>;\\c=@x"],
    ),
    ("scope = one", &["ann@example.org"]),
    ("scope = one\nsearch_base = ou=people,dc=example,dc=org", &["ann@example.org"]),
    ("scope = BASE\nsearch_base = uid=ann,ou=people,dc=example,dc=org", &["ann@example.org"]),
    ("result_format = smtp:[%s]", &["ann@example.org"]),
    ("result_format = %u at %d, %S %1", &["ann@example.org", "bob@example.org"]),
    ("result_filter = x%s", &["bob@example.org"]),
    ("domain = example.org", &["ann@example.org", "ann", "@example.org", "ann@example.net"]),
    ("bind = no", &["ann@example.org"]),
    ("bind = none", &["ann@example.org"]),
    ("bind = simple", &["ann@example.org"]),
    ("bind_dn = cn=postfix,dc=example,dc=org\nbind_pw = secret", &["eve@example.org", "ann@example.org"]),
    ("bind = no\nbind_dn = cn=postfix,dc=example,dc=org\nbind_pw = wrong", &["ann@example.org"]),
    (
        "dereference = 0\nquery_filter = (|(uid=ann)(uid=%s))\nsearch_base = ou=alias,dc=example,dc=org",
        &["x"],
    ),
    (
        "dereference = 1\nquery_filter = (|(uid=ann)(uid=%s))\nsearch_base = ou=alias,dc=example,dc=org",
        &["x"],
    ),
    (
        "dereference = 3\nquery_filter = (|(uid=ann)(uid=%s))\nsearch_base = ou=alias,dc=example,dc=org",
        &["x"],
    ),
    (
        "dereference = 2\nquery_filter = (|(uid=ann)(uid=%s))\nsearch_base = uid=anna,ou=alias,dc=example,dc=org",
        &["x"],
    ),
    ("query_filter = (|(mail=*@*)(uid=%s))\nresult_attribute = mail\nexpansion_limit = 11", &["x"]),
    ("special_result_attribute = member, memberurl", GROUPS),
    ("special_result_attribute = member, memberurl\nresult_attribute = memberaddr, maildrop", GROUPS),
    (
        "special_result_attribute = member, memberurl\nresult_attribute = memberaddr\nleaf_result_attribute = mail",
        GROUPS,
    ),
    (
        "special_result_attribute = member, memberurl\nresult_attribute =\nleaf_result_attribute = mail, maildrop",
        GROUPS,
    ),
    (
        "special_result_attribute = member\nresult_attribute = memberaddr\nterminal_result_attribute = terminaldrop",
        GROUPS,
    ),
    (
        "special_result_attribute = member, memberurl\nresult_attribute = mail\n\
         terminal_result_attribute = maildrop\nleaf_result_attribute = description",
        GROUPS,
    ),
    ("special_result_attribute = member, memberurl\nresult_attribute = MAIL", GROUPS),
    ("special_result_attribute = member\nresult_format = <%s>\nresult_attribute = mail", GROUPS),
    ("special_result_attribute = member\nrecursion_limit = 3\nsize_limit = 1", &["all@example.org"]),
    ("server_host = 127.0.0.1\nserver_port = PORT", &["bob@example.org"]),
    ("server_host = 127.0.0.1:PORT", &["bob@example.org"]),
    ("server_host = ldap://127.0.0.1:1, ldap://127.0.0.1:PORT", &["bob@example.org"]),
    ("server_host = 127.0.0.1:1 127.0.0.1:PORT", &["bob@example.org"]),
    ("server_host = LDAP://127.0.0.1:PORT/dc=x", &["bob@example.org"]),
    ("server_host = ldapi://SOCKET", &["bob@example.org"]),
    (
        "server_host = ldapi://SOCKET\nbind = sasl\nsasl_mechs = EXTERNAL",
        &["eve@example.org", "ann@example.org"],
    ),
    ("server_host = ldaps://127.0.0.1:TLSPORT", &["bob@example.org"]),
    (
        "server_host = ldaps://127.0.0.1:TLSPORT\ntls_require_cert = yes\ntls_ca_cert_file = HERE/authority.pem",
        &["bob@example.org"],
    ),
    (
        "server_host = ldap://127.0.0.1:PORT\nstart_tls = yes\ntls_require_cert = yes\n\
         tls_ca_cert_file = HERE/authority.pem\ntls_cert = HERE/server.pem\ntls_key = HERE/server.key",
        &["bob@example.org"],
    ),
];

const GROUPS: &[&str] =
    &["staff@example.org", "all@example.org", "query@example.org", "terminal@example.org", "ann@example.org"];

#[test]
fn slapd_answers_as_it_does_for_postfix() {
    let Some(slapd) = slapd() else { return };
    answers_as_for_postfix(&slapd, CASES);
}

fn answers_as_for_postfix(slapd: &Slapd, cases: &[(&str, &[&str])]) {
    let mut found_some = 0;
    for (lines, keys) in cases {
        let spec = slapd.spec(lines);
        let table = Table::open(&spec, &Settings::default()).unwrap();
        let found = |key: &&str| match wait(table.lookup(key)) {
            Lookup::Found(value) => Some((key.to_string(), value)),
            Lookup::NotFound => None,
            Lookup::TempFail(text) => panic!("{lines}: {text}"),
        };
        let ours: Vec<_> = keys.iter().filter_map(found).collect();
        found_some += usize::from(!ours.is_empty());
        assert_eq!(Some(ours), debian::postmap(&slapd.directory, keys, &spec), "{lines}");
    }
    // Or nobody would notice that nothing is ever found.
    assert!(found_some > cases.len() * 2 / 3, "{found_some} of {}", cases.len());
}

/// Settings that follow referrals or do not, and keys.
const REFERRED: &[(&str, &[&str])] = &[
    (
        "search_base = ou=elsewhere,dc=example,dc=org\nchase_referrals = yes",
        &["far@example.org", "further@example.org"],
    ),
    (
        "chase_referrals = yes",
        &["far@example.org", "further@example.org", "ann@example.org", "nobody@example.org"],
    ),
    ("chase_referrals = no", &["far@example.org", "ann@example.org"]),
    (
        "chase_referrals = yes\nscope = one\nsearch_base = ou=elsewhere,dc=example,dc=org",
        &["far@example.org"],
    ),
    ("chase_referrals = yes\nquery_filter = (mail=f*)\nresult_attribute = uid\nsize_limit = 3", &["x"]),
];

#[test]
fn other_servers_that_the_directory_refers_to_are_asked_where_that_is_set() {
    let Some(other) = slapd_with(ELSEWHERE) else { return };
    let refer = |ou: &str, to: &str| {
        format!(
            "\ndn: ou={ou},dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: {ou}\n\
             ref: ldap://127.0.0.1:{}/ou={to},dc=example,dc=org\n",
            other.server.port
        )
    };
    let people = &PEOPLE[..PEOPLE.find("dn: ou=elsewhere").unwrap()];
    let Some(slapd) = slapd_with(&format!("{people}{}", refer("elsewhere", "elsewhere"))) else { return };
    answers_as_for_postfix(&slapd, REFERRED);
    let Some(slapd) = slapd_with(&format!("{people}{}", refer("dark", "secret"))) else { return };
    // What is there for those who log in is not there for us: our password is for the table's own servers.
    let login = "chase_referrals = yes\nbind_dn = cn=postfix,dc=example,dc=org\nbind_pw = secret";
    let found = ask(&slapd.table(login), "ida@example.org");
    assert!(found.contains("referred to `ou=secret,dc=example,dc=org`, which is not there"), "{found}");
    let Some(slapd) = slapd_with(&format!("{people}{}", refer("loop", "loop"))) else { return };
    let found = ask(&slapd.table("chase_referrals = yes"), "far@example.org");
    assert!(found.contains("expected at most 5 referrals one after another"), "{found}");
    let Some(slapd) = slapd_with(PEOPLE) else { return };
    let found = ask(&slapd.table("chase_referrals = yes"), "far@example.org");
    assert!(
        found.contains("referred to `ldap://127.0.0.1:1/") && found.contains("Connection refused"),
        "{found}"
    );
}

#[test]
fn what_the_directory_cannot_answer_makes_mail_wait_with_the_reason() {
    let Some(slapd) = slapd() else { return };
    for (lines, key, expected) in [
        ("query_filter = (|(mail=*@*)(uid=%s))\nexpansion_limit = 3", "x", "sizeLimitExceeded"),
        ("query_filter = (|(mail=*@*)(uid=%s))\nsize_limit = 3", "x", "sizeLimitExceeded"),
        ("expansion_limit = 1", "ann@example.org", "expected at most 1 results (expansion_limit)"),
        ("query_filter = (mail=%s", "x", "expected a filter, found `(mail=x`"),
        (
            "search_base = ou=nowhere,dc=example,dc=org",
            "x",
            "search base `ou=nowhere,dc=example,dc=org` not found",
        ),
        ("search_base = not a dn", "x", "invalidDNSyntax"),
        ("search_base = ou=elsewhere,dc=example,dc=org", "x", "referral"),
        (
            "bind_dn = cn=postfix,dc=example,dc=org\nbind_pw = wrong",
            "x",
            "cannot bind as `cn=postfix,dc=example,dc=org`: rc=49",
        ),
        (
            "start_tls = yes\ntls_require_cert = yes\ntls_ca_cert_file = HERE/server.pem",
            "x",
            "invalid peer certificate",
        ),
        ("server_host = ldap://127.0.0.2:1", "x", "ldap://127.0.0.2:1: "),
        ("special_result_attribute = member", "loop@example.org", "at most 1000 deep (recursion_limit)"),
        (
            "special_result_attribute = member\nrecursion_limit = 2",
            "all@example.org",
            "at most 2 deep (recursion_limit)",
        ),
        (
            "special_result_attribute = member\nresult_attribute = mail\nexpansion_limit = 2",
            "all@example.org",
            "expected at most 2 results",
        ),
        ("special_result_attribute = memberurl", "bad@example.org", "invalidDNSyntax"),
    ] {
        let found = ask(&slapd.table(lines), key);
        assert!(found.starts_with("fails: ") && found.contains(expected), "{lines}: {found}");
        assert!(!found.contains("wrong"), "a password is shown: {found}");
    }
}

#[test]
fn an_entry_that_is_referred_to_and_gone_is_left_out_with_a_warning() {
    let Some(slapd) = slapd() else { return };
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = warnings.clone();
    let warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
    let spec = slapd.spec("special_result_attribute = member");
    let table = Table::open(&spec, &Settings { warn, ..Settings::default() }).unwrap();
    assert_eq!(ask(&table, "staff@example.org"), "found ann@home.example.org,ann@work.example.org,bob");
    let gone = format!("{spec}: `uid=nobody,ou=people,dc=example,dc=org` is not found; it is left out");
    assert_eq!(*warnings.lock().unwrap(), [gone]);
}

#[test]
fn settings_may_stand_in_main_cf_under_the_name_of_the_table() {
    let Some(slapd) = slapd() else { return };
    let port = slapd.server.port;
    let parameter = move |name: &str| match name {
        "people_server_host" => Some(format!("127.0.0.1:{port}")),
        "people_search_base" => Some("dc=example,dc=org".to_owned()),
        "people_query_filter" => Some("(mail=%s)".to_owned()),
        _ => None,
    };
    let settings = Settings { parameter: Arc::new(parameter), ..Settings::default() };
    let table = Table::open("ldap:people", &settings).unwrap();
    assert_eq!(ask(&table, "bob@example.org"), "found bob");
}

#[test]
fn while_slapd_is_down_mail_waits_and_the_server_is_left_in_peace() {
    let Some(slapd) = slapd() else { return };
    let table = slapd.table("");
    assert_eq!(ask(&table, "bob@example.org"), "found bob");
    let Slapd { server, directory: _directory, .. } = slapd;
    let host = format!("ldap://127.0.0.1:{}", server.port);
    drop(server);
    for _ in 0..3 {
        let found = ask(&table, "bob@example.org");
        assert!(
            found.starts_with(&format!("fails: {host}: ")) && found.contains("Connection refused"),
            "{found}"
        );
    }
    let found = ask(&table, "bob@example.org");
    assert!(found.starts_with(&format!("fails: {host} has failed 3 times in a row")), "{found}");
}

#[test]
fn a_server_that_is_silent_or_talks_nonsense_makes_mail_wait() {
    let directory = Directory::new("ldap-silent");
    let search_response = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    for (acts, expected) in [
        (vec![Act::Hang], "no connection within 1 s"),
        (vec![say(search_response), Act::Hang], "no answer to a search within 1 s"),
        (vec![say(b"HTTP/1.0 400 Bad Request\r\n\r\n")], ""),
        (vec![say(search_response), say(b"\x30\x05\x02\x01\x02\x65\x00")], ""),
        (vec![say(search_response), say(b"\x30\x03\x02\x01\x02")], ""),
        (vec![say(b"\x30\x84\xff\xff\xff\xff")], "no connection within 1 s"),
        (vec![Act::Close], ""),
    ] {
        let (port, _reads) = serve(acts);
        let lines = format!("server_host = 127.0.0.1:{port}\nsearch_base = dc=x\ntimeout = 1\n");
        let file = directory.write("silent.cf", &lines);
        let table = Table::open(&format!("ldap:{}", file.display()), &Settings::default()).unwrap();
        let found = ask(&table, "k");
        assert!(found.starts_with("fails: ") && found.contains(expected), "{found}");
    }
}
