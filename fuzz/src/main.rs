//! Fuzzing on stable Rust: inputs made of a dictionary and of mutated ones, targets that check invariants.
//!
//! Without coverage feedback the generators have to know what matters; each target brings its dictionary. A seed
//! replays a run, and a finding is kept as a file.

mod config_files;
mod input;
mod rule_files;
mod targets;

use input::Source;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is fuzzed.
pub struct Target {
    /// Its name on the command line and of its folder in `corpus/`.
    pub name: &'static str,
    /// Words that inputs are made of.
    pub dictionary: &'static [&'static [u8]],
    /// Runs one input; panics where an invariant is broken.
    pub run: fn(&[u8]),
}

/// Longest input.
const INPUT_MAX: usize = 16 * 1024;

struct Options {
    seconds: u64,
    seed: Option<u64>,
    words: Vec<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 15, seed: None, words: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = |name: &str| {
            let value = words.next().unwrap_or_default();
            value.parse::<u64>().map_err(|_| format!("{name}: expected a number, found `{value}`"))
        };
        match word.as_str() {
            "--seconds" => options.seconds = number("--seconds")?,
            "--seed" => options.seed = Some(number("--seed")?),
            _ => options.words.push(word),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("fuzz: {why}\nusage: fuzz [--seconds N] [--seed N] [TARGET… | TARGET FILE]");
            return ExitCode::FAILURE;
        }
    };
    if let [name, file] = &options.words[..]
        && Path::new(file).is_file()
    {
        return replay(name, Path::new(file));
    }
    for name in &options.words {
        if !targets::KINDS.iter().any(|t| t.name == name) {
            eprintln!("fuzz: no target is called `{name}`");
            return ExitCode::FAILURE;
        }
    }
    // A panic is a finding; its text is told once, with the input.
    for target in targets::KINDS {
        let chosen = options.words.is_empty() || options.words.iter().any(|w| w == target.name);
        if chosen && !fuzz(target, &options) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn replay(name: &str, file: &Path) -> ExitCode {
    let Some(target) = targets::KINDS.iter().find(|t| t.name == name) else {
        eprintln!("fuzz: no target is called `{name}`");
        return ExitCode::FAILURE;
    };
    match std::fs::read(file) {
        Ok(bytes) => {
            (target.run)(&bytes);
            println!("{name}: {} breaks nothing", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fuzz: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// Runs a target for its time; false at a finding.
fn fuzz(target: &Target, options: &Options) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = options.seed.unwrap_or(now);
    let mut source = Source::new(seed, target.dictionary, corpus(target.name));
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut rounds = 0u64;
    // The corpus itself first, then what comes of it.
    let mut kept = source.corpus().to_vec().into_iter();
    while Instant::now() < end {
        let input = kept.next().unwrap_or_else(|| source.next(INPUT_MAX));
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            let path = keep(target.name, &input);
            eprintln!("{}: seed {seed}, round {rounds}: input kept in {}", target.name, path.display());
            return false;
        }
        rounds += 1;
    }
    println!("{}: {rounds} inputs in {} s, seed {seed}: no finding", target.name, options.seconds);
    true
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(home().join("corpus").join(name)) else { return Vec::new() };
    let mut paths: Vec<_> = files.flatten().map(|f| f.path()).collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let directory = home().join("findings");
    let sum =
        input.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let path = directory.join(format!("{name}-{sum:016x}"));
    let written = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, input));
    if let Err(error) = written {
        eprintln!("fuzz: {}: {error}", path.display());
    }
    path
}
