//! System calls that need unsafe code: one call, one safe function.
//!
//! The only crate with unsafe code. Where rustix or std have a safe function, callers use that one.

mod time;

pub use time::{LocalTime, Zone, local_time};
