//! postconf -a, -A, -l, -m and -T: names of what is built in, one a line.

use super::options::Options;
use super::{Output, Program, model};

/// SASL servers; Postfix's `cyrus` is a library that is not used here.
const SASL_SERVERS: [&str; 1] = ["dovecot"];
/// SASL clients, by the name that `smtp_sasl_type` has by default.
const SASL_CLIENTS: [&str; 1] = ["cyrus"];
/// Ways to lock a mailbox file.
const LOCKS: [&str; 3] = ["flock", "fcntl", "dotlock"];
/// Kinds of keys that certificates may have.
const KEYS: [&str; 2] = ["ecdsa", "rsa"];

/// Prints the list that the letter names.
pub(super) fn run(
    options: &Options,
    letter: char,
    program: &Program<'_>,
    output: &mut Output,
) -> Result<(), String> {
    model::check_main(options, output)?;
    let list: &[&str] = match letter {
        'a' => &SASL_SERVERS,
        'A' => &SASL_CLIENTS,
        'l' => &LOCKS,
        'm' => program.table_types,
        _ => return tls(options, program, output),
    };
    list.iter().for_each(|name| output.print(&format!("{name}\n")));
    Ok(())
}

fn tls(options: &Options, program: &Program<'_>, output: &mut Output) -> Result<(), String> {
    match options.topic.as_str() {
        "compile-version" | "run-version" if program.tls_library.is_empty() => {
            output.warn("TLS is not built yet");
            output.status = 1;
        }
        "compile-version" | "run-version" => output.print(&format!("{}\n", program.tls_library)),
        "public-key-algorithms" => KEYS.iter().for_each(|name| output.print(&format!("{name}\n"))),
        mode => {
            output.warn(&format!("unknown 'postconf -T' mode: {mode}"));
            output.status = 1;
        }
    }
    Ok(())
}
