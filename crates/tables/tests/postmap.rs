//! postmap and postalias where Debian's are no measure: JSON, our own messages, the owner of a table.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tables::postmap::{self, Program, Streams};

/// A directory with a main.cf, which goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("postmap-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("main.cf"), "compatibility_level = 3.6\n").unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Status, standard output and standard error of `postmap WORDS`; DIR stands for the directory in all of them.
    fn postmap(&self, words: &str, input: &str) -> (u8, String, String) {
        let directory = self.0.to_string_lossy();
        let words: Vec<String> = words.split(' ').map(|word| word.replace("DIR", &directory)).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams { input: &mut input.as_bytes(), out: &mut out, err: &mut err };
        let status = postmap::run(Program::Postmap, &self.0, &words, streams);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&*directory, "DIR");
        (status, text(out), text(err))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn answers_and_entries_are_json_on_demand() {
    let directory = Directory::new();
    directory.write("t", "a one\n\"b \\\" c\" t\\wo\ttab\nä ö\n");
    assert_eq!(directory.postmap("btree:DIR/t", ""), (0, String::new(), String::new()));
    let all = "{\"\\\"b \\\\\\\" c\\\"\": \"t\\\\wo\\ttab\"}\n{\"a\": \"one\"}\n{\"ä\": \"ö\"}\n";
    assert_eq!(directory.postmap("-js btree:DIR/t", ""), (0, all.into(), String::new()));
    assert_eq!(directory.postmap("-jq A btree:DIR/t", "").1, "{\"A\": \"one\"}\n");
    assert_eq!(directory.postmap("-j -q - btree:DIR/t", "none\na\n").1, "{\"a\": \"one\"}\n");
    let (status, _, err) = directory.postmap("-j btree:DIR/t", "");
    assert_eq!((status, &*err), (1, "postmap: fatal: specify -j only with -s or -q\n"));
}

#[test]
fn warnings_name_the_source_and_its_lines() {
    let directory = Directory::new();
    directory.write("t", b"  lead x\na 1\nb 2\n  more\n# comment\nA 3\n\xff y\nalone\n");
    let (status, _, err) = directory.postmap("hash:DIR/t", "");
    assert_eq!(status, 0);
    assert_eq!(
        err,
        "postmap: warning: DIR/t, line 1: logical line must not start with whitespace: \"  lead x\"\n\
         postmap: warning: DIR/t, line 6: duplicate entry: \"a\", first on line 2\n\
         postmap: warning: DIR/t, line 7: non-UTF-8 input \"? y\" -- ignoring this line\n\
         postmap: warning: DIR/t, line 8: expected format: key whitespace value\n"
    );
    let (_, _, err) = directory.postmap("-i hash:DIR/t", "b 4\n");
    assert_eq!(err, "postmap: warning: stdin, line 1: duplicate entry: \"b\"\n");
}

#[test]
fn an_index_that_cannot_be_written_leaves_the_old_one_and_nothing_else() {
    let directory = Directory::new();
    directory.write("t", "a 1\n");
    directory.postmap("lmdb:DIR/t", "");
    directory.write("t", format!("{} 1\n", "k".repeat(600)));
    let (status, _, err) = directory.postmap("lmdb:DIR/t", "");
    assert_eq!(status, 1);
    assert!(err.contains("DIR/t.lmdb: expected keys of 1 to 511 bytes, found one of 601"), "{err}");
    assert_eq!(directory.postmap("-q a lmdb:DIR/t", "").1, "1\n");
    directory.write("t", format!("big {}\n", "v".repeat(17_000_000)));
    let (status, _, err) = directory.postmap("lmdb:DIR/t", "");
    assert_eq!(status, 1);
    assert!(err.contains("DIR/t.lmdb: expected entries of at most") && err.contains("`big"), "{err}");
    assert!(!directory.0.join("t.lmdb.tmp").exists());
}

#[test]
fn root_writes_an_index_as_the_owner_of_the_source_and_later_as_that_of_the_index() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = Directory::new();
    let tables = directory.0.join("tables");
    std::fs::create_dir(&tables).unwrap();
    std::fs::write(tables.join("t"), "a 1\n").unwrap();
    std::fs::set_permissions(tables.join("t"), PermissionsExt::from_mode(0o640)).unwrap();
    for path in [&tables, &tables.join("t")] {
        std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
    }
    assert_eq!(directory.postmap("cdb:DIR/tables/t hash:DIR/tables/t", "").0, 0);
    assert_eq!(directory.postmap("-i hash:DIR/tables/t", "b 2\n").0, 0);
    for name in ["t.cdb", "t.phx"] {
        let made = std::fs::metadata(tables.join(name)).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (65_534, 65_534, 0o640), "{name}");
    }
    assert_eq!(directory.postmap("-o hash:DIR/tables/t", "").0, 0);
    assert_eq!(std::fs::metadata(tables.join("t.phx")).unwrap().uid(), 0, "-o keeps root's rights");
    // Who cannot write there gets no index, even from root.
    std::os::unix::fs::chown(&tables, Some(0), Some(0)).unwrap();
    let (status, _, err) = directory.postmap("cdb:DIR/tables/t", "");
    assert_eq!((status, &*err), (1, "postmap: fatal: open DIR/tables/t.cdb: Permission denied\n"));
}
