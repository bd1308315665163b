//! Command lines on Debian's Postfix and on Posthaste: cases, their run in a world, and what is compared.

pub mod case;
pub mod generate;
pub mod play;

use crate::difference;
use crate::missing::Ending;
use case::{Case, NodeKind, Ours, shown};
use play::Transcript;

/// In the line with which a program of Postfix's ends.
const FATAL: &str = ": fatal: ";

/// In what Postfix's postdrop says where its end finds the file gone that it had just removed: chance.
const REMOVED_TWICE: &str = ": remove maildrop/";

/// Compares the transcripts of one case. Where the case has a text of ours, that takes the place of Postfix's.
pub fn compare(case: &Case, postfix: &Transcript, posthaste: &Transcript) -> Ending {
    let mut theirs = Vec::new();
    let mut ours = Vec::new();
    for (index, command) in case.commands.iter().enumerate() {
        // Chance may find what crashes Postfix; that is no behaviour to keep.
        let crashed = |line: &String| line.contains("signal: ");
        if case.fatal_only && part_lines(case, postfix, &format!("{index} status")).iter().any(crashed) {
            continue;
        }
        for part in ["status", "stdout", "stderr"] {
            let golden = command.ours.iter().find(|ours| ours.part == part);
            let of = |transcript: &Transcript| part_lines(case, transcript, &format!("{index} {part}"));
            match golden {
                Some(Ours { lines, .. }) => {
                    theirs.extend(lines.iter().map(|line| format!("{index} {part}: {line} [ours]")));
                    ours.extend(of(posthaste).into_iter().map(|line| format!("{line} [ours]")));
                }
                None => {
                    theirs.extend(of(postfix));
                    ours.extend(of(posthaste));
                }
            }
        }
    }
    theirs.extend(part_lines(case, postfix, "file"));
    ours.extend(part_lines(case, posthaste, "file"));
    let lines = difference(&theirs, &ours);
    if lines.is_empty() {
        return Ending::Agrees;
    }
    let commands = case.commands.iter().enumerate().map(|(n, command)| format!("    {n} $ {}", command.text));
    let files = case.files.iter().filter(|_| case.fatal_only).flat_map(|node| match &node.kind {
        NodeKind::File(bytes) => {
            shown(bytes).into_iter().map(|line| format!("    {}: {line}", node.name)).collect()
        }
        _ => Vec::new(),
    });
    Ending::Differs(files.chain(commands).chain(lines).collect())
}

fn part_lines(case: &Case, transcript: &Transcript, part: &str) -> Vec<String> {
    let own = transcript.lines.iter().filter(|(p, _)| p == part);
    let mut lines: Vec<String> = own.map(|(p, line)| format!("{p}: {line}")).collect();
    if part.ends_with("stderr") {
        lines.retain(|line| !line.contains(REMOVED_TWICE));
        if case.fatal_only && lines.iter().any(|line| line.contains(FATAL)) {
            lines.retain(|line| line.contains(FATAL));
        }
        if case.sorted {
            lines.sort();
            lines.dedup();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(lines: &[(&str, &str)]) -> Transcript {
        let lines = lines.iter().map(|(p, l)| ((*p).to_owned(), (*l).to_owned())).collect();
        Transcript { case: "x".into(), lines }
    }

    #[test]
    fn a_text_of_ours_takes_the_place_of_postfixs() {
        let text = "case: x\n$ postconf -q\nstderr: ours (newer)\n| postconf: new\n";
        let case = &case::parse(text).unwrap()[0];
        let postfix = transcript(&[("0 status", "0"), ("0 stderr", "postconf: old")]);
        let new = transcript(&[("0 status", "0"), ("0 stderr", "postconf: new")]);
        assert!(matches!(compare(case, &postfix, &new), Ending::Agrees));
        assert!(matches!(compare(case, &postfix, &postfix), Ending::Differs(_)));
    }

    #[test]
    fn files_and_the_order_of_messages_count_unless_the_case_says_so() {
        let one = transcript(&[("0 stderr", "a"), ("0 stderr", "b"), ("file", "main.cf 0644 0:0")]);
        let two = transcript(&[("0 stderr", "b"), ("0 stderr", "a"), ("file", "main.cf 0644 0:0")]);
        let ending = |text: &str, other| compare(&case::parse(text).unwrap()[0], &one, other);
        assert!(matches!(ending("case: x\n$ postconf\n", &two), Ending::Differs(_)));
        assert!(matches!(ending("case: x\nsorted\n$ postconf\n", &two), Ending::Agrees));
        let other = transcript(&[("0 stderr", "a"), ("0 stderr", "b"), ("file", "main.cf 0600 0:0")]);
        assert!(matches!(ending("case: x\n$ postconf\n", &other), Ending::Differs(_)));
    }
}
