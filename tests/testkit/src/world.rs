//! Runs a program in a world of its own (`world/enter`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The directory of this crate.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where Debian's packages lie unpacked: `$POSTHASTE_ORACLE`, or `target/oracle`.
pub fn oracle() -> PathBuf {
    std::env::var_os("POSTHASTE_ORACLE").map_or_else(|| here().join("../../target/oracle"), PathBuf::from)
}

/// The executable under test: `$POSTHASTE`, or the one that Cargo built beside this one.
pub fn posthaste() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("POSTHASTE") {
        return Ok(path.into());
    }
    beside("posthaste").map_err(|why| format!("{why}: `cargo build` first, or set POSTHASTE"))
}

/// The executable of a name that Cargo built beside this one.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("current executable: {e}"))?;
    let found = own.ancestors().skip(1).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("no {name} beside {}", own.display()))
}

/// Whether worlds can be made here, and if not, why.
pub fn available() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root for network and mount namespaces".into());
    }
    Ok(())
}

/// Fetches and unpacks Debian's packages unless that is done.
pub fn fetch() -> Result<(), String> {
    let status = Command::new(here().join("world/fetch"))
        .arg(oracle())
        .status()
        .map_err(|e| format!("world/fetch: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("world/fetch: {status}")) }
}

/// Runs this very executable with arguments in a world of a program, with more variables in the environment, and gives
/// it a text on standard input.
pub fn run_self(
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Result<Output, String> {
    let own = std::env::current_exe().map_err(|e| format!("current executable: {e}"))?;
    let oracle = oracle().canonicalize().map_err(|e| format!("{}: {e}", oracle().display()))?;
    let mut command = Command::new(here().join("world/enter"));
    command.arg(program).arg(oracle).arg(own).args(arguments).envs(variables.iter().copied());
    if program == "posthaste" {
        command.env("POSTHASTE", posthaste()?);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("world/enter: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|e| format!("world/enter: {e}"))?;
    }
    child.wait_with_output().map_err(|e| format!("world/enter: {e}"))
}
