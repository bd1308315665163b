//! The compat ring: every case on Debian's Postfix and on Posthaste, each in a world of its own.
//!
//! `missing.txt` lists by name what Posthaste cannot do yet; a listed case that agrees fails the run, so the list
//! only shrinks. `cargo test -p compat --test compat -- [--verbose] [FILTER]` runs the cases whose name contains the filter;
//! `--write-missing` writes the list anew from a whole run. `--prove [FILTER]` shows that the tests which are named
//! for honoured parameters fail where the parameter is forgotten (`crates/config/src/honoured.tsv`). A whole run also
//! fails for what its cases should show and do not (`coverage`); `--gaps` lists that for the cases of the filter.

use compat::missing::{self, Ending, Endings};
use compat::{cases, comparable, coverage, difference, ring};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::case::CaseFile;
use testkit::play::{self, Transcript};

/// Worlds at once: most of a world's time is waiting.
const WORLDS: usize = 6;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, program] = arguments.as_slice()
        && first == "--inside"
    {
        return ring::ended(play::inside(program));
    }
    let has = |option: &str| arguments.iter().any(|word| word == option);
    let (verbose, write) = (has("--verbose"), has("--write-missing"));
    let (prove, gaps) = (has("--prove"), has("--gaps"));
    arguments.retain(|word| !word.starts_with('-'));
    let filter = arguments.first().map_or("", String::as_str);
    match if prove { proofs(filter) } else { ring(filter, &Wanted { verbose, write, gaps }) } {
        Ok(code) => code,
        Err(why) => {
            eprintln!("compat: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Proves that parameters are honoured, and reports how many.
fn proofs(filter: &str) -> Result<ExitCode, String> {
    ring::ready()?;
    let (proved, failed) = compat::honoured::prove(filter);
    for line in &failed {
        println!("FAILED {line}");
    }
    println!("{proved} parameters proved, {} not", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked for beside the comparison.
struct Wanted {
    verbose: bool,
    write: bool,
    gaps: bool,
}

fn ring(filter: &str, wanted: &Wanted) -> Result<ExitCode, String> {
    ring::ready()?;
    let files = cases::texts()?;
    let (endings, shown) = run_all(&files, filter)?;
    let whole = filter.is_empty();
    if wanted.write && whole {
        return missing::write(&endings, false);
    }
    let mut gaps = coverage::gaps(&shown);
    gaps.extend(coverage::differences(&files)?);
    for gap in gaps.iter().filter(|_| whole || wanted.gaps) {
        println!("{} {gap}", if whole { "FAILED" } else { "gap:" });
    }
    let judged = missing::judge(&endings, false, whole, wanted.verbose)?;
    Ok(if whole && !gaps.is_empty() { ExitCode::FAILURE } else { judged })
}

/// How the cases ended, and what those that agree show of Posthaste, under their full names. A file with a case that
/// differs is run once more, alone: on a busy machine a second can pass in the wrong place.
fn run_all(files: &[(String, String)], filter: &str) -> Result<Found, String> {
    let mut results = run_files(files, filter, WORLDS);
    let unsettled =
        |found: &Result<Found, String>| found.as_ref().map_or(true, |(endings, _)| differs(endings));
    let again: Vec<usize> = (0..files.len()).filter(|at| unsettled(&results[*at])).collect();
    let those: Vec<_> = again.iter().map(|at| files[*at].clone()).collect();
    for (at, second) in again.into_iter().zip(run_files(&those, filter, 1)) {
        println!("run again: {}", files[at].0);
        results[at] = match (std::mem::replace(&mut results[at], Err(String::new())), second) {
            (Ok(first), Ok(second)) => Ok(better(first, second)),
            (_, second) => second,
        };
    }
    let (mut endings, mut shown, mut errors) = (Endings::new(), Vec::new(), Vec::new());
    for ((file, _), found) in files.iter().zip(results) {
        match found {
            Ok((found, lines)) => {
                endings.extend(found);
                shown.extend(lines);
            }
            Err(why) => errors.push(format!("{file}: {why}")),
        }
    }
    if errors.is_empty() { Ok((endings, shown)) } else { Err(errors.join("\n")) }
}

fn differs(endings: &Endings) -> bool {
    endings.values().any(|ending| matches!(ending, Ending::Differs(_)))
}

/// Of two runs of a file, each case that agreed in one of them.
fn better((first, mut shown): Found, (second, shown_then): Found) -> Found {
    let mut endings = second;
    endings.extend(first.into_iter().filter(|(_, ending)| matches!(ending, Ending::Agrees)));
    let known: BTreeSet<String> = shown.iter().map(|transcript| transcript.case.clone()).collect();
    shown.extend(shown_then.into_iter().filter(|transcript| !known.contains(&transcript.case)));
    (endings, shown)
}

/// Runs case files, so many worlds at once; the results are in the files' order.
fn run_files(files: &[(String, String)], filter: &str, worlds: usize) -> Vec<Result<Found, String>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..worlds {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((file, text)) = files.get(at) else { break };
                    let found = run_file(file, text, filter);
                    results.lock().expect("no thread panics here").insert(at, found);
                }
            });
        }
    });
    results.into_inner().expect("the threads have ended").into_values().collect()
}

/// The cases' endings by full name, and what those that agree show.
type Found = (Endings, Vec<Transcript>);

fn run_file(file: &str, text: &str, filter: &str) -> Result<Found, String> {
    let parsed = CaseFile::parse(text)?;
    let full = |case: &str| format!("{file}/{case}");
    if !parsed.cases.iter().any(|case| full(&case.name).contains(filter)) {
        return Ok(Found::default());
    }
    // The oracle first: trouble with it is trouble with the case.
    let postfix = play::outside("postfix", text)?;
    let posthaste = play::outside_with_witness(text);
    let (mut endings, mut shown) = Found::default();
    for case in parsed.cases.iter().filter(|case| full(&case.name).contains(filter)) {
        let theirs =
            find(&postfix, &case.name).ok_or_else(|| format!("Postfix did not get to case {}", case.name))?;
        if let Some((_, why)) = theirs.lines.iter().find(|(part, _)| part == "failure") {
            return Err(format!("case {}: on Postfix: {why}", case.name));
        }
        let ending = match &posthaste {
            Err(why) => Ending::Differs(why.lines().map(|line| format!("  + {line}")).collect()),
            Ok(all) => match find(all, &case.name) {
                None => Ending::Differs(find(all, "*").map_or_else(Vec::new, |end| {
                    end.lines.iter().map(|(_, l)| format!("  + {l}")).collect()
                })),
                Some(ours) => {
                    let mut lines =
                        difference(&comparable(case, theirs, true)?, &comparable(case, ours, false)?);
                    lines.extend(
                        ours.lines
                            .iter()
                            .filter(|(part, _)| part == "failure")
                            .map(|(_, why)| format!("  ! {why}")),
                    );
                    if lines.is_empty() {
                        shown.push(Transcript { case: full(&case.name), ..ours.clone() });
                        Ending::Agrees
                    } else {
                        Ending::Differs(lines)
                    }
                }
            },
        };
        endings.insert(full(&case.name), ending);
    }
    Ok((endings, shown))
}

fn find<'a>(transcripts: &'a [Transcript], case: &str) -> Option<&'a Transcript> {
    transcripts.iter().find(|transcript| transcript.case == case)
}
