//! `posthaste postconf`: `config::postconf` on the command line.

use super::Call;
use config::postconf::Program;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Postfix's own default of config_directory.
const DEFAULT_DIRECTORY: &str = "/etc/postfix";

/// Runs postconf and prints what it says.
pub fn run(call: Call) -> ExitCode {
    let mut arguments = call.arguments;
    if let Some(directory) = call.config_directory {
        // In front of the others, so that a -c among them goes before it.
        arguments.splice(0..0, ["-c".to_owned(), directory.to_string_lossy().into_owned()]);
    }
    let templates = bounce::built_in();
    let types: Vec<&str> = tables::kinds::KINDS.iter().map(|kind| kind.name).collect();
    let program = Program { table_types: &types, templates: &templates, tls_library: "" };
    let output = config::postconf::run(Path::new(DEFAULT_DIRECTORY), &program, &arguments);
    // A closed pipe (`postconf | head`) is no error.
    let _ = std::io::stdout().write_all(&output.out);
    let _ = std::io::stderr().write_all(&output.err);
    ExitCode::from(output.status)
}
