//! Seeds of the simulator, and the proof that it finds what it should.

use powercut::{Plan, run};
use queue::faults::Fault;

/// Seeds that failed once.
const FIXED: [u64; 12] = [29, 60, 66, 96, 102, 114, 348, 351, 945, 1304, 2056, 2303];

/// How many seeds a run of the tests takes; `SIM_SEEDS` asks for more.
const SEEDS: u64 = 2000;

#[test]
fn each_acknowledged_recipient_has_one_fate_whatever_crashes() {
    let count = std::env::var("SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    let seeds = FIXED.into_iter().chain(0..count);
    let failures: Vec<_> = seeds.filter_map(|seed| run(seed, Plan::default()).err()).take(5).collect();
    assert!(failures.is_empty(), "{}", failures.iter().map(|f| format!("\n{f}")).collect::<String>());
}

fn is_found(fault: Fault) {
    let plan = Plan { fault: Some(fault), verbose: false };
    let found = (0..1000).find_map(|seed| run(seed, plan).err());
    assert!(found.is_some(), "{fault:?} is not found within 1,000 seeds");
}

#[test]
fn a_missing_sync_is_found() {
    is_found(Fault::NoSync);
}

#[test]
fn an_answer_before_the_sync_is_found() {
    is_found(Fault::AckBeforeSync);
}

#[test]
fn a_segment_freed_early_is_found() {
    is_found(Fault::SegmentFreedEarly);
}

#[test]
fn a_lost_outcome_is_found() {
    is_found(Fault::OutcomeLost);
}

#[test]
fn a_torn_record_that_is_believed_is_found() {
    is_found(Fault::TornRecordAccepted);
}

#[test]
fn a_name_before_the_sync_is_found() {
    is_found(Fault::RenameBeforeSync);
}
