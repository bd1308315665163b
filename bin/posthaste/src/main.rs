//! One executable: the mail system's processes and the administrator's commands, by argv[0] or subcommand.

mod commands;
mod roles;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    if words.is_empty() {
        words.push(master::PROGRAM.into());
    }
    // The name that ps and top show, also for what was started by /proc/self/exe; nothing depends on it.
    let _ = rustix::thread::set_name(c"posthaste");
    match words.get(1).map(String::as_str) {
        // Master starts its processes in this way; it is no command.
        Some("role") => return roles::main(&words[2..]),
        Some("master") => return commands::instance::master_main(&words[2..]),
        _ => {}
    }
    commands::main(&words)
}
