//! What the rings that are programs of their own begin and end with.

use std::process::ExitCode;
use testkit::world;

/// Runs a ring: with `--inside WORD` what is run in a world, else all of it. What fails is told on standard error.
pub fn program(inside: fn(&str) -> Result<(), String>, all: fn() -> Result<(), String>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ended(match arguments.as_slice() {
        [first, word] if first == "--inside" => inside(word),
        _ => all(),
    })
}

/// The exit status of what ended so.
pub fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Makes sure of worlds, Debian's programs and ours.
pub fn ready() -> Result<(), String> {
    world::available().map_err(|why| format!("this ring {why}"))?;
    world::fetch()?;
    world::posthaste().map(drop)
}

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
