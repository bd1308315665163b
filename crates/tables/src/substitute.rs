//! Results of patterns: text with `$1`, `${1}` or `$(1)` for what a group matched, and `$$` for a dollar.
//!
//! Postfix: regexp_table(5), pcre_table(5).

use std::ops::Range;

/// A result, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// The text of a group; its number, from 1.
    Group(usize),
}

/// Why a text is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A `$` without a name; Postfix shows the whole text.
    Empty,
    /// `${` or `$(` that nobody closes.
    Truncated,
    /// A name that is no number.
    NotNumeric(String),
    /// `$0`.
    Zero,
}

impl Template {
    /// Reads a result.
    pub(crate) fn parse(text: &str) -> Result<(Template, Highest), Wrong> {
        let (mut parts, mut literal, mut highest) = (Vec::new(), String::new(), Highest(0));
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (name, after) = reference(rest)?;
            rest = after;
            let group = number(name)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            highest.add(group);
            // One that does not exist is told by `highest`; nobody will expand it.
            parts.push(Part::Group(usize::try_from(group).unwrap_or(usize::MAX)));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok((Template { parts }, highest))
    }

    /// Whether the result names groups.
    pub(crate) fn has_groups(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Group(_)))
    }

    /// The result for a text and where the groups are in it; a group that took no part is empty. Bytes, since a
    /// pattern may divide a character.
    pub(crate) fn expand(&self, text: &[u8], groups: &[Option<Range<usize>>]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Group(n) => {
                    let range = groups.get(*n).cloned().flatten();
                    out.extend_from_slice(range.and_then(|range| text.get(range)).unwrap_or_default());
                }
            }
        }
        out
    }
}

/// The highest number of a group in a result. A number too large for C's int has come out negative in Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Highest(i32);

impl Highest {
    fn add(&mut self, number: i32) {
        if number < 0 || number > self.0 && self.0 >= 0 {
            self.0 = number;
        }
    }

    /// The number where it is out of the range of so many groups.
    pub(crate) fn beyond(self, groups: usize) -> Option<i32> {
        usize::try_from(self.0).is_ok_and(|n| n <= groups).eq(&false).then_some(self.0)
    }
}

/// The name behind a `$`, and what comes after it.
fn reference(rest: &str) -> Result<(&str, &str), Wrong> {
    let closing = match rest.chars().next() {
        Some('{') => '}',
        Some('(') => ')',
        _ => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            return if end == 0 { Err(Wrong::Empty) } else { Ok(rest.split_at(end)) };
        }
    };
    let opening = if closing == '}' { '{' } else { '(' };
    let mut depth = 0usize;
    for (at, c) in rest.char_indices() {
        if c == opening {
            depth += 1;
        } else if c == closing {
            depth -= 1;
        }
        if depth == 0 {
            let name = &rest[1..at];
            return if name.is_empty() { Err(Wrong::Empty) } else { Ok((name, &rest[at + 1..])) };
        }
    }
    Err(Wrong::Truncated)
}

/// The number in `name`, as C's atoi makes an int of it.
fn number(name: &str) -> Result<i32, Wrong> {
    if !name.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::NotNumeric(name.to_owned()));
    }
    match name.parse::<i64>().unwrap_or(i64::MAX) as i32 {
        0 => Err(Wrong::Zero),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        let (template, _) = Template::parse(text).unwrap();
        String::from_utf8(template.expand(b"abc", &[Some(0..3), Some(0..1), None, Some(1..3)])).unwrap()
    }

    #[test]
    fn groups_stand_in_results_in_three_ways() {
        assert_eq!(expand("x $1-${1}.$(3)$2|"), "x a-a.bc|");
        assert_eq!(expand("a$$b$$$$c"), "a$b$$c");
        assert_eq!(expand("$01 ${003}x"), "a bcx");
        assert_eq!(expand("ä"), "ä");
    }

    #[test]
    fn what_is_no_result_is_told() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert_eq!(wrong("a $ b"), Wrong::Empty);
        assert_eq!(wrong("${}"), Wrong::Empty);
        assert_eq!(wrong("$-1"), Wrong::Empty);
        assert_eq!(wrong("x ${1"), Wrong::Truncated);
        assert_eq!(wrong("$(1}"), Wrong::Truncated);
        assert_eq!(wrong("$1x"), Wrong::NotNumeric("1x".into()));
        assert_eq!(wrong("${{1}}"), Wrong::NotNumeric("{1}".into()));
        assert_eq!(wrong("${ 1 }"), Wrong::NotNumeric(" 1 ".into()));
        assert_eq!(wrong("$0"), Wrong::Zero);
        let beyond = |text: &str, groups| Template::parse(text).unwrap().1.beyond(groups);
        assert_eq!(beyond("$3 $1", 2), Some(3));
        assert_eq!(beyond("$3 $1", 3), None);
        assert_eq!(beyond("$1000000000000", 2), Some(-727379968));
        assert_eq!(beyond("x", 0), None);
    }
}
