//! What the commands say on standard error.
//!
//! Users write much of it themselves: control characters, which a terminal may obey, become `?`. And standard error may
//! be closed or full; that is no reason to lose mail.

use std::io::Write as _;

/// Says one line as `program: text`.
pub fn tell(program: &str, text: &str) {
    let line = format!("{program}: {}\n", printable(text.as_bytes()));
    // Nobody is there to be told that nobody can be told.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Says `program: warning: text`.
pub fn warn(program: &str, text: &str) {
    tell(program, &format!("warning: {text}"));
}

/// The text without control characters and without what is no UTF-8.
pub fn printable(bytes: &[u8]) -> String {
    observe::Escaped(bytes).to_string()
}
