//! The real queue on a disk that forgets: random mail, crashes, recoveries, and what must hold through all of it.
//!
//! Each acknowledged recipient has a fate: delivered, queued or bounced. Nothing is delivered again whose outcome was
//! synced. No message appears that is not whole. A seed replays everything: `cargo run -p powercut -- SEED`.

pub mod disk;
mod known;
pub mod rng;
pub mod world;

pub use known::{Failure, Plan};
pub use world::run;
