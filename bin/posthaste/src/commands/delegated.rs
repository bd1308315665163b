//! Postfix's commands whose work is done elsewhere: by `submit` and `control`.

use super::Call;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// sendmail, mailq, newaliases, postdrop, postqueue. A directory given in front of the command goes in front of its
/// options, where its own wins.
pub fn submit(call: Call) -> ExitCode {
    let mut arguments = Vec::new();
    if let Some(directory) = &call.config_directory {
        let option = if matches!(call.name, "sendmail" | "mailq" | "newaliases") { "-C" } else { "-c" };
        arguments.extend([option.to_owned(), directory.to_string_lossy().into_owned()]);
    }
    arguments.extend(call.arguments);
    run_submit(call.name, &arguments)
}

/// Runs one of submit's commands on our standard streams.
pub fn run_submit(command: &str, arguments: &[String]) -> ExitCode {
    let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
    exit(submit::run(command, &arguments, &mut std::io::stdin().lock(), &mut std::io::stdout().lock()))
}

/// postcat.
pub fn postcat(call: Call) -> ExitCode {
    let directory = call.config_directory.as_deref().unwrap_or(Path::new("/etc/postfix"));
    exit(control::postcat::run(&call.arguments, directory, &mut std::io::stdout().lock()))
}

/// A status of sysexits.h, or 0 or 1.
fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
