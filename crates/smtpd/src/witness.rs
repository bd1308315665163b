//! Writes down what restrictions find, so that the compat ring can tell which findings none of its cases shows.
//!
//! Only builds for tests look at `POSTHASTE_WITNESS`, which names the file that lines are added to:
//! `restriction NAME FINDING`, and `access CLASS VALUE KEY RESULT` of an access table that knows VALUE under KEY, with
//! tabs between.

use crate::list::{Entry, What};
use crate::restrictions::{self, Verdict};
use crate::trail;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::LazyLock;

const VARIABLE: &str = "POSTHASTE_WITNESS";

static FILE: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os(VARIABLE).filter(|_| cfg!(debug_assertions))?;
    OpenOptions::new().append(true).open(path).ok()
});

/// What a restriction found, by its newest name. Classes and tables that stand by themselves have none.
pub(crate) fn found(entry: &Entry, verdict: &Verdict) {
    if FILE.is_none() || !matches!(entry.what, What::One { .. }) {
        return;
    }
    let first = entry.text.split_whitespace().next().unwrap_or_default();
    let name = restrictions::find(first).map_or(first, |kind| kind.name);
    note(&["restriction", name, &trail::Told(verdict).to_string()]);
}

/// What an access table says of a value, and under which key.
pub(crate) fn access(class: &str, value: &str, key: &str, result: &str) {
    note(&["access", class, value, key, result]);
}

fn note(words: &[&str]) {
    // One write a line: several sessions add to the file.
    if let Some(mut file) = FILE.as_ref() {
        let _ = file.write_all(format!("{}\n", words.join("\t")).as_bytes());
    }
}
