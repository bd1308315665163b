//! The simulator is worth something only if it finds faults: each planted one is found within 1,000 seeds.

use queue::faults::Fault;
use sim::{Plan, run};

fn is_found(fault: Fault) {
    let plan = Plan { fault: Some(fault), verbose: false };
    // A planted fault may end in a panic of ours, which counts as found.
    let passes = |seed| matches!(std::panic::catch_unwind(|| run(seed, plan)), Ok(Ok(_)));
    let found = (0..1000).find(|&seed| !passes(seed));
    assert!(found.is_some(), "{fault:?} is not found within 1,000 seeds");
    println!("{fault:?}: seed {found:?}");
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
