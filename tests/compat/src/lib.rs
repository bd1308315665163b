//! Compares transcripts of Debian's Postfix and of Posthaste for the same case.

use regex_lite::Regex;
use testkit::case::Case;
use testkit::play::Transcript;

/// The lines of a transcript that count for a case, Postfix's brought to the newer release's words.
pub fn comparable(case: &Case, transcript: &Transcript, is_postfix: bool) -> Result<Vec<String>, String> {
    let newer: Vec<(Regex, &str)> = case
        .newer
        .iter()
        .map(|(old, new)| {
            Regex::new(old).map(|old| (old, new.as_str())).map_err(|e| format!("newer: {old}: {e}"))
        })
        .collect::<Result<_, _>>()?;
    let counts = |part: &str| case.parts.contains(part);
    let lines = transcript.lines.iter().filter(|(part, _)| counts(part)).map(|(part, line)| {
        let mut line = line.clone();
        if is_postfix {
            for (old, new) in &newer {
                line = old.replace_all(&line, *new).into_owned();
            }
        }
        format!("{part}: {line}")
    });
    Ok(lines.collect())
}

/// The first differing stretch of two transcripts as a small diff; empty if they agree.
pub fn difference(postfix: &[String], posthaste: &[String]) -> Vec<String> {
    let same_start = postfix.iter().zip(posthaste).take_while(|(a, b)| a == b).count();
    if same_start == postfix.len() && same_start == posthaste.len() {
        return Vec::new();
    }
    let (left, right) = (&postfix[same_start..], &posthaste[same_start..]);
    let same_end = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    let before = postfix[same_start.saturating_sub(2)..same_start].iter().map(|line| format!("    {line}"));
    let old = left[..left.len() - same_end].iter().map(|line| format!("  - {line}"));
    let new = right[..right.len() - same_end].iter().map(|line| format!("  + {line}"));
    before.chain(old).chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn only_what_differs_is_shown() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(difference(&lines("a\nb"), &lines("a\nb")).is_empty());
        assert_eq!(difference(&lines("a\nb\nd"), &lines("a\nc\nd")), ["    a", "  - b", "  + c"]);
    }
}
