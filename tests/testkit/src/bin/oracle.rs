//! Asks Debian's Postfix (or Posthaste) what it does with a case file.
//!
//! `oracle [--posthaste | --both] [--golden] FILE.case [CASE…]`

use std::process::ExitCode;
use testkit::play::{self, Transcript};
use testkit::world;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("oracle: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, program] = arguments.as_slice()
        && first == "--inside"
    {
        return play::inside(program);
    }
    let mut programs = vec!["postfix"];
    let mut golden = false;
    while let Some(option) = arguments.first().filter(|word| word.starts_with("--")).cloned() {
        match option.as_str() {
            "--posthaste" => programs = vec!["posthaste"],
            "--both" => programs = vec!["postfix", "posthaste"],
            "--golden" => golden = true,
            other => return Err(format!("unknown option `{other}`")),
        }
        arguments.remove(0);
    }
    let [file, names @ ..] = arguments.as_slice() else {
        return Err("usage: oracle [--posthaste | --both] [--golden] FILE.case [CASE…]".into());
    };
    world::available()?;
    world::fetch()?;
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    for program in programs {
        println!("=== {program}");
        for transcript in play::outside(program, &text).map_err(|why| format!("{file}: {why}"))? {
            if names.is_empty() || names.contains(&transcript.case) || transcript.case == "*" {
                show(&transcript, golden);
            }
        }
    }
    Ok(())
}

fn show(transcript: &Transcript, golden: bool) {
    println!("\ncase: {}", transcript.case);
    for (part, line) in &transcript.lines {
        match part.as_str() {
            "replies" | "failure" if golden => println!("{line}"),
            _ if golden => {}
            "replies" => println!("{line}"),
            part => println!("  {part}: {line}"),
        }
    }
}
