//! What the end of an external command means for the recipient: its exit status, a code that it prints, its output.

use super::failure::{Failure, Note};
use mail::Dsn;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Killed by us, since its time was over.
    TimeLimit,
    /// Asked by us to end, since the mail system stops.
    Stopped,
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How.
    pub end: End,
    /// The beginning of what it printed.
    pub output: Vec<u8>,
    /// Lines for the administrator.
    pub notes: Vec<Note>,
}

/// sysexits.h: status, code, words.
const SYSEXITS: &[(i32, Dsn, &str)] = &[
    (64, Dsn::new(5, 3, 0), "command line usage error"),
    (65, Dsn::new(5, 6, 0), "data format error"),
    (66, Dsn::new(5, 3, 0), "cannot open input"),
    (67, Dsn::new(5, 1, 1), "user unknown"),
    (68, Dsn::new(5, 1, 2), "host name unknown"),
    (69, Dsn::new(5, 3, 0), "service unavailable"),
    (70, Dsn::new(5, 3, 0), "internal software error"),
    (71, Dsn::new(4, 3, 0), "system resource problem"),
    (72, Dsn::new(5, 3, 0), "critical OS file missing"),
    (73, Dsn::new(5, 2, 0), "can't create user output file"),
    (74, Dsn::new(5, 3, 0), "input/output error"),
    (75, Dsn::new(4, 3, 0), "temporary failure"),
    (76, Dsn::new(5, 5, 0), "remote error in protocol"),
    (77, Dsn::new(5, 7, 0), "permission denied"),
    (78, Dsn::new(5, 3, 5), "local configuration error"),
];

/// As what a command counts in reports that did not end in time.
const SOFTWARE: i32 = 70;

impl Ran {
    /// What it printed as one line: blanks for line ends and tabs, `_` for what is not printable.
    pub fn output_text(&self) -> String {
        let text = String::from_utf8_lossy(&self.output);
        let shown = |c: char| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() || c == char::REPLACEMENT_CHARACTER => '_',
            c => c,
        };
        text.chars().map(shown).collect()
    }

    /// Delivered, or why not. `command` is how the command is called in reasons.
    pub fn judge(&self, command: &str) -> Result<(), Failure> {
        let output = self.output_text();
        let mut failure = match self.end {
            End::Exited(0) => return Ok(()),
            End::TimeLimit => {
                let text = format!("Command time limit exceeded: \"{command}\"");
                Failure::new(Dsn::new(5, 3, 0), appended(text, &output))
            }
            End::Stopped => {
                let text = format!("Command was ended with the mail system: \"{command}\"");
                Failure::new(Dsn::new(4, 3, 0), appended(text, &output))
            }
            End::Killed(signal) => {
                let text = format!("Command died with signal {signal}: \"{command}\"");
                Failure::new(Dsn::new(4, 3, 0), appended(text, &output))
            }
            End::Exited(status) => exited(status, command, &output),
        };
        let diagnostic = match self.end {
            // A printed code says for itself what is wrong; where it says nothing, nobody does.
            End::Exited(_) if Dsn::parse_prefix(&output).is_some() => failure.reason.clone(),
            _ if !output.is_empty() => output,
            End::Exited(status) => {
                known(status).map_or(format!("unknown mail system error {status}"), |k| k.2.into())
            }
            End::TimeLimit => known(SOFTWARE).map_or_else(String::new, |k| k.2.into()),
            End::Killed(_) | End::Stopped => failure.reason.clone(),
        };
        failure.diagnostic = Some(diagnostic).filter(|text| !text.is_empty());
        failure.notes.splice(0..0, self.notes.iter().cloned());
        Err(failure)
    }
}

fn known(status: i32) -> Option<&'static (i32, Dsn, &'static str)> {
    SYSEXITS.iter().find(|(known, ..)| *known == status)
}

fn exited(status: i32, command: &str, output: &str) -> Failure {
    if let Some((dsn, text)) = Dsn::parse_prefix(output) {
        let mut failure = Failure::new(dsn, text);
        if dsn.class == 2 {
            // It failed all the same.
            failure.dsn = Dsn::new(5, 0, 0);
            failure.notes.push(Note::Warning(format!("bounce_append: ignoring dsn code \"{dsn}\"")));
        }
        return failure;
    }
    match known(status) {
        Some((_, dsn, text)) => Failure::new(*dsn, appended((*text).to_owned(), output)),
        None => {
            let text = format!("Command died with status {status}: \"{command}\"");
            Failure::new(Dsn::new(5, 3, 0), appended(text, output))
        }
    }
}

fn appended(text: String, output: &str) -> String {
    if output.is_empty() { text } else { format!("{text}. Command output: {output}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(end: End, output: &str) -> Failure {
        Ran { end, output: output.into(), notes: Vec::new() }.judge("cmd x").unwrap_err()
    }

    #[test]
    fn each_status_of_sysexits_has_its_code_and_others_are_named() {
        assert!(Ran { end: End::Exited(0), output: b"5.1.1 no".to_vec(), notes: vec![] }.judge("x").is_ok());
        assert_eq!(
            SYSEXITS.iter().map(|(status, ..)| *status).collect::<Vec<_>>(),
            (64..=78).collect::<Vec<_>>()
        );
        for (status, dsn, text) in SYSEXITS {
            let failure = judged(End::Exited(*status), "");
            assert_eq!((failure.dsn, failure.reason.as_str()), (*dsn, *text));
            assert_eq!(failure.diagnostic.as_deref(), Some(*text));
        }
        let failure = judged(End::Exited(3), "");
        assert_eq!(failure.reason, "Command died with status 3: \"cmd x\"");
        assert_eq!(failure.dsn, Dsn::new(5, 3, 0));
        assert_eq!(failure.diagnostic.as_deref(), Some("unknown mail system error 3"));
        let failure = judged(End::Killed(9), "4.7.9 go");
        assert_eq!(failure.reason, "Command died with signal 9: \"cmd x\". Command output: 4.7.9 go");
        assert_eq!(failure.dsn, Dsn::new(4, 3, 0));
        assert_eq!(judged(End::TimeLimit, "").reason, "Command time limit exceeded: \"cmd x\"");
    }

    #[test]
    fn a_printed_code_wins_over_the_status() {
        let failure = judged(End::Exited(69), "5.7.9   go\n  away\n");
        assert_eq!((failure.dsn, failure.reason.as_str()), (Dsn::new(5, 7, 9), "go   away "));
        assert_eq!(failure.diagnostic.as_deref(), Some("go   away "));
        let failure = judged(End::Exited(77), "4.7.9\n");
        assert_eq!((failure.dsn, failure.diagnostic), (Dsn::new(4, 7, 9), None));
        let failure = judged(End::Exited(1), "2.0.0 fine");
        assert_eq!((failure.dsn, failure.notes.len()), (Dsn::new(5, 0, 0), 1));
        for none in [" 5.7.9 go", "5.7.9go", "4.1000.9 go", "3.1.9 go"] {
            let failure = judged(End::Exited(69), none);
            assert_eq!(failure.reason, format!("service unavailable. Command output: {none}"));
        }
    }

    #[test]
    fn what_is_printed_becomes_one_line_that_can_be_read() {
        let ran =
            Ran { end: End::Exited(1), output: b"a\tb\x01c\r\nd\xc3\xa4e\xfff".to_vec(), notes: vec![] };
        assert_eq!(ran.output_text(), "a b_c_ dä\u{65}_f");
    }
}
