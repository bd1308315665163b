//! Dialogues as state machines: input and time in, output and actions out; no I/O.

pub mod haproxy;
pub mod policy;
pub mod smtp;
