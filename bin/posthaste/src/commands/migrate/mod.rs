//! `posthaste migrate`: what a Postfix configuration is here, and what Postfix needs to take it back.

mod back;
mod survey;

use super::Call;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use survey::{Item, Verdict};

/// Runs the command; the exit status of `--check` is that of [`Verdict`], 2 where the configuration cannot be read, and
/// that of `--back` says whether a table is left that Postfix would find stale.
pub fn run(call: Call) -> ExitCode {
    let mut directory = call.config_directory.clone();
    let (mut check, mut as_json, mut back, mut rebuild) = (false, false, false, false);
    for word in &call.arguments {
        match word.as_str() {
            "--check" => check = true,
            "--json" => as_json = true,
            "--back" => back = true,
            "--run" => rebuild = true,
            word if !word.starts_with('-') && directory.is_none() => directory = Some(PathBuf::from(word)),
            word => return wrong_usage(&format!("found `{word}`")),
        }
    }
    if check == back || (as_json && back) || (rebuild && check) {
        return wrong_usage(&format!("found `{}`", call.arguments.join(" ")));
    }
    let directory = directory.unwrap_or_else(|| "/etc/postfix".into());
    if back {
        return back::run(&directory, rebuild);
    }
    match survey::survey(&directory) {
        Ok(items) if as_json => print_json(&directory, &items),
        Ok(items) => print_text(&items),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(Verdict::Unsupported.status())
        }
    }
}

fn wrong_usage(found: &str) -> ExitCode {
    eprintln!("posthaste migrate: expected --check [--json] [DIR] or --back [--run] [DIR], {found}");
    ExitCode::from(Verdict::Unsupported.status())
}

/// How many there are of each verdict, and the worst.
fn counts(items: &[Item]) -> ([usize; 3], ExitCode) {
    let mut counts = [0; 3];
    items.iter().for_each(|item| counts[usize::from(item.verdict.status())] += 1);
    let worst = items.iter().map(|item| item.verdict.status()).max().unwrap_or(0);
    (counts, ExitCode::from(worst))
}

fn print_text(items: &[Item]) -> ExitCode {
    for item in items {
        let place = item.origin.as_ref().map_or(String::new(), |origin| format!("{origin}: "));
        let text = if item.text.is_empty() { String::new() } else { format!(": {}", item.text) };
        println!("{place}{} {}: {}{text}", item.kind, item.name, item.verdict.name());
    }
    let ([same, differs, unsupported], status) = counts(items);
    println!("{same} same, {differs} differ, {unsupported} not supported");
    status
}

fn print_json(directory: &Path, items: &[Item]) -> ExitCode {
    let ([same, differs, unsupported], status) = counts(items);
    let list: Vec<_> = items
        .iter()
        .map(|item| {
            json!({
                "file": item.origin.as_ref().map(|o| o.file.display().to_string()),
                "line": item.origin.as_ref().map(|o| o.line),
                "kind": item.kind,
                "name": item.name,
                "verdict": item.verdict.name(),
                "text": item.text,
            })
        })
        .collect();
    let all = json!({
        "directory": directory.display().to_string(),
        "items": list,
        "summary": { "same": same, "differs": differs, "not supported": unsupported },
    });
    println!("{all}");
    status
}
