//! Logical lines: what Postfix reads as one line in main.cf, master.cf and lookup tables.
//!
//! Postfix: a line that starts with white space continues the one before; blank lines and lines whose first
//! visible character is `#` are skipped, even within a continuation. There is no comment at the end of a line.

use crate::error::{Error, Origin};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One logical line, with the number of each physical line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// The joined text, without line ends and without trailing white space.
    pub text: String,
    /// (offset in `text`, line number) of each physical line, ascending; never empty.
    starts: Vec<(usize, u32)>,
}

impl LogicalLine {
    /// The number of the first physical line, from 1.
    pub fn line(&self) -> u32 {
        self.starts[0].1
    }

    /// The number of the last physical line.
    pub fn last_line(&self) -> u32 {
        self.starts[self.starts.len() - 1].1
    }

    /// The number of the physical line that the byte at `offset` came from.
    pub fn line_at(&self, offset: usize) -> u32 {
        let after = self.starts.partition_point(|&(start, _)| start <= offset);
        self.starts[after.saturating_sub(1)].1
    }
}

/// What reading logical lines found: the lines, and the numbers of lines that continue nothing.
#[derive(Debug, Default)]
pub struct Lines {
    /// The logical lines in order.
    pub lines: Vec<LogicalLine>,
    /// Lines that start with white space and have no line before them; Postfix skips them with a warning.
    pub stray: Vec<u32>,
    /// What an editor or a copy left in the file, with the number of the line where it shows first.
    pub odd: Vec<(u32, Oddity)>,
}

impl Lines {
    /// What the administrator should know about the file, with where it stands.
    pub(crate) fn warnings(&self, file: &Arc<Path>) -> Vec<Error> {
        let at = |line: u32, text: String| Error::general(Some(Origin { file: file.clone(), line }), text);
        let stray = "logical line must not start with whitespace; it is ignored";
        let strays = self.stray.iter().map(|&line| at(line, stray.to_owned()));
        strays.chain(self.odd.iter().map(|(line, odd)| at(*line, odd.to_string()))).collect()
    }
}

/// Bytes that are no part of any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A UTF-8 byte order mark in front of the text.
    Mark,
    /// Lines that end in CR LF.
    CarriageReturn,
    /// A NUL byte.
    Nul,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Oddity::Mark => "a byte order mark (UTF-8 BOM) in front of the text is ignored",
            Oddity::CarriageReturn => "lines end in CR LF; the CR is ignored",
            Oddity::Nul => "a NUL byte ends the line: what follows it is ignored",
        })
    }
}

/// The byte order mark, as text and as bytes of which each became a character.
const MARKS: [&str; 2] = ["\u{feff}", "\u{ef}\u{bb}\u{bf}"];

/// White space as C's isspace() in the POSIX locale.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Splits a file's text into logical lines.
pub fn logical_lines(text: &str) -> Lines {
    let mut out = Lines::default();
    let text = match MARKS.iter().find_map(|mark| text.strip_prefix(mark)) {
        Some(rest) => {
            out.odd.push((1, Oddity::Mark));
            rest
        }
        None => text,
    };
    if let Some(at) = text.find("\r\n") {
        let before = text[..at].matches('\n').count();
        out.odd.push((u32::try_from(before + 1).unwrap_or(u32::MAX), Oddity::CarriageReturn));
    }
    for (index, physical) in text.split('\n').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let visible = physical.trim_start_matches(is_space);
        if visible.is_empty() || visible.starts_with('#') {
            continue;
        }
        if !physical.starts_with(is_space) {
            out.lines.push(LogicalLine { text: physical.to_owned(), starts: vec![(0, number)] });
        } else if let Some(last) = out.lines.last_mut() {
            last.starts.push((last.text.len(), number));
            last.text.push_str(physical);
        } else {
            out.stray.push(number);
        }
    }
    for line in &mut out.lines {
        // Postfix's programs read a line up to a NUL.
        if let Some(at) = line.text.find('\0') {
            out.odd.push((line.line_at(at), Oddity::Nul));
            line.text.truncate(at);
        }
        let end = line.text.trim_end_matches(is_space).len();
        line.text.truncate(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_do_not_end_a_continuation() {
        let lines = logical_lines("# top\na = 1\n\n  # inside\n   \n\t2\r\nb = 3 # text\n");
        let found: Vec<_> = lines.lines.iter().map(|l| (l.line(), l.last_line(), l.text.as_str())).collect();
        assert_eq!(found, [(2, 6, "a = 1\t2"), (7, 7, "b = 3 # text")]);
        assert_eq!(
            (lines.lines[0].line_at(4), lines.lines[0].line_at(5), lines.lines[0].line_at(6)),
            (2, 6, 6)
        );
    }

    #[test]
    fn marks_carriage_returns_and_nul_bytes_are_no_part_of_the_text() {
        let lines = logical_lines("\u{feff}a = 1\n  2\r\nb = x\0y\n  z\nc = 3");
        let texts: Vec<_> = lines.lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["a = 1  2", "b = x", "c = 3"]);
        assert_eq!(lines.odd, [(1, Oddity::Mark), (2, Oddity::CarriageReturn), (3, Oddity::Nul)]);
    }

    #[test]
    fn a_line_may_be_longer_than_a_megabyte() {
        let words = "a.example ".repeat(200_000);
        let text = format!("x =\n {words}\n {words}\ny = 1\n");
        let lines = logical_lines(&text);
        assert_eq!((lines.lines.len(), lines.lines[0].last_line()), (2, 3));
        assert_eq!(lines.lines[0].text.len(), "x =".len() + 2 * (words.len() + 1) - 1);
    }

    #[test]
    fn a_continuation_of_nothing_is_told_and_skipped() {
        let lines = logical_lines("  x\na = 1");
        assert_eq!((lines.stray, lines.lines.len()), (vec![1], 1));
    }
}
