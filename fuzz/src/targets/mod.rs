//! What is fuzzed, one file each.

mod cleanup_header;
mod journal;
mod queue_file;
mod smtp_command;
mod smtp_server;
mod smtp_smuggling;

use crate::Target;

/// All targets, sorted by name.
pub const KINDS: &[Target] = &[
    cleanup_header::TARGET,
    journal::TARGET,
    queue_file::TARGET,
    smtp_command::TARGET,
    smtp_server::TARGET,
    smtp_smuggling::TARGET,
];
