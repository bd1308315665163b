//! Index files with damage anywhere: no reader panics, walks in circles or takes bytes that are not there; and what the
//! writers write is read as the same again.

use crate::Target;
use std::collections::BTreeMap;
use tables::index::{Format, Index, find};

pub(super) const TARGET: Target = Target {
    name: "index_files",
    dictionary: &[
        b"user7@example.com",
        b"long@example.org",
        b"key value\n",
        b"a\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x61\x15\x06\0",
        b"\x62\x31\x05\0",
        b"\xde\xc0\xef\xbe",
        b"PHXINDEX",
        b"\0\x10\0\0",
        b"\x0d",
        b"\x07",
    ],
    run,
};

/// Files of each format, made by Postfix's postmap and by Berkeley DB's db_load.
const FILES: &[(Format, &[u8])] = &[
    (Format::BerkeleyHash, include_bytes!("../../../crates/tables/golden/index/postfix-hash.db")),
    (Format::BerkeleyHash, include_bytes!("../../../crates/tables/golden/index/load-hash-4321.db")),
    (Format::BerkeleyBtree, include_bytes!("../../../crates/tables/golden/index/postfix-btree.db")),
    (Format::BerkeleyBtree, include_bytes!("../../../crates/tables/golden/index/load-btree-1234.db")),
    (Format::BerkeleyBtree, include_bytes!("../../../crates/tables/golden/index/load-btree-4321.db")),
    (Format::Cdb, include_bytes!("../../../crates/tables/golden/index/postfix.cdb")),
    (Format::Lmdb, include_bytes!("../../../crates/tables/golden/index/postfix.lmdb")),
];
const FORMATS: &[Format] =
    &[Format::BerkeleyHash, Format::BerkeleyBtree, Format::Own, Format::Cdb, Format::Lmdb];

/// More entries than any of these files holds, however damaged: a hash that leads all buckets to one page shows its
/// entries as often as there are buckets.
const ENTRIES_MAX: usize = 10_000_000;

fn run(input: &[u8]) {
    for &format in FORMATS {
        if let Ok(index) = format.of_memory(input) {
            read(&*index);
        }
    }
    let Some((&choice, changes)) = input.split_first() else { return };
    let (format, file) = FILES[usize::from(choice) % FILES.len()];
    if let Ok(index) = format.of_memory(&damaged(file, changes)) {
        read(&*index);
    }
    written(changes);
}

/// The file with some of its bytes changed, and perhaps cut.
fn damaged(file: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for change in changes.chunks_exact(4).take(64) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        match change[2] {
            // Headers of pages matter most.
            kind @ 0..128 => {
                let at = if kind < 64 { at / 512 * 512 + at % 40 } else { at };
                if let Some(byte) = file.get_mut(at) {
                    *byte = change[3];
                }
            }
            128..136 => file.truncate(at),
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << (change[3] % 8);
                }
            }
        }
    }
    file
}

fn read(index: &dyn Index) {
    for key in ["user7@example.com", "long@example.org", "", "zzz"] {
        let _ = find(index, key);
    }
    let mut entries = 0;
    let _ = index.each(&mut |_, _| {
        entries += 1;
        assert!(entries < ENTRIES_MAX, "a walk over the entries ends");
        true
    });
}

/// What is written is read as the same again.
fn written(input: &[u8]) {
    let pairs = input.split(|&byte| byte == b'\n').map(|line| {
        let middle = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        (&line[..middle], line.get(middle + 1..).unwrap_or_default())
    });
    let entries: BTreeMap<&[u8], &[u8]> = pairs.collect();
    for format in [Format::Own, Format::Cdb, Format::Lmdb] {
        let Ok(file) = format.build(entries.iter().map(|(key, value)| (*key, *value)), 0) else {
            assert!(
                format == Format::Lmdb && entries.keys().any(|key| key.is_empty() || key.len() > 511),
                "{format:?} takes all but keys that LMDB does not take"
            );
            continue;
        };
        let index = format.of_memory(&file).expect("it was just written");
        for (key, value) in &entries {
            assert_eq!(index.get(key), Ok(Some(value.to_vec())), "{format:?}");
        }
        let mut left = entries.iter();
        let listed = index.each(&mut |key, value| {
            assert_eq!(left.next(), Some((&key, &value)), "{format:?}");
            true
        });
        assert_eq!((listed, left.next()), (Ok(()), None), "{format:?}");
    }
}
