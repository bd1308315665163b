//! What a table of a database server does, whichever server it is; `scenarios!(Server)` makes the tests of one.

use super::{Asked, comes, found};
use crate::debian::{Directory, postmap};
use tables::Lookup;

/// A database server with addresses in the table `alias`, and what its SQL is like.
pub trait Database: Sized {
    /// The kind of table that asks it.
    const KIND: &'static str;
    /// A query that takes long for keys that start with `slow` and is the key itself for others.
    const ECHO_SLOWLY: &'static str;
    /// A query whose condition is the key.
    const CONDITION: &'static str;
    /// What the server says where that condition names a column.
    const UNKNOWN_COLUMN: &'static str;
    /// A query of our connections' number.
    const CONNECTIONS: &'static str;
    /// What the server says to a wrong password, and to a database that is not there.
    const REFUSALS: [&'static str; 2];

    /// A server with some addresses; nothing where there is no program.
    fn with_addresses() -> Option<Self>;
    fn directory(&self) -> &Directory;
    fn port(&self) -> u16;
    /// The settings that log in, `hosts` first.
    fn login(&self) -> String;
    /// Starts it (again) and waits until it takes connections.
    fn run(&mut self);
    /// Kills it without a word to its clients.
    fn kill(&mut self);
    /// Runs SQL and gives what it prints.
    fn sql(&self, sql: &str) -> String;

    /// The table with these settings behind those that log in.
    fn table(&self, settings: &str) -> Asked {
        Asked::open(Self::KIND, self.directory(), &format!("{}{settings}", self.login()))
    }
}

/// The query that most tests ask.
pub const TARGET: &str = "query = SELECT target, note FROM alias WHERE address = '%s' ORDER BY n\n";

/// Each table with these settings finds for each key what Debian's postmap finds.
pub fn as_postmap_says<D: Database>(keys: &[&str], all_settings: &[&str]) {
    let Some(server) = D::with_addresses() else { return };
    assert_eq!(server.table(TARGET).look("ann@example.org"), found("a@x,first,second,third"));
    for settings in all_settings {
        let asked = server.table(settings);
        let ours = keys.iter().filter_map(|key| match asked.look(key) {
            Lookup::Found(text) => Some((key.to_string(), text)),
            Lookup::NotFound => None,
            Lookup::TempFail(text) => panic!("{settings}{key}: {text}"),
        });
        let ours: Vec<_> = ours.collect();
        let Some(theirs) = postmap(server.directory(), keys, asked.table.spec()) else { return };
        assert_eq!(ours, theirs, "{settings}");
    }
}

/// Keys that mean something in SQL are only keys.
pub fn finds_what_they_name<D: Database>(server: &D, mode: &str, hostile: &[&str]) {
    let asked = server.table(TARGET);
    assert_eq!(asked.look("o'neil@example.org"), found("quoted"), "{mode}");
    assert_eq!(asked.look("back\\slash@example.org"), found("backslash"), "{mode}");
    assert_eq!(asked.look("JÖRG@bücher.example"), found("ümlaut@x"), "{mode}");
    for key in hostile {
        assert_eq!(asked.look(key), Lookup::NotFound, "{key} {mode}");
    }
    assert_eq!(asked.look("which"), found("one"), "nothing was broken: {mode}");
}

pub fn dead_host<D: Database>() {
    let Some(server) = D::with_addresses() else { return };
    let hosts = format!("{TARGET}hosts = 127.0.0.1:1 inet:127.0.0.1:{}\n", server.port());
    for _ in 0..8 {
        assert_eq!(server.table(&hosts).look("which"), found("one"));
    }
}

pub fn stops_and_comes_back<D: Database>() {
    let Some(mut server) = D::with_addresses() else { return };
    let asked = server.table(TARGET);
    assert_eq!(asked.look("which"), found("one"));
    server.kill();
    for _ in 0..5 {
        asked.fails("which");
    }
    assert!(asked.fails("which").contains("has failed 3 times in a row"), "the breaker is open");
    server.run();
    assert!(comes(|| asked.look("which") == found("one")), "{:?}", asked.warnings.lock().unwrap());
}

pub fn restarts_between_lookups<D: Database>() {
    let Some(mut server) = D::with_addresses() else { return };
    let asked = server.table(TARGET);
    assert_eq!(asked.look("which"), found("one"));
    server.kill();
    server.run();
    assert_eq!(asked.look("which"), found("one"));
}

pub fn answers_too_late<D: Database>() {
    let Some(server) = D::with_addresses() else { return };
    let asked = server.table(&format!("{}timeout = 1s\n", D::ECHO_SLOWLY));
    assert_eq!(asked.look("a"), found("a"));
    assert!(asked.fails("slow").ends_with("no answer within 1 s"));
    for key in ["b", "c", "d"] {
        assert_eq!(asked.look(key), found(key));
    }
}

pub fn refuses_the_login<D: Database>() {
    let Some(server) = D::with_addresses() else { return };
    for (setting, refusal) in ["password = wr0ng", "dbname = other"].iter().zip(D::REFUSALS) {
        let wrong = server.table(&format!("{TARGET}{setting}\n")).fails("which");
        assert!(wrong.contains(refusal) && !wrong.contains("wr0ng"), "{wrong}");
    }
}

pub fn refuses_the_query<D: Database>() {
    let Some(server) = D::with_addresses() else { return };
    let asked = server.table(D::CONDITION);
    for _ in 0..5 {
        let error = asked.fails("nonsense");
        assert!(error.contains(D::UNKNOWN_COLUMN), "{error}");
    }
    assert_eq!(asked.look("true"), found("true"), "a question that is refused does not open the breaker");
}

pub fn many_sessions<D: Database + Sync>() {
    let Some(server) = D::with_addresses() else { return };
    let asked = server.table("query = SELECT '%s'\n");
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
        let count = server.sql(D::CONNECTIONS);
        assert!((1..=8).contains(&count.parse::<u32>().unwrap()), "{count}");
        sessions.wait();
    });
}

/// The tests that each database server has.
macro_rules! scenarios {
    ($server:ty) => {
        use databases::scenarios;

        #[test]
        fn a_host_that_is_dead_is_followed_by_one_that_lives() {
            scenarios::dead_host::<$server>();
        }

        #[test]
        fn a_server_that_stops_makes_mail_wait_and_one_that_is_back_is_asked_again() {
            scenarios::stops_and_comes_back::<$server>();
        }

        #[test]
        fn a_server_that_restarts_between_two_lookups_costs_none() {
            scenarios::restarts_between_lookups::<$server>();
        }

        #[test]
        fn an_answer_that_comes_too_late_is_nobodys_answer() {
            scenarios::answers_too_late::<$server>();
        }

        #[test]
        fn a_login_that_is_refused_makes_mail_wait_and_keeps_the_password_to_itself() {
            scenarios::refuses_the_login::<$server>();
        }

        #[test]
        fn a_query_that_the_server_refuses_fails_and_the_next_works() {
            scenarios::refuses_the_query::<$server>();
        }

        #[test]
        fn sessions_share_few_connections_and_each_gets_its_own_answer() {
            scenarios::many_sessions::<$server>();
        }
    };
}
