//! The commands: one table for dispatch and help.

mod counters;
mod delegated;
mod dry_run;
mod explain;
mod explain_address;
mod explain_last;
mod install;
pub mod instance;
mod migrate;
mod postconf;
mod postmap;
mod quickstart;
mod rollback;
mod spool;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command is called with.
pub struct Call {
    /// The name it was called by.
    pub name: &'static str,
    /// `-c DIR` in front of the subcommand, or MAIL_CONFIG.
    pub config_directory: Option<PathBuf>,
    /// What stands behind its name.
    pub arguments: Vec<String>,
}

/// Whom to ask what is known of addresses; nobody is probed for the sake of an explanation.
fn verifier(config: &config::Config) -> Result<verify::Client, String> {
    let directory = config.scope(None).expanded("queue_directory").map_err(|e| e.to_string())?;
    Ok(verify::Client::new(PathBuf::from(directory).join(verify::SOCKET), verify::Asking::Looking))
}

struct Command {
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    run: Run,
}

enum Run {
    /// Here.
    Ours(fn(Call) -> ExitCode),
    /// Postfix has it, we do not yet.
    Missing,
}

/// Every command, ours first.
const COMMANDS: &[Command] = &[
    ours("start", "[-c DIR]", "start the mail system", instance::start),
    ours("start-fg", "[-c DIR]", "start it and stay in the foreground", instance::start_fg),
    ours("stop", "[-c DIR]", "stop it: sessions and deliveries get up to 5 s", instance::stop),
    ours("reload", "[-c DIR]", "check the configuration, then take it", instance::reload),
    ours("rollback", "[-c DIR]", "go back to the last configuration that served", rollback::run),
    ours("status", "[-c DIR]", "whether it runs", instance::status),
    ours(
        "counters",
        "[-c DIR] [--json]",
        "what the running processes have counted, policy services each, and how busy they are",
        counters::run,
    ),
    ours("check", "[-c DIR]", "check configuration and directories, change nothing", instance::check),
    ours(
        "postfix",
        "[-c DIR] start|start-fg|stop|abort|flush|reload|check|status",
        "as Postfix's",
        instance::postfix,
    ),
    ours(
        "quickstart",
        "[--port NUMBER]",
        "run an instance in ./var and send one message through it",
        quickstart::run,
    ),
    ours(
        "postconf",
        "[-c DIR] [-dfhHnqx] [-o NAME=VALUE] [NAME…] | -e NAME=VALUE… | -X NAME… | -# NAME… | -M | -F | -P",
        "show or edit parameters, show services",
        postconf::run,
    ),
    ours(
        "explain",
        "smtp --client ADDRESS [--name NAME] [--helo NAME] [--from SENDER] [--to RECIPIENT]… [--sasl LOGIN] \
         [--tls VERSION[,CIPHER[,BITS]]] [--tls-fingerprint X] [--tls-key-fingerprint X] [--tls-subject NAME] \
         [--tls-issuer NAME] [--tls-sni NAME] [--json] | \
         last [--client ADDRESS|NAME] [--from ADDRESS|DOMAIN] [--to ADDRESS|DOMAIN] [--json] | \
         address ADDRESS [--sender SENDER] [--service NAME] [--json]",
        "what a client would be told, or was told last, what becomes of an address, and what decided it",
        explain::run,
    ),
    ours(
        "install",
        "[--root DIR]",
        "make users, programs with their modes, links and directories, over nothing that is not ours",
        install::install,
    ),
    ours("uninstall", "[--root DIR]", "take back what install made and nobody changed", install::uninstall),
    ours(
        "migrate",
        "--check [--json] [DIR] | --back [--run] [DIR]",
        "what a Postfix configuration is here; what Postfix needs to take it back",
        migrate::run,
    ),
    ours(
        "postmap",
        "[-bfFhijmnNoprsuUvw] [-c DIR] [-d KEY] [-q KEY] [TYPE:]FILE…",
        "build, ask, list and change lookup tables, as Postfix's",
        postmap::postmap,
    ),
    ours(
        "postalias",
        "[-Nfijnoprsuvw] [-c DIR] [-d KEY] [-q KEY] [TYPE:]FILE…",
        "the same for alias files",
        postmap::postalias,
    ),
    ours("mailq", "[-C DIR]", "list the queue, as postqueue -p", delegated::submit),
    ours("newaliases", "[-C DIR]", "rebuild the alias databases", delegated::submit),
    ours(
        "postcat",
        "[-c DIR] [-bdehq] FILE|ID…",
        "show a message in the queue, as Postfix's",
        delegated::postcat,
    ),
    ours("postdrop", "[-c DIR]", "put a message from standard input into maildrop/", delegated::submit),
    ours(
        "postqueue",
        "[-c DIR] -p|-j|-f|-i ID|-s SITE",
        "list and flush the queue, as Postfix's",
        delegated::submit,
    ),
    ours("sendmail", "[-C DIR] …", "send a message, as Postfix's", delegated::submit),
    ours("spool", "export [-c DIR]", "write what a crash left in the journal into queue files", spool::run),
    missing("postkick"),
    missing("postlock"),
    missing("postlog"),
    missing("postmulti"),
    missing("postsuper"),
];

const fn ours(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    run: fn(Call) -> ExitCode,
) -> Command {
    Command { name, usage, summary, run: Run::Ours(run) }
}

const fn missing(name: &'static str) -> Command {
    Command { name, usage: "", summary: "", run: Run::Missing }
}

/// Runs the command that the words name: by the program's own name, else by its first argument.
pub fn main(words: &[String]) -> ExitCode {
    let own_name = words[0].rsplit('/').next().unwrap_or_default();
    if let Some(command) = find(own_name) {
        return run(command, None, words[1..].to_vec());
    }
    let mut config_directory = None;
    let mut rest = words[1..].iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-c" => match rest.next() {
                Some(directory) => config_directory = Some(PathBuf::from(directory)),
                None => return wrong_usage("-c: expected a directory behind it"),
            },
            "--help" | "-h" | "help" => {
                return match rest.next().and_then(|name| find(name)) {
                    Some(command) => run(command, None, vec!["--help".into()]),
                    None => help(),
                };
            }
            "--version" | "-V" => {
                println!("{} {}", master::PROGRAM, master::VERSION);
                return ExitCode::SUCCESS;
            }
            name => {
                return match find(name) {
                    Some(command) => run(command, config_directory, rest.cloned().collect()),
                    None => wrong_usage(&format!("expected a command, found `{name}`")),
                };
            }
        }
    }
    wrong_usage("expected a command")
}

/// The commands that have Postfix's names, apart from those that any user may run.
fn postfix_names() -> impl Iterator<Item = &'static str> {
    let ours = COMMANDS.iter().filter(|command| matches!(command.run, Run::Ours(_)));
    ours.map(|command| command.name)
        .filter(|name| name.starts_with("post") && !submit::COMMANDS.contains(name))
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name == name)
}

fn run(command: &Command, config_directory: Option<PathBuf>, arguments: Vec<String>) -> ExitCode {
    let config_directory = config_directory.or_else(|| std::env::var_os("MAIL_CONFIG").map(PathBuf::from));
    match command.run {
        Run::Ours(_) if asks_for_help(command.name, &arguments) => {
            println!("usage: posthaste {} {}\n{}", command.name, command.usage, command.summary);
            ExitCode::SUCCESS
        }
        Run::Ours(run) => run(Call { name: command.name, config_directory, arguments }),
        Run::Missing => {
            eprintln!(
                "posthaste {}: this command of Postfix's is not available yet; docs/differences.md says what is",
                command.name
            );
            ExitCode::FAILURE
        }
    }
}

/// Whether `--help` is among the words; alone for commands where it may be an address or a file.
fn asks_for_help(name: &str, arguments: &[String]) -> bool {
    let takes_words =
        submit::COMMANDS.contains(&name) || matches!(name, "postcat" | "postconf" | "postmap" | "postalias");
    arguments.iter().any(|word| word == "--help") && (arguments.len() == 1 || !takes_words)
}

fn wrong_usage(text: &str) -> ExitCode {
    eprintln!("posthaste: {text}; `posthaste --help` lists the commands");
    ExitCode::FAILURE
}

fn help() -> ExitCode {
    let mut text = String::from("usage: posthaste [-c CONFIG_DIRECTORY] COMMAND …\n\n");
    for command in COMMANDS.iter().filter(|c| !matches!(c.run, Run::Missing)) {
        text.push_str(&format!("  {:<12} {}\n", command.name, command.summary));
    }
    text.push_str(
        "\nEach command also works under its own name through a link, and tells its options with --help.\n",
    );
    let missing: Vec<_> = COMMANDS.iter().filter(|c| matches!(c.run, Run::Missing)).map(|c| c.name).collect();
    if !missing.is_empty() {
        text.push_str(&format!("Not available yet: {}.\n", missing.join(", ")));
    }
    // A closed pipe (`posthaste --help | head`) is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_stands_twice_in_the_table() {
        for (i, command) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[i + 1..].iter().all(|c| c.name != command.name), "{}", command.name);
        }
    }
}
