//! The floors as floors.toml names them, held against what Cargo knows.

use std::collections::{BTreeMap, BTreeSet};

/// A parsed floors.toml.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    floor: BTreeMap<String, u32>,
    neighbours: BTreeMap<String, Vec<String>>,
    only: BTreeMap<String, Vec<String>>,
}

/// Crates that do not belong in a setgid program, by the beginning of their name.
const HEAVY: &[&str] = &["tokio", "rustls", "hickory", "aws-lc", "openssl"];

impl Floors {
    /// Reads the three tables of `key = ["a", "b"]` lines.
    pub fn parse(text: &str) -> Result<Floors, String> {
        let mut floors = Floors::default();
        let mut table = String::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = name.to_owned();
                continue;
            }
            let wrong =
                || format!("floors.toml:{}: expected `key = [\"crate\", …]`, found `{line}`", number + 1);
            let (key, list) = line.split_once('=').ok_or_else(wrong)?;
            let list =
                list.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(wrong)?;
            let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
            let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
            let key = key.trim().to_owned();
            match table.as_str() {
                "floors" => {
                    let number: u32 = key.parse().map_err(|_| wrong())?;
                    floors.floor.extend(names.into_iter().map(|name| (name, number)));
                }
                "neighbours" => drop(floors.neighbours.insert(key, names)),
                "only" => drop(floors.only.insert(key, names)),
                _ => return Err(wrong()),
            }
        }
        Ok(floors)
    }

    /// What is wrong with the dependencies (crate → names of its normal dependencies).
    pub fn check(&self, dependencies: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, imports) in dependencies {
            let Some(floor) = self.floor.get(name) else {
                wrong.push(format!("{name} stands on no floor of floors.toml"));
                continue;
            };
            let none = Vec::new();
            let neighbours = self.neighbours.get(name).unwrap_or(&none);
            for (import, below) in imports.iter().filter_map(|import| Some((import, self.floor.get(import)?)))
            {
                if below > floor || (below == floor && !neighbours.contains(import)) {
                    wrong.push(format!("{name} (floor {floor}) must not import {import} (floor {below})"));
                }
            }
            if let Some(only) = self.only.get(name) {
                let ours = imports.iter().filter(|import| self.floor.contains_key(*import));
                wrong.extend(
                    ours.filter(|import| !only.contains(import))
                        .map(|import| format!("{name} must not import {import}")),
                );
            }
        }
        wrong
    }

    /// What of ours and which heavy libraries the `[only]` programs link beyond their lists (program → everything linked).
    pub fn check_linked(&self, linked: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (program, only) in &self.only {
            for name in linked.get(program).into_iter().flatten() {
                let ours = self.floor.contains_key(name) && !only.contains(name) && name != program;
                if ours || HEAVY.iter().any(|heavy| name.starts_with(heavy)) {
                    wrong.push(format!("{program} links {name}"));
                }
            }
        }
        wrong
    }

    /// Which programs have a closed list.
    pub fn closed(&self) -> impl Iterator<Item = &str> {
        self.only.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(list: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        list.iter()
            .map(|(name, all)| ((*name).into(), all.iter().map(|one| (*one).into()).collect()))
            .collect()
    }

    #[test]
    fn upward_and_unnamed_sideways_imports_are_found() {
        let floors =
            Floors::parse("[floors]\n0 = [\"a\", \"b\", \"n\"]\n1 = [\"c\"]\n[neighbours]\nn = [\"a\"]\n")
                .unwrap();
        assert!(floors.check(&imports(&[("c", &["a", "b"]), ("n", &["a"])])).is_empty());
        assert_eq!(floors.check(&imports(&[("a", &["b"]), ("b", &["c"]), ("x", &[])])).len(), 3);
    }

    #[test]
    fn a_closed_program_links_only_its_list() {
        let floors =
            Floors::parse("[floors]\n0 = [\"a\", \"b\"]\n5 = [\"p\"]\n[only]\np = [\"a\"]\n").unwrap();
        assert!(floors.check_linked(&imports(&[("p", &["p", "a", "libc"])])).is_empty());
        assert_eq!(floors.check_linked(&imports(&[("p", &["b", "tokio-util"])])).len(), 2);
    }
}
