//! The queue manager: a pure scheduler and its driver.

pub mod scheduler;
