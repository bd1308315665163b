//! The ring for command lines: each case on Debian's programs and on ours, output, status and files compared.
//!
//! `cargo test -p compat --test tools -- [--verbose] [FILTER]` runs the cases whose name (`tools/FILE/CASE`) contains
//! the filter; `--write-missing` writes the ring's part of missing.txt anew from a whole run. All cases of a program
//! run in one world, each in a directory of its own that has the same name in both.
//!
//! Beside the files there are generated cases, `tools/generated/SEED`, a fixed number; `--seeds FROM..TO` takes others.
//! A case that differs shows its files; its seed is its name.
//!
//! A file `tools/FILE.txt` holds cases:
//!
//! ```text
//! # A comment; blank lines count for nothing.
//! case: edit-keeps-comments          begins a case; its name has no blanks
//! file: main.cf 600                  a file of the case's directory (mode: octal, else 644), then its content:
//! | myhostname = mail.example.com    this text (behind `| `) and a line end
//! |                                  an empty line
//! \ a = b\r\n\x00                    this text (behind `\ `) without a line end of its own: \n \r \t \0 \\ \xHH
//! files of: NAME                     the files, directories and links of a case above
//! dir: tables 755                    an empty directory; parents of files need none
//! link: old.cf main.cf               a symbolic link
//! ignore: *.db *.lmdb                files that are not compared, by name below the directory
//! sorted                             order and repetition of lines on standard error count for nothing (Postfix's
//!                                    follow a hash, and what is wrong is told whenever it is read)
//! $ MAIL_CONFIG=DIR postconf -n      a command line: shell quotes '…' "…" $'…\n' and \; NAME=value before the program
//! <<                                 its standard input, as content lines
//! | a b
//! stderr: ours (REASON)              of the command above, our text counts and is compared with these content lines;
//! | postconf: warning: …             likewise `stdout: ours (…)` and `status: ours (…)` (`exit status: 1`)
//! ```
//!
//! main.cf and master.cf are an hour old when a command begins: Postfix reads a newer one again and again.
//!
//! `DIR` stands for the case's directory in files, command lines and input, and in what is compared. The commands run
//! there one after the other; compared are each one's status, standard output and standard error, and at the end the
//! names, modes, owners and bytes of all files.

use compat::cases::texts_in;
use compat::missing::{self, Ending, Endings, TOOLS};
use compat::ring;
use compat::tools::{case, compare, generate, play};
use std::ops::Range;
use std::process::ExitCode;

/// The seeds of a usual run.
const SEEDS: Range<u64> = 1..301;

/// What is to be run.
struct Wanted {
    filter: String,
    seeds: Range<u64>,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|word| word == option);
    let (inside, verbose, write) = (has("--inside"), has("--verbose"), has("--write-missing"));
    let seeds = match arguments.iter().position(|word| word == "--seeds") {
        None => SEEDS,
        Some(at) => {
            let given = arguments.drain(at..(at + 2).min(arguments.len())).next_back().unwrap_or_default();
            let Some(seeds) =
                given.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?))
            else {
                eprintln!("tools: --seeds: expected FROM..TO, found `{given}`");
                return ExitCode::FAILURE;
            };
            seeds
        }
    };
    arguments.retain(|word| !word.starts_with('-'));
    let filter = arguments.get(usize::from(inside)).cloned().unwrap_or_default();
    let wanted = Wanted { filter, seeds };
    let result = if inside {
        cases(&wanted).and_then(|cases| play::inside(&cases)).map(|()| ExitCode::SUCCESS)
    } else {
        ring(&wanted, verbose, write)
    };
    result.unwrap_or_else(|why| {
        eprintln!("tools: {why}");
        ExitCode::FAILURE
    })
}

/// The cases whose name contains the filter, with their whole names, sorted.
fn cases(wanted: &Wanted) -> Result<Vec<(String, case::Case)>, String> {
    let mut all = Vec::new();
    for (file, text) in texts_in("tools", "txt")? {
        let parsed = case::parse(&text).map_err(|why| format!("tools/{file}.txt: {why}"))?;
        all.extend(parsed.into_iter().map(|case| (format!("{TOOLS}{file}/{}", case.name), case)));
    }
    all.extend(wanted.seeds.clone().map(|seed| (format!("{TOOLS}generated/{seed}"), generate::case(seed))));
    all.retain(|(name, _)| name.contains(&wanted.filter));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn ring(wanted: &Wanted, verbose: bool, write: bool) -> Result<ExitCode, String> {
    ring::ready()?;
    let cases = cases(wanted)?;
    let seeds = format!("{}..{}", wanted.seeds.start, wanted.seeds.end);
    let run = |program| play::outside(program, &[&wanted.filter, "--seeds", &seeds]);
    let (postfix, posthaste) = std::thread::scope(|scope| {
        let postfix = scope.spawn(|| run("postfix"));
        (postfix.join(), run("posthaste"))
    });
    let postfix = postfix.map_err(|_| "the thread of Postfix's world panicked")??;
    let posthaste = posthaste?;
    let mut endings = Endings::new();
    for (name, case) in &cases {
        let theirs = postfix.get(name).ok_or_else(|| format!("{name}: Postfix's world left it out"))?;
        let ending = match posthaste.get(name) {
            Some(ours) => compare(case, theirs, ours),
            None => Ending::Differs(vec!["  ! our world left it out".into()]),
        };
        endings.insert(name.clone(), ending);
    }
    let whole = wanted.filter.is_empty() && wanted.seeds == SEEDS;
    if write && whole {
        return missing::write(&endings, true);
    }
    missing::judge(&endings, true, whole, verbose)
}
