//! newaliases: `postalias` over `alias_database`, as Postfix does it.

use crate::settings::{Settings, os_text};
use crate::{Failure, TEMPFAIL};
use std::ffi::OsStr;
use std::process::Command;

/// Rebuilds the tables of `alias_database`, or the one that `-oA` names.
pub fn run(settings: &Settings, only: Option<&OsStr>) -> Result<i32, Failure> {
    let databases: Vec<&OsStr> = match only {
        Some(database) => vec![database],
        None => settings.alias_database.iter().map(OsStr::new).collect(),
    };
    if databases.is_empty() {
        return Ok(0);
    }
    let program = settings.command_directory.join("postalias");
    let status = Command::new(&program)
        .arg("-c")
        .arg(&settings.config_directory)
        .arg("--")
        .args(databases)
        .status()
        .map_err(|e| Failure::new(TEMPFAIL, format!("execute {}: {}", program.display(), os_text(&e))))?;
    Ok(status.code().unwrap_or(TEMPFAIL))
}
