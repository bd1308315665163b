//! The simulator: the real queue and the real queue manager on a disk that loses what was not synced, with a seed that
//! replays any failure.
//!
//! [`world`] decides what happens, [`ledger`] knows what the world outside was told and checks what must hold, [`spool`]
//! stands between the queue manager and its queue and tells the ledger.

mod agents;
mod disk;
mod ledger;
mod rng;
mod spool;
mod world;

pub use world::{Failure, Plan, Stats, run};
