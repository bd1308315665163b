//! Index files that other programs made: Postfix's postmap, and Berkeley DB's db_load with pages of 512 bytes and both
//! orders of bytes. `golden/index/source` is what they were made of.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use tables::index::{Format, find, text};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/index").join(name)
}

/// The entries of the source, with keys in lower case.
fn source(key_bytes_max: usize) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(golden("source")).unwrap();
    let entries = text.lines().map(|line| line.split_once(' ').unwrap());
    entries
        .filter(|(key, _)| key.len() <= key_bytes_max)
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect()
}

/// Files with their format and the longest key in them.
const FILES: &[(&str, Format, usize)] = &[
    ("postfix-hash.db", Format::BerkeleyHash, usize::MAX),
    ("postfix-btree.db", Format::BerkeleyBtree, usize::MAX),
    ("load-hash-1234.db", Format::BerkeleyHash, usize::MAX),
    ("load-hash-4321.db", Format::BerkeleyHash, usize::MAX),
    ("load-btree-1234.db", Format::BerkeleyBtree, usize::MAX),
    ("load-btree-4321.db", Format::BerkeleyBtree, usize::MAX),
    ("postfix.cdb", Format::Cdb, usize::MAX),
    ("postfix.lmdb", Format::Lmdb, 511),
];

#[test]
fn every_entry_is_found_and_listed_and_nothing_else_is() {
    for &(name, format, key_bytes_max) in FILES {
        let index = format.open(std::fs::File::open(golden(name)).unwrap()).unwrap();
        let expected = source(key_bytes_max);
        for (key, value) in &expected {
            assert_eq!(find(&*index, key).as_ref(), Ok(&Some(value.clone())), "{name}");
        }
        for key in ["", "user", "user0@example.org0", "zzz", "long"] {
            assert_eq!(find(&*index, key), Ok(None), "{name}: `{key}`");
        }
        let mut listed = BTreeMap::new();
        index
            .each(&mut |key, value| {
                assert_eq!(listed.insert(text(key.to_vec()), text(value.to_vec())), None, "{name}");
                true
            })
            .unwrap();
        assert_eq!(listed, expected, "{name}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_answers_rightly_or_fails_and_names_the_place() {
    for &(name, format, _) in FILES {
        let whole = std::fs::read(golden(name)).unwrap();
        let full = format.of_memory(&whole).unwrap();
        for parts in 0..64 {
            let cut = &whole[..whole.len() * parts / 64];
            let Ok(index) = format.of_memory(cut) else { continue };
            for key in source(511).keys() {
                match find(&*index, key) {
                    Ok(found) => {
                        assert_eq!(Ok(found), find(&*full, key), "{name} cut to {} bytes", cut.len())
                    }
                    Err(text) => assert!(text.contains("page") || text.contains("byte"), "{name}: {text}"),
                }
            }
        }
    }
}

#[test]
fn a_damaged_file_ends_neither_the_process_nor_the_walk() {
    for &(name, format, _) in FILES {
        let whole = std::fs::read(golden(name)).unwrap();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..300 {
            let mut damaged = whole.clone();
            for _ in 0..=random(20) {
                // Headers matter most; they stand at the start of a page.
                let at = if random(2) == 0 {
                    random(whole.len())
                } else {
                    random(whole.len()) / 512 * 512 + random(40)
                };
                if let Some(byte) = damaged.get_mut(at) {
                    *byte = random(256) as u8;
                }
            }
            let Ok(index) = format.of_memory(&damaged) else { continue };
            for key in ["user1@example.com", "long@example.org", "zzz"] {
                let _ = find(&*index, key);
            }
            let mut entries = 0;
            let _ = index.each(&mut |_, _| {
                entries += 1;
                entries < 1_000_000
            });
            assert!(entries < 1_000_000, "{name}: a walk in circles");
        }
    }
}
