//! `sim SEED` replays a run; `sim --count N [--from SEED] [--fault NAME]` runs many.

use queue::faults::ALL;
use sim::{Plan, Stats, run};
use std::process::ExitCode;

const USAGE: &str = "usage: sim SEED | sim --count N [--from SEED] [--fault NAME]";

fn main() -> ExitCode {
    let mut plan = Plan::default();
    let (mut from, mut count) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse::<u64>().ok());
        let read = match argument.as_str() {
            "--count" => {
                count = number();
                count.is_some()
            }
            "--from" => {
                from = number();
                from.is_some()
            }
            "--fault" => {
                let name = arguments.next().unwrap_or_default();
                plan.fault = ALL.into_iter().find(|fault| format!("{fault:?}") == name);
                plan.fault.is_some()
            }
            seed => {
                from = seed.parse().ok();
                from.is_some()
            }
        };
        if !read {
            eprintln!("sim: cannot use `{argument}` as it stands there; faults are {ALL:?}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    if from.is_none() && count.is_none() {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    plan.verbose = count.is_none();
    let (from, count) = (from.unwrap_or(0), count.unwrap_or(1));
    let (mut total, mut failures) = (Stats::default(), 0u64);
    for seed in from..from + count {
        match run(seed, plan) {
            Ok(stats) => {
                total.accepted += stats.accepted;
                total.crashes += stats.crashes;
            }
            Err(failure) => {
                println!("{failure}");
                failures += 1;
            }
        }
    }
    let Stats { accepted, crashes } = total;
    println!("{count} seeds, {accepted} messages accepted, {crashes} crashes, {failures} failed");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
