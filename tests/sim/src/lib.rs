//! The simulator: the real queue on a disk that loses what was not synced, with a seed that replays any failure.

pub mod disk;
pub mod rng;
pub mod run;
pub mod world;

pub use disk::SimDisk;
pub use rng::Rng;
pub use world::World;
