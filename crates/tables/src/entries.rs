//! The source text of a table: a key, white space and a value on each logical line.

use config::lines::{is_space, logical_lines};

/// What a logical line is.
pub(crate) enum Line<'a> {
    /// A key and its value, neither of them empty.
    Entry(&'a str, &'a str),
    /// An entry whose key ends with a colon, as those of alias files do.
    AliasLike(&'a str, &'a str),
    /// White space where nothing is continued; the line as it was written.
    Stray(&'a str),
    /// A quote that does not end.
    Unbalanced(&'a str),
    /// A key without a value.
    Alone(&'a str),
}

/// Shows each line with its number, lines that continue nothing first.
pub(crate) fn lines(text: &str, mut show: impl FnMut(u32, Line<'_>)) {
    let read = logical_lines(text);
    for number in read.stray {
        show(number, Line::Stray(text.split('\n').nth(number as usize - 1).unwrap_or_default()));
    }
    for line in read.lines {
        show(line.line(), classify(&line.text));
    }
}

fn classify(line: &str) -> Line<'_> {
    match split_entry(line) {
        None => Line::Unbalanced(line),
        Some((key, "")) => Line::Alone(key),
        Some((key, value)) if key.ends_with(':') => Line::AliasLike(key, value),
        Some((key, value)) => Line::Entry(key, value),
    }
}

/// Splits at the first white space outside of `"…"`; nothing where a quote is not closed.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if is_space(c) && !quoted => return Some((&line[..at], line[at..].trim_matches(is_space))),
            _ => {}
        }
    }
    (!quoted).then_some((line, ""))
}
