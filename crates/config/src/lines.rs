//! Logical lines: what Postfix reads as one line in main.cf, master.cf and lookup tables.
//!
//! Postfix: a line that starts with white space continues the one before; blank lines and lines whose first
//! visible character is `#` are skipped, even within a continuation. There is no comment at the end of a line.

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
}

/// White space as C's isspace() in the POSIX locale.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Splits a file's text into logical lines.
pub fn logical_lines(text: &str) -> Lines {
    let mut out = Lines::default();
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
    fn a_continuation_of_nothing_is_told_and_skipped() {
        let lines = logical_lines("  x\na = 1");
        assert_eq!((lines.stray, lines.lines.len()), (vec![1], 1));
    }
}
