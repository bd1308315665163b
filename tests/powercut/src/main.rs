//! `powercut SEED` replays a run; `powercut --count N [--from SEED] [--fault NAME]` runs many.

use powercut::{Plan, run};
use queue::faults::ALL;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut plan = Plan::default();
    let (mut from, mut count) = (0u64, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse::<u64>().ok());
        match argument.as_str() {
            "--count" => count = number(),
            "--from" => from = number().unwrap_or(0),
            "--fault" => {
                let name = arguments.next().unwrap_or_default();
                plan.fault = ALL.into_iter().find(|fault| format!("{fault:?}") == name);
                if plan.fault.is_none() {
                    eprintln!("--fault: expected one of {ALL:?}, found `{name}`");
                    return ExitCode::FAILURE;
                }
            }
            seed => match seed.parse() {
                Ok(seed) => from = seed,
                Err(_) => {
                    eprintln!("usage: powercut SEED | powercut --count N [--from SEED] [--fault NAME]");
                    return ExitCode::FAILURE;
                }
            },
        }
    }
    plan.verbose = count.is_none();
    let mut failures = 0;
    for seed in from..from + count.unwrap_or(1) {
        if let Err(failure) = run(seed, plan) {
            println!("{failure}");
            failures += 1;
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
