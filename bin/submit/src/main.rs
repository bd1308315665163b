//! sendmail, mailq, newaliases, postdrop and postqueue, by the name it is called by.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let own = words.next().unwrap_or_default().to_string_lossy().into_owned();
    let name = own.rsplit('/').next().unwrap_or_default();
    // Under another name the first argument is the command.
    let command = match submit::COMMANDS.contains(&name) {
        true => name.to_string(),
        false => words.next().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let arguments: Vec<_> = words.collect();
    let code = submit::run(&command, &arguments, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
