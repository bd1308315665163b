//! What is fuzzed, one file each.

mod address_header;
mod alias_list;
mod cidr_table;
mod cleanup_header;
mod haproxy;
mod index_files;
mod journal;
mod main_cf;
mod master_cf;
mod mime;
mod pcre_table;
mod policy_answer;
mod queue_file;
mod regexp_table;
mod smtp_command;
mod smtp_server;
mod smtp_smuggling;

use crate::Target;

/// All targets, sorted by name.
pub const KINDS: &[Target] = &[
    address_header::TARGET,
    alias_list::TARGET,
    cidr_table::TARGET,
    cleanup_header::TARGET,
    haproxy::TARGET,
    index_files::TARGET,
    journal::TARGET,
    main_cf::TARGET,
    master_cf::TARGET,
    mime::TARGET,
    pcre_table::TARGET,
    policy_answer::TARGET,
    queue_file::TARGET,
    regexp_table::TARGET,
    smtp_command::TARGET,
    smtp_server::TARGET,
    smtp_smuggling::TARGET,
];
