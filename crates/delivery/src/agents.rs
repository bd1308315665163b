//! The agents, one file or directory for each kind.

pub mod discard;
pub mod error;
pub mod local;
pub mod marked;
pub mod pipe;
pub mod smtp;
#[cfg(test)]
pub(crate) mod testjob;
pub mod virtual_;
