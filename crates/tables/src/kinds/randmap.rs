//! `randmap:{ value, value }`: for every key one of the values, by chance.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError};
use config::words::{self, is_list_separator};
use std::hash::{BuildHasher, RandomState};

/// The kind `randmap`.
pub const KIND: Kind = Kind { name: "randmap", open };

struct RandMap(Vec<String>);

fn open(name: &str, spec: &str, _: &Settings) -> Result<Box<dyn Source>, TableError> {
    // Unlike those of other kinds, the values keep their own braces.
    let values: Vec<String> = match words::unbraced(name) {
        Some(inner) if !words::unbalanced(inner) => {
            words::words(inner, is_list_separator).map(|(_, word)| word.to_owned()).collect()
        }
        _ => Vec::new(),
    };
    if values.is_empty() {
        return Err(TableError::new(spec, "expected `randmap:{ value, … }`"));
    }
    Ok(Box::new(RandMap(values)))
}

impl Source for RandMap {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        // Each RandomState has a key of its own, which spreads well: a source of chance that std has.
        let chance = RandomState::new().hash_one(()) % self.0.len() as u64;
        Lookup::Found(self.0[chance as usize].clone()).into()
    }

    fn folds(&self) -> bool {
        false
    }

    fn takes_parts(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::{Lookup, Settings, Table};

    #[test]
    fn every_value_comes_up_and_no_other() {
        let table = Table::open("randmap:{ a, b c }", &Settings::default()).unwrap();
        let mut seen = [0; 3];
        for _ in 0..3000 {
            match table.lookup_now("any") {
                Lookup::Found(value) => seen["abc".find(&value).unwrap()] += 1,
                other => panic!("{other:?}"),
            }
        }
        // A third each; that one of them comes up less than once in six times has a chance below 1 in 10^60.
        assert!(seen.iter().all(|&count| count > 500), "{seen:?}");
    }
}
