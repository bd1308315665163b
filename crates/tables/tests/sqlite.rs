//! `sqlite:` against databases that this test makes.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

mod databases;
mod debian;

use databases::Asked;
use debian::{Directory, postmap};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tables::{Lookup, Settings, Table, wait};

/// A directory with a database and the settings of tables; gone with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let directory = std::env::temp_dir().join(format!("sqlite-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let place = Place(directory);
        place.make("db", "one");
        place
    }

    /// Makes a database with some addresses, and with a row that says which database it is.
    fn make(&self, name: &str, which: &str) {
        let database = Connection::open(self.0.join(name)).unwrap();
        database
            .execute_batch(&format!(
                "CREATE TABLE alias (address TEXT, target TEXT, note TEXT);
                 INSERT INTO alias VALUES ('ann@example.org', 'a@x', 'first'), ('ann@example.org', NULL, 'no'),
                     ('ann@example.org', '', 'no'), ('ann@example.org', 'b@y', 'second'),
                     ('o''neil@example.org', 'quoted', ''), ('back\\slash@example.org', 'backslash', ''),
                     ('jörg@bücher.example', 'ümlaut@x', ''), ('which', '{which}', ''), ('number', 1e300, '');"
            ))
            .unwrap();
    }

    fn table(&self, settings: &str) -> (Table, Arc<Mutex<Vec<String>>>) {
        let file = self.0.join("table.cf");
        std::fs::write(&file, format!("dbpath = {}/db\n{settings}\n", self.0.display())).unwrap();
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        let spec = format!("sqlite:{}", file.display());
        (Table::open(&spec, &Settings { warn, ..Settings::default() }).unwrap(), warnings)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TARGET: &str = "query = SELECT target, note FROM alias WHERE address = '%s'";

fn look(table: &Table, key: &str) -> Lookup {
    wait(table.lookup(key))
}

fn found(text: &str) -> Lookup {
    Lookup::Found(text.to_owned())
}

#[test]
fn the_first_column_of_each_row_counts_and_what_is_empty_is_left_out() {
    let place = Place::new("rows");
    let (table, warnings) = place.table(TARGET);
    assert_eq!(look(&table, "Ann@Example.org"), found("a@x,b@y"));
    assert_eq!(look(&table, "number"), found("1.0e+300"));
    assert_eq!(look(&table, "nobody"), Lookup::NotFound);
    assert_eq!(warnings.lock().unwrap().len(), 1, "one result was empty");
}

#[test]
fn what_is_found_is_what_postmap_finds() {
    let directory = Directory::new("sqlite-postmap");
    let database = directory.path().join("db");
    Connection::open(&database)
        .unwrap()
        .execute_batch(
            "CREATE TABLE alias (address TEXT, target, note TEXT);
             INSERT INTO alias VALUES ('ann@example.org', 'a@x', '1'), ('ann@example.org', NULL, '2'),
                 ('ann@example.org', '', '3'), ('ann@example.org', '@y', '4'), ('ann@example.org', 'z@', '5'),
                 ('o''neil@example.org', 7, ''), ('back\\slash@example.org', 2.50, ''), ('plain', 1e300, ''),
                 ('jörg@bücher.example', x'616263', ''), ('x@a.b.c', 'p@q@r', '');",
        )
        .unwrap();
    let keys = [
        "ann@example.org",
        "Ann@Example.ORG",
        "o'neil@example.org",
        "back\\slash@example.org",
        "plain",
        "jörg@bücher.example",
        "x@a.b.c",
        "@example.org",
        "ann@",
        "@",
        "a@b@example.org",
        "' OR 1=1 --",
    ];
    let all = "query = SELECT target FROM alias WHERE address = '%s'\n";
    let mut settings = vec![
        "query = SELECT '%s' UNION ALL SELECT '%u' UNION ALL SELECT '%S%U'\n".to_owned(),
        "query = SELECT '%d|%D'\n".to_owned(),
        "query = SELECT '%1' UNION ALL SELECT '%2|%%'\n".to_owned(),
        "query = SELECT '%3'\n".to_owned(),
        "query = SELECT 1; SELECT 2\n".to_owned(),
        "query = SELECT 'x' WHERE 0\n".to_owned(),
        "select_field = target\ntable = alias\nwhere_field = address\nadditional_conditions = ORDER BY note DESC\n".to_owned(),
    ];
    for format in ["%s", "[%s]", "%u", "%d", "%u at %d", "constant", "%%", "%S=%s", "%U", "%D", "%1.%2", "$s"]
    {
        settings.push(format!("{all}result_format = {format}\n"));
    }
    for domain in
        ["example.org", "EXAMPLE.org, a.b.c", "!example.org, static:all", "inline:{{b.c=1}}", ".b.c", ""]
    {
        settings.push(format!("{all}domain = {domain}\n"));
    }
    for limit in ["0", "-1", "5"] {
        settings.push(format!("{all}expansion_limit = {limit}\n"));
    }
    for settings in settings {
        let settings = format!("dbpath = {}\n{settings}", database.display());
        let asked = Asked::open("sqlite", &directory, &settings);
        let ours = keys.iter().filter_map(|key| match asked.look(key) {
            Lookup::Found(text) => Some((key.to_string(), text)),
            Lookup::NotFound => None,
            Lookup::TempFail(text) => panic!("{settings}{key}: {text}"),
        });
        let ours: Vec<_> = ours.collect();
        let Some(theirs) = postmap(&directory, &keys, asked.table.spec()) else { return };
        assert_eq!(ours, theirs, "{settings}");
    }
}

#[test]
fn keys_with_special_characters_find_what_they_name_and_nothing_else() {
    let place = Place::new("quotes");
    let (table, _) = place.table(TARGET);
    assert_eq!(look(&table, "o'neil@example.org"), found("quoted"));
    assert_eq!(look(&table, "back\\slash@example.org"), found("backslash"));
    assert_eq!(look(&table, "jörg@bücher.example"), found("ümlaut@x"));
    for key in
        ["' OR '1'='1", "'; DROP TABLE alias; --", "\\' OR 1=1 --", "%s", "a'--", "''", "\"", "x\0' OR 1"]
    {
        assert_eq!(look(&table, key), Lookup::NotFound, "{key}");
    }
    assert_eq!(look(&table, "which"), found("one"), "nothing was broken");
}

#[test]
fn a_database_is_never_written() {
    let place = Place::new("readonly");
    let (table, warnings) = place.table("query = DELETE FROM alias WHERE address = '%s'");
    let answer = look(&table, "which");
    let Lookup::TempFail(text) = answer else { panic!("{answer:?}") };
    assert!(text.starts_with("sqlite:/") && text.contains("readonly database"), "{text}");
    assert_eq!(*warnings.lock().unwrap(), [text]);
    assert_eq!(look(&place.table(TARGET).0, "which"), found("one"));
}

#[test]
fn a_query_that_is_none_fails_for_the_time_being_and_the_next_works() {
    let place = Place::new("syntax");
    let (table, _) = place.table("query = SELEC '%s'");
    assert!(matches!(look(&table, "a"), Lookup::TempFail(text) if text.contains("syntax error")));
    let (table, _) = place.table("query = SELECT 1 WHERE %u");
    assert!(matches!(look(&table, "no_such_column"), Lookup::TempFail(_)));
    assert_eq!(look(&table, "1"), found("1"));
}

#[test]
fn a_database_that_comes_later_or_is_replaced_is_seen() {
    let place = Place::new("replaced");
    std::fs::remove_file(place.0.join("db")).unwrap();
    let (table, warnings) = place.table(TARGET);
    assert_eq!(
        warnings.lock().unwrap().len(),
        1,
        "a database that is not there is told when the table is opened"
    );
    assert!(matches!(look(&table, "which"), Lookup::TempFail(_)));
    assert!(!Path::exists(&place.0.join("db")), "a missing database is not made");
    place.make("db", "one");
    assert_eq!(look(&table, "which"), found("one"));
    place.make("new", "two");
    std::fs::rename(place.0.join("new"), place.0.join("db")).unwrap();
    assert_eq!(look(&table, "which"), found("two"));
}

#[test]
fn a_database_with_a_write_ahead_log_is_read_while_it_is_written_and_its_directory_is_named() {
    let place = Place::new("log");
    let settings = Settings::default();
    let open = |settings: &Settings| {
        let file = place.0.join("log.cf");
        std::fs::write(&file, format!("dbpath = {}/db\n{TARGET}\n", place.0.display())).unwrap();
        Table::open(&format!("sqlite:{}", file.display()), settings).unwrap()
    };
    drop(open(&settings));
    assert!(settings.written.all().is_empty(), "without such a log nothing is made beside a database");
    let mut writer = Connection::open(place.0.join("db")).unwrap();
    writer.pragma_update(None, "journal_mode", "WAL").unwrap();
    let settings = Settings::default();
    let table = open(&settings);
    assert_eq!(settings.written.all(), std::slice::from_ref(&place.0));
    let transaction = writer.transaction().unwrap();
    transaction.execute("UPDATE alias SET target = 'later' WHERE address = 'which'", []).unwrap();
    assert_eq!(look(&table, "which"), found("one"));
    transaction.commit().unwrap();
    assert_eq!(look(&table, "which"), found("later"));
}

#[test]
fn a_file_that_is_no_database_fails_for_the_time_being() {
    let place = Place::new("garbage");
    std::fs::write(place.0.join("db"), "no database\n".repeat(1000)).unwrap();
    let (table, _) = place.table(TARGET);
    assert!(matches!(look(&table, "which"), Lookup::TempFail(text) if text.contains("not a database")));
}

#[test]
fn sessions_ask_at_once_and_each_gets_its_own_answer() {
    let place = Place::new("many");
    let (table, _) = place.table("query = SELECT '%s'");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let table = table.clone();
            scope.spawn(move || {
                for n in 0..100 {
                    let key = format!("{thread}-{n}");
                    assert_eq!(look(&table, &key), found(&key));
                }
            });
        }
    });
}
