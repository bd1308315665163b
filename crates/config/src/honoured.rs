//! The test that proves for each honoured parameter that the code honours it.
//!
//! honoured.tsv holds name and test, sorted. A test is `compat FILE/CASE` (`tests/compat/cases`) or `CRATE PATH` for a
//! Rust test. It sets the parameter off its default and fails where the code forgets the parameter, as
//! `cargo test -p compat --test compat -- --prove` shows.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("honoured.tsv");

static TESTS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| all().collect());

/// Names and their tests, sorted by name.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(|line| line.split_once('\t'))
}

/// The test that proves that a parameter is honoured.
pub fn test_of(name: &str) -> Option<&'static str> {
    TESTS.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{self, State};

    #[test]
    fn each_proof_is_of_an_honoured_parameter_and_stands_once_in_order() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        assert_eq!(names.len(), TABLE.lines().count(), "expected NAME, tab, TEST in each line");
        assert!(names.is_sorted_by(|a, b| a < b));
        for name in names {
            let honoured = known::find(name)
                .map_or_else(|| known::own().contains(&name), |k| k.state == State::Honoured);
            assert!(honoured, "{name} is not called honoured");
        }
    }
}
