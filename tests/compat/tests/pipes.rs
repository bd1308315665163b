//! What pipe(8) can do is compared with Postfix's: each letter of its flags, each macro and each exit status has a case.

use std::path::Path;
use testkit::case::CaseFile;

/// The names of the cases of the pipe files.
fn cases() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut names = Vec::new();
    for file in ["pipe-flags", "pipe-macros", "pipe-status"] {
        let path = directory.join(format!("{file}.case"));
        let text = std::fs::read_to_string(&path).expect("cases are text");
        let file = CaseFile::parse(&text).expect("cases can be read");
        names.extend(file.cases.into_iter().map(|case| case.name));
    }
    names
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
