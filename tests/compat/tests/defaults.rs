//! The defaults of parameters: Debian's `postconf -d` and ours agree but for what docs/differences.md lists.

use compat::both::run;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The head of the section that lists the differences.
const SECTION: &str = "## Defaults of parameters\n";

/// `name = value` lines by name.
fn by_name(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(" =")).map(|(name, value)| (name, value.trim())).collect()
}

/// The names in back quotes in the first column of the section's table.
fn listed(page: &str) -> BTreeSet<&str> {
    let section = page.split(SECTION).nth(1).expect("docs/differences.md has a section on defaults");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| row.split(" |").next().unwrap_or_default().trim_end_matches('`').split("`, `"))
        .collect()
}

#[test]
fn defaults_are_debians_but_for_those_that_the_page_of_differences_lists() {
    let script = "postconf -c /etc/postfix -d; echo =====; posthaste postconf -c /etc/postfix -d\n";
    let Some(said) = run(script) else { return };
    let (theirs, ours) = said.split_once("=====\n").expect("both answered");
    let (theirs, ours) = (by_name(theirs), by_name(ours));
    assert!(theirs.len() > 900, "Postfix knows {} parameters", theirs.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    let page = std::fs::read_to_string(path).expect("docs/differences.md");
    let differing: BTreeSet<&str> = theirs
        .iter()
        .filter(|(name, value)| ours.get(*name) != Some(*value))
        .map(|(name, _)| *name)
        .collect();
    let listed = listed(&page);
    let unlisted: Vec<_> =
        differing.difference(&listed).map(|name| (name, theirs[name], ours.get(name))).collect();
    assert!(unlisted.is_empty(), "differ and are not listed: {unlisted:#?}");
    let equal: Vec<_> = listed.difference(&differing).collect();
    assert!(equal.is_empty(), "are listed and agree: {equal:?}");
}
