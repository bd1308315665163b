//! Runs seeds: the one function that tests, the command and a failing seed share.

use crate::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Random steps of a run before it drains.
const STEPS: usize = 120;

/// What a seed showed.
pub struct Finding {
    /// The seed.
    pub seed: u64,
    /// What went wrong; empty where nothing did.
    pub failures: Vec<String>,
    /// The steps.
    pub log: Vec<String>,
    /// Messages acknowledged.
    pub accepted: u32,
    /// Power cuts and kills.
    pub crashes: u32,
}

/// Runs one seed to its end.
pub fn run(seed: u64) -> Finding {
    let mut world = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(seed));
        world.run(STEPS);
    }));
    let mut finding = Finding { seed, failures: Vec::new(), log: Vec::new(), accepted: 0, crashes: 0 };
    if let Some(world) = &world {
        finding.failures.clone_from(&world.failures);
        finding.log = world.log().to_vec();
        finding.accepted = world.accepted;
        finding.crashes = world.crashes;
    }
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        finding.failures.push(format!("panic: {}", text.unwrap_or_default()));
    }
    finding
}
