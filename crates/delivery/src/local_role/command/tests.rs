//! Commands that are run: what they read and print, how they end, what cannot be started.

use super::*;
use crate::local_role::failure::Note;

const ENVIRONMENT: &[(&str, &str)] = &[("PATH", PATH), ("USER", "ann"), ("SENDER", "a b@example.com")];

fn environment() -> Vec<(OsString, OsString)> {
    ENVIRONMENT.iter().map(|(n, v)| (n.into(), v.into())).collect()
}

fn run_what(what: What<'_>, pieces: &[&[u8]], limit: Duration) -> Ran {
    let environment = environment();
    let command = Command {
        what,
        run_as: RunAs { directory: Some("/".as_ref()), ..RunAs::default() },
        environment: &environment,
        time_limit: limit,
        halt: None,
        agent: "local",
    };
    let mut pieces = pieces.iter().map(|p| p.to_vec());
    run(&command, &mut || Ok(pieces.next())).unwrap()
}

fn line(text: &str) -> (End, String) {
    let ran = run_what(What::Line(text), &[b"one\n", b"two\n"], Duration::from_secs(60));
    (ran.end, String::from_utf8(ran.output).unwrap())
}

#[test]
fn a_command_reads_the_message_and_its_output_and_status_are_kept() {
    assert_eq!(line("cat; echo end >&2; exit 3"), (End::Exited(3), "one\ntwo\nend\n".into()));
    assert_eq!(line("/bin/cat -"), (End::Exited(0), "one\ntwo\n".into()));
    assert_eq!(line("kill -9 $$").0, End::Killed(9));
    assert_eq!(line("cd /usr; pwd").1, "/usr\n");
}

#[test]
fn only_what_a_shell_understands_goes_to_a_shell() {
    // $0 tells: `sh` has the name by which it was started.
    assert_eq!(line("/bin/echo a,b=c:d@e%f").1, "a,b=c:d@e%f\n");
    assert_eq!(plain_words("/bin/echo a").map(|w| w.len()), Some(2));
    assert_eq!(plain_words("A=/x env"), None);
    assert_eq!(plain_words("  "), None);
    assert_eq!(line("exit 7"), (End::Exited(7), String::new()));
    assert_eq!(line("exec false").0, End::Exited(1));
    let (end, output) = line("no-such-command-here");
    assert!(end == End::Exited(127) && output.contains("no-such-command-here"), "{end:?} {output}");
}

#[test]
fn the_environment_is_what_was_given_and_nothing_else() {
    let (_, output) = line("/usr/bin/env");
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["PATH=/usr/bin:/bin", "SENDER=a b@example.com", "USER=ann"]);
}

#[test]
fn arguments_are_not_looked_at_by_a_shell() {
    let words = ["printf", "%s|", "a b", "$USER", "*"].map(str::to_owned);
    let ran = run_what(What::Arguments(&words), &[], Duration::from_secs(60));
    assert_eq!(String::from_utf8(ran.output).unwrap(), "a b|$USER|*|");
    let words = ["/nonexistent".to_owned()];
    let ran = run_what(What::Arguments(&words), &[], Duration::from_secs(60));
    let expected = "pipe_command: execvp /nonexistent: No such file or directory";
    assert_eq!((ran.end, ran.notes), (End::Exited(75), vec![Note::Fatal(expected.into())]));
    assert_eq!(String::from_utf8(ran.output).unwrap(), format!("local: fatal: {expected}\n"));
}

#[test]
fn a_shell_of_the_administrator_gets_the_line_as_one_argument() {
    let ran = run_what(What::LineFor("/usr/bin/printf %s|", "a b; c"), &[], Duration::from_secs(60));
    assert_eq!(String::from_utf8(ran.output).unwrap(), "a b; c|");
}

#[test]
fn a_command_without_end_is_killed_with_its_children() {
    for (text, doing) in [
        ("sleep 600", "read: read"),
        ("sleep 600 & exit 0", "read: read"),
        ("exec >&- 2>&-; sleep 600", "wait_or_kill: wait"),
    ] {
        let ran = run_what(What::Line(text), &[], Duration::from_millis(300));
        assert_eq!(ran.end, End::TimeLimit, "{text}");
        assert_eq!(ran.notes, [Note::Warning(format!("pipe_command_{doing} time limit exceeded"))]);
    }
    let large = vec![b'x'; 1 << 20];
    let ran = run_what(What::Line("sleep 600"), &[&large], Duration::from_millis(300));
    assert_eq!(ran.notes, [Note::Warning("pipe_command_write: write time limit exceeded".into())]);
}

#[test]
fn large_input_and_output_do_not_block_each_other_and_output_is_cut() {
    let large = vec![b'x'; 1 << 20];
    let ran = run_what(What::Line("cat"), &[&large, &large], Duration::from_secs(60));
    assert_eq!((ran.end, ran.output.len()), (End::Exited(0), OUTPUT_MAX));
}

#[test]
fn a_command_may_leave_its_input_unread_or_close_its_output_early() {
    let large = vec![b'x'; 1 << 20];
    for text in ["exit 0", "exec <&-; sleep 0.1", "exec >&- 2>&-; cat >/dev/null"] {
        let ran = run_what(What::Line(text), &[&large], Duration::from_secs(60));
        assert_eq!(ran.end, End::Exited(0), "{text}");
    }
}

#[test]
fn a_message_that_cannot_be_read_kills_the_command() {
    let environment = environment();
    let what = What::Line("cat >/dev/null; sleep 600");
    let limit = Duration::from_secs(600);
    let run_as = RunAs::default();
    let command =
        Command { what, run_as, environment: &environment, time_limit: limit, halt: None, agent: "local" };
    let error = run(&command, &mut || Err(io::Error::other("disk"))).unwrap_err();
    assert_eq!(error.to_string(), "disk");
}

#[test]
fn a_directory_that_cannot_be_entered_is_told_as_postfix_tells_it() {
    let environment = environment();
    let command = Command {
        what: What::Line("true"),
        run_as: RunAs { directory: Some("/nonexistent".as_ref()), ..RunAs::default() },
        environment: &environment,
        time_limit: Duration::from_secs(60),
        halt: None,
        agent: "local",
    };
    let ran = run(&command, &mut || Ok(None)).unwrap();
    let text = "cannot change directory to \"/nonexistent\" for uid=0 gid=0: No such file or directory";
    assert_eq!((ran.end, ran.output.len()), (End::Exited(75), 0));
    assert_eq!(ran.notes, [Note::Fatal(text.into())]);
}

/// A command that is asked to end once it has read a message that is larger than a pipe.
fn ended(line: &str) -> (End, Option<u8>) {
    let halt = Halt::new().unwrap();
    let environment = environment();
    let command = Command {
        what: What::Line(line),
        run_as: RunAs { directory: Some("/".as_ref()), ..RunAs::default() },
        environment: &environment,
        time_limit: Duration::from_secs(60),
        halt: Some(&halt),
        agent: "pipe",
    };
    let mut pieces = std::iter::once(vec![b'x'; 400_000]);
    let ran = run(&command, &mut || {
        let piece = pieces.next();
        if piece.is_none() {
            halt.raise();
        }
        Ok(piece)
    });
    let ran = ran.unwrap();
    (ran.end, ran.judge("cmd").err().map(|failure| failure.dsn.class))
}

#[test]
fn a_command_that_is_asked_to_end_is_tried_again_unless_it_ends_well() {
    let stopped = (End::Stopped, Some(4));
    assert_eq!(ended("cat >/dev/null; sleep 50"), stopped);
    assert_eq!(ended("trap 'exit 67' TERM; cat >/dev/null; while :; do sleep 0.1; done"), stopped);
    assert_eq!(ended("trap '' TERM; cat >/dev/null; while :; do sleep 0.1; done"), stopped, "it is killed");
    assert_eq!(
        ended("trap 'exit 0' TERM; cat >/dev/null; while :; do sleep 0.1; done"),
        (End::Exited(0), None)
    );
}

#[test]
fn no_command_is_begun_once_all_are_to_end() {
    let halt = Halt::new().unwrap();
    halt.raise();
    let command = Command {
        what: What::Line("true"),
        run_as: RunAs::default(),
        environment: &environment(),
        time_limit: Duration::from_secs(60),
        halt: Some(&halt),
        agent: "pipe",
    };
    assert_eq!(run(&command, &mut || Ok(None)).unwrap().end, End::Stopped);
}
