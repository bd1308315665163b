//! What Postfix needs before it can take over again: tables that were rebuilt here while it was stopped.

use config::{Config, words};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tables::index::{Stale, stale_for_postfix};

/// Parameters whose tables have the form of aliases(5), so that postalias builds them.
const ALIASES: [&str; 2] = ["alias_maps", "alias_database"];

/// A table that Postfix would find stale.
struct Table {
    /// `hash:/etc/postfix/virtual`.
    spec: String,
    source: PathBuf,
    why: Stale,
    /// The command of Postfix that builds it.
    program: PathBuf,
}

/// Lists the stale tables of the configuration in `directory`; rebuilds them with Postfix's commands where `rebuild`
/// says so. The exit status is 0 where none is left, else 1; 2 where the configuration cannot be read.
pub fn run(directory: &Path, rebuild: bool) -> ExitCode {
    let tables = match stale(directory) {
        Ok(tables) => tables,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut left = 0;
    for table in &tables {
        let why = match &table.why {
            Stale::OursIsNewer(index) => format!("{} is newer than Postfix's index", index.display()),
            Stale::SourceIsNewer(source) => format!("{} is newer than its index", source.display()),
        };
        let command = format!("{} -c {} {}", table.program.display(), directory.display(), table.spec);
        if !rebuild {
            println!("{}: stale: {why}; `{command}` rebuilds it", table.spec);
            left += 1;
        } else if let Err(why) = table.rebuild(directory) {
            eprintln!("{}: stale: `{command}`: {why}", table.spec);
            left += 1;
        } else {
            println!("{}: rebuilt by `{command}`", table.spec);
        }
    }
    if tables.is_empty() {
        println!("Postfix's tables are as new as ours.");
    }
    ExitCode::from(u8::from(left > 0))
}

/// The `hash:` and `btree:` tables that any parameter names and Postfix would find stale.
fn stale(directory: &Path) -> Result<Vec<Table>, String> {
    let directory = std::path::absolute(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let (config, _) = Config::survey(&directory).map_err(|e| e.to_string())?;
    let commands = PathBuf::from(config.text("command_directory").map_err(|e| e.to_string())?);
    let queue = PathBuf::from(config.text("queue_directory").map_err(|e| e.to_string())?);
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    let mut note = |name: &str, value: Result<String, config::Error>| {
        for spec in indexed(&value.unwrap_or_default()) {
            *found.entry(spec).or_default() |= ALIASES.contains(&name);
        }
    };
    for name in config.main().iter().map(|(name, _)| name).chain(ALIASES) {
        note(name, config.text(name));
    }
    for service in config.services() {
        for (name, _) in &service.overrides {
            note(name, config.scope(Some(service)).expanded(name));
        }
    }
    let stale = found.into_iter().filter_map(|(spec, is_alias)| {
        let (_, name) = spec.split_once(':')?;
        let source = queue.join(name);
        let why = stale_for_postfix(&source)?;
        let program = commands.join(if is_alias { "postalias" } else { "postmap" });
        Some(Table { spec, source, why, program })
    });
    Ok(stale.collect())
}

/// The tables with an index of Berkeley DB in a value.
fn indexed(value: &str) -> Vec<String> {
    let divides = |c: char| words::is_list_separator(c) || matches!(c, '{' | '}');
    let specs = value.split(divides).map(|word| {
        let word = word.trim_start_matches('!');
        word.strip_prefix("proxy:").unwrap_or(word)
    });
    specs.filter(|spec| spec.starts_with("hash:") || spec.starts_with("btree:")).map(str::to_owned).collect()
}

impl Table {
    /// Builds Postfix's index; ours, which says the same, goes.
    fn rebuild(&self, directory: &Path) -> Result<(), String> {
        let status = Command::new(&self.program).arg("-c").arg(directory).arg(&self.spec).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(status.to_string()),
            Err(e) => return Err(format!("{e}; is Postfix installed?")),
        }
        match stale_for_postfix(&self.source) {
            None => {}
            Some(_) => return Err("it is as stale as before".to_owned()),
        }
        match std::fs::remove_file(tables::index::Format::Own.path(&self.source)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.to_string()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_an_index_are_found_in_any_value() {
        assert_eq!(
            indexed("permit_mynetworks, check_client_access hash:/a { check_x !proxy:btree:/b } texthash:/c"),
            ["hash:/a", "btree:/b"]
        );
    }
}
