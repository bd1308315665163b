//! Index files that are cut, empty, no files, forbidden, replaced, locked or old, as lookups and warnings see them.

#![allow(clippy::unwrap_used)]

use std::fs::{File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tables::index::Format;
use tables::{Lookup, Settings, Table, now, wait};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("index-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A kind with the suffix of its file and a file of this kind.
const INDEXED: &[(&str, &str, &str)] = &[
    ("hash", "db", "postfix-hash.db"),
    ("btree", "db", "postfix-btree.db"),
    ("cdb", "cdb", "postfix.cdb"),
    ("lmdb", "lmdb", "postfix.lmdb"),
];

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/index").join(name)).unwrap()
}

/// An open table and the warnings so far.
fn open(kind: &str, file: &Path) -> (Table, Arc<Mutex<Vec<String>>>) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = warnings.clone();
    let settings = Settings {
        warn: Arc::new(move |text| sink.lock().unwrap().push(text.to_owned())),
        ..Settings::default()
    };
    (Table::open(&format!("{kind}:{}", file.display()), &settings).unwrap(), warnings)
}

/// Why a lookup fails for the time being.
fn failure(kind: &str, file: &Path) -> String {
    match open(kind, file).0.lookup_now("user7@example.com") {
        Lookup::TempFail(text) => text,
        other => panic!("{kind}: expected a temporary error, found {other:?}"),
    }
}

fn of(text: &str) -> Lookup {
    Lookup::Found(text.to_owned())
}

/// Looks up until the answer is there; the thread that sees changes looks once a second.
fn until(table: &Table, key: &str, expected: &Lookup) -> bool {
    (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        table.lookup_now(key) == *expected
    })
}

fn aged(path: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn what_is_no_index_is_a_temporary_error_that_says_what_it_is() {
    let directory = Directory::new();
    for (kind, suffix, name) in INDEXED {
        let file = directory.file("t");
        let index = directory.file(&format!("t.{suffix}"));
        std::fs::write(&index, "").unwrap();
        assert!(failure(kind, &file).contains(&format!("open database {}: ", index.display())), "{kind}");
        std::fs::remove_file(&index).unwrap();

        std::fs::create_dir(&index).unwrap();
        assert!(failure(kind, &file).ends_with("expected a file, found something else"), "{kind}");
        std::fs::remove_dir(&index).unwrap();

        let whole = golden(name);
        std::fs::write(&index, &whole[..whole.len() / 2]).unwrap();
        let text = failure(kind, &file);
        assert!(text.contains("byte"), "{kind}: cut in the middle: {text}");
        std::fs::write(&index, whole).unwrap();

        if !rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&index, Permissions::from_mode(0o000)).unwrap();
            assert!(failure(kind, &file).ends_with("Permission denied"), "{kind}");
        }
        std::fs::remove_file(&index).unwrap();
    }
}

#[test]
fn an_index_that_is_cut_while_it_is_open_fails_and_names_the_page() {
    let directory = Directory::new();
    for (kind, suffix, name) in INDEXED {
        let index = directory.file(&format!("t.{suffix}"));
        std::fs::write(&index, golden(name)).unwrap();
        let (table, _) = open(kind, &directory.file("t"));
        assert_eq!(table.lookup_now("user7@example.com"), of("value 433 of 7"), "{kind}");
        File::options().write(true).open(&index).unwrap().set_len(4096).unwrap();
        match table.lookup_now("user7@example.com") {
            Lookup::TempFail(text) => assert!(text.contains(&index.display().to_string()), "{kind}: {text}"),
            // The page may lie before the cut.
            other => assert_eq!(other, of("value 433 of 7"), "{kind}"),
        }
        std::fs::remove_file(&index).unwrap();
    }
}

#[test]
fn an_index_that_is_replaced_is_read_again_and_the_old_one_answers_until_then() {
    let directory = Directory::new();
    let entries: &[(&[u8], &[u8])] = &[(b"user7@example.com", b"new")];
    for (kind, suffix, name) in INDEXED {
        let index = directory.file(&format!("t.{suffix}"));
        std::fs::write(&index, golden(name)).unwrap();
        let (table, _) = open(kind, &directory.file("t"));
        assert_eq!(table.lookup_now("user7@example.com"), of("value 433 of 7"), "{kind}");
        let (format, new) = match *kind {
            "cdb" => (Format::Cdb, index.clone()),
            "lmdb" => (Format::Lmdb, index.clone()),
            _ => (Format::Own, directory.file("t.phx")),
        };
        let next = directory.file("next");
        std::fs::write(&next, format.build(entries.iter().copied(), 0).unwrap()).unwrap();
        std::fs::rename(&next, &new).unwrap();
        assert_eq!(
            table.lookup_now("user7@example.com"),
            of("value 433 of 7"),
            "{kind}: the old file is still open"
        );
        assert!(until(&table, "user7@example.com", &of("new")), "{kind}");
        std::fs::remove_file(&index).unwrap();
        let _ = std::fs::remove_file(&new);
    }
}

#[test]
fn of_an_index_of_postfix_and_one_of_ours_the_newer_counts_with_a_warning() {
    let directory = Directory::new();
    let (theirs, ours) = (directory.file("t.db"), directory.file("t.phx"));
    std::fs::write(&theirs, golden("postfix-hash.db")).unwrap();
    let entries: &[(&[u8], &[u8])] = &[(b"user7@example.com", b"ours")];
    std::fs::write(&ours, Format::Own.build(entries.iter().copied(), 0).unwrap()).unwrap();
    aged(&theirs, 20);
    let (table, warnings) = open("hash", &directory.file("t"));
    assert_eq!(table.lookup_now("user7@example.com"), of("ours"));
    let expected = format!(
        "hash:{}: {} is newer than {} and is used",
        directory.file("t").display(),
        ours.display(),
        theirs.display()
    );
    assert_eq!(*warnings.lock().unwrap(), [expected]);
    aged(&ours, 30);
    assert_eq!(open("hash", &directory.file("t")).0.lookup_now("user7@example.com"), of("value 433 of 7"));
}

#[test]
fn a_source_that_is_newer_than_its_index_is_told_unless_it_changed_just_now() {
    let directory = Directory::new();
    let (source, index) = (directory.file("t"), directory.file("t.lmdb"));
    std::fs::write(&index, golden("postfix.lmdb")).unwrap();
    std::fs::write(&source, "a b\n").unwrap();
    aged(&index, 600);
    assert!(open("lmdb", &source).1.lock().unwrap().is_empty(), "somebody may be about to run postmap");
    aged(&source, 300);
    let expected =
        format!("lmdb:{0}: database {1} is older than source file {0}", source.display(), index.display());
    assert_eq!(*open("lmdb", &source).1.lock().unwrap(), [expected]);
}

#[test]
fn a_berkeley_db_file_that_a_writer_has_locked_is_waited_for() {
    let directory = Directory::new();
    let index = directory.file("t.db");
    std::fs::write(&index, golden("postfix-hash.db")).unwrap();
    let (table, _) = open("hash", &directory.file("t"));
    let writer = File::options().write(true).open(&index).unwrap();
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(now(table.lookup("user7@example.com")), None, "who asks goes on meanwhile");
    let asking = table.clone();
    let asking = std::thread::spawn(move || wait(asking.lookup("user7@example.com")));
    // Who opens the table meanwhile waits for the writer.
    let opening =
        std::thread::spawn(move || open("hash", &directory.file("t")).0.lookup_now("user7@example.com"));
    std::thread::sleep(Duration::from_millis(50));
    drop(writer);
    for asked in [opening, asking] {
        assert_eq!(asked.join().unwrap(), of("value 433 of 7"));
    }
    assert_eq!(table.lookup_now("user7@example.com"), of("value 433 of 7"));
}
