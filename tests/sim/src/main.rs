//! `sim SEED` replays a run with its steps; `sim FIRST COUNT` runs many.

use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (first, count) = match numbers[..] {
        [seed] => (seed, 1),
        [first, count] => (first, count),
        _ => {
            eprintln!("usage: sim SEED | sim FIRST COUNT");
            return ExitCode::from(2);
        }
    };
    let (mut accepted, mut crashes, mut failed) = (0u64, 0u64, 0u64);
    for seed in first..first + count {
        let finding = sim::run::run(seed);
        accepted += u64::from(finding.accepted);
        crashes += u64::from(finding.crashes);
        if count == 1 {
            for line in &finding.log {
                println!("{line}");
            }
        }
        if !finding.failures.is_empty() {
            failed += 1;
            println!("sim {seed}: {}", finding.failures.join("; "));
        }
    }
    println!("{count} seeds, {accepted} messages accepted, {crashes} crashes, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
