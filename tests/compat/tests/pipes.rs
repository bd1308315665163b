//! What pipe(8) can do is compared with Postfix's: each letter of its flags, each macro and each exit status has a case.

use compat::cases;

/// The names of the cases of the pipe files.
fn cases() -> Vec<String> {
    let files = ["pipe-flags", "pipe-macros", "pipe-status"];
    let parsed = files.map(|file| cases::parse(file).expect("the ring reads it, too"));
    parsed.into_iter().flat_map(|file| file.cases).map(|case| case.name).collect()
}

#[test]
fn each_flag_macro_and_exit_status_has_a_case() {
    let cases = cases();
    let flags = config::PIPE_FLAGS.chars().map(|letter| match letter {
        '.' => "flag-dot".to_owned(),
        '>' => "flag-gt".to_owned(),
        letter => format!("flag-{letter}"),
    });
    let macros = config::MACROS_OF_MESSAGE.iter().chain(&config::MACROS_OF_RECIPIENT);
    let macros = macros.map(|name| format!("macro-{name}"));
    // Success, those of sysexits.h, one above and one below them; and the end by a signal.
    let statuses = [0, 63, 79].into_iter().chain(64..=78).map(|status| format!("status-{status}"));
    let expected: Vec<String> =
        flags.chain(macros).chain(statuses).chain(["signal-KILL".to_owned()]).collect();
    assert!(expected.len() > 40, "only {} are expected", expected.len());
    let missing: Vec<&String> = expected.iter().filter(|name| !cases.contains(name)).collect();
    assert!(missing.is_empty(), "no case has the name {missing:?}");
}
