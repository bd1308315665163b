//! newaliases: `postalias` over `alias_database`, as Postfix does it.

use crate::settings::{Settings, os_text};
use crate::{Failure, TEMPFAIL};
use std::process::Command;

/// Rebuilds the tables of `alias_database`, or those that the words name.
pub fn run(settings: &Settings, words: &[String]) -> Result<i32, Failure> {
    let databases = if words.is_empty() { &settings.alias_database[..] } else { words };
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
