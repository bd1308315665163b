//! Compares transcripts of Debian's Postfix and of Posthaste for the same case.

pub mod both;
pub mod cases;
pub mod coverage;
pub mod grammar;
pub mod honoured;
pub mod missing;
pub mod ring;
pub mod tools;

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

/// What differs between two transcripts, with the line before each stretch; empty if they agree.
pub fn difference(postfix: &[String], posthaste: &[String]) -> Vec<String> {
    // common[i][j]: length of the longest common subsequence of postfix[i..] and posthaste[j..].
    let mut common = vec![vec![0usize; posthaste.len() + 1]; postfix.len() + 1];
    for i in (0..postfix.len()).rev() {
        for j in (0..posthaste.len()).rev() {
            common[i][j] = match postfix[i] == posthaste[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut out, mut last_shown) = (0, 0, Vec::new(), 0);
    while i < postfix.len() || j < posthaste.len() {
        if i < postfix.len() && j < posthaste.len() && postfix[i] == posthaste[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if i > last_shown {
            out.push(format!("    {}", postfix[i - 1]));
        }
        if j == posthaste.len() || (i < postfix.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(format!("  - {}", postfix[i]));
            i += 1;
        } else {
            out.push(format!("  + {}", posthaste[j]));
            j += 1;
        }
        last_shown = i;
    }
    out
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
