//! The simulator is worth something only if it finds faults: each planted one is found within 1,000 seeds.

use queue::faults::{ALL, plant};

#[test]
#[ignore = "takes minutes; tests/powercut finds each of them in seconds"]
fn each_planted_fault_is_found_within_1000_seeds() {
    let mut missed = Vec::new();
    // A planted fault may end in a panic of ours; that counts as found and need not fill the output.
    std::panic::set_hook(Box::new(|_| ()));
    for fault in ALL {
        plant(Some(fault));
        let found = (1..=1_000).map(sim::run::run).find(|finding| !finding.failures.is_empty());
        plant(None);
        match found {
            Some(finding) => println!("{fault:?}: seed {}: {}", finding.seed, finding.failures[0]),
            None => missed.push(fault),
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
