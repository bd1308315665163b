//! sendmail, mailq, newaliases, postdrop and postqueue, by the name it is called by.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let own = words.next().unwrap_or_default();
    let name = own.rsplit('/').next().unwrap_or_default();
    // Under another name the first argument is the command.
    let command =
        if submit::COMMANDS.contains(&name) { name.to_string() } else { words.next().unwrap_or_default() };
    let arguments: Vec<_> = words.collect();
    let code = submit::run(&command, &arguments, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
