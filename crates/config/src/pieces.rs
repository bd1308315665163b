//! What a value is made of: text, names, conditions. One level at a time; what stands inside is read when it is wanted.

use crate::lines::is_space;
use std::cmp::Ordering;

/// What is wrong with a value: in our words, and in those of Postfix's programs, which `postconf` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was expected and what was found.
    pub text: String,
    /// Postfix's message; it marks the place with `>>>`.
    pub postfix: String,
}

impl Fault {
    pub(crate) fn new(text: String, postfix: String) -> Fault {
        Fault { text, postfix }
    }

    /// A bound of ours that Postfix has not.
    pub(crate) fn bound(text: String) -> Fault {
        Fault { postfix: text.clone(), text }
    }

    /// Something else stands where `expected` should.
    fn at(text: String, expected: &str, before: &str, found: &str) -> Fault {
        Fault { text, postfix: format!("{expected} at: \"...{before}>>>{found}\"") }
    }
}

/// What a value is made of; texts within conditions, and the branches in `rest`, are read when they are wanted.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
    Choice { name: &'a str, rest: &'a str },
    Relation { left: &'a str, operator: Operator, right: &'a str, rest: &'a str },
    ToAscii(&'a str),
}

/// The texts for a condition that holds and for one that does not.
pub(crate) struct Branches<'a> {
    pub yes: Option<&'a str>,
    pub no: Option<&'a str>,
}

/// The pieces of `whole` in order, up to the first that is wrong.
pub(crate) fn pieces(whole: &str) -> impl Iterator<Item = Result<Piece<'_>, Fault>> {
    let mut rest = Some(whole);
    std::iter::from_fn(move || {
        let text = rest.take().filter(|text| !text.is_empty())?;
        let (piece, after) = match text.find('$') {
            None => (Ok(Piece::Text(text)), ""),
            Some(0) => match dollar(text, whole) {
                Ok((piece, after)) => (Ok(piece), after),
                Err(fault) => return Some(Err(fault)),
            },
            Some(at) => (Ok(Piece::Text(&text[..at])), &text[at..]),
        };
        rest = Some(after);
        Some(piece)
    })
}

/// The piece at the `$` that `text` begins with, and what follows it. `whole` is the value, for Postfix's messages.
fn dollar<'a>(text: &'a str, whole: &str) -> Result<(Piece<'a>, &'a str), Fault> {
    let rest = &text[1..];
    if let Some(after) = rest.strip_prefix('$') {
        return Ok((Piece::Text("$"), after));
    }
    if rest.starts_with(['{', '(']) {
        let close = if rest.starts_with('{') { '}' } else { ')' };
        let (inner, after) = balanced(rest, close).ok_or_else(|| {
            Fault::new(
                format!("expected a `{close}` that closes `$`, found `{text}`"),
                format!("truncated macro reference: \"{whole}\""),
            )
        })?;
        return group(inner, whole).map(|piece| (piece, after));
    }
    let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
    if end == 0 {
        return Err(Fault::new(
            format!("expected a parameter name behind `$` (a plain `$` is written `$$`), found `{text}`"),
            format!("empty macro name: \"{whole}\""),
        ));
    }
    Ok((Piece::Name(&rest[..end]), &rest[end..]))
}

/// What stands between `${` and `}`.
fn group<'a>(inner: &'a str, whole: &str) -> Result<Piece<'a>, Fault> {
    let trimmed = inner.trim_start_matches(is_space);
    if trimmed.starts_with('{') {
        return relation(trimmed);
    }
    let end = trimmed.find(|c| !is_name_char(c)).unwrap_or(trimmed.len());
    let (name, rest) = trimmed.split_at(end);
    if name.is_empty() {
        return Err(Fault::new(
            format!("expected a parameter name in `${{…}}`, found `${{{inner}}}`"),
            format!("empty macro name: \"{whole}\""),
        ));
    }
    let before = &inner[..inner.len() - rest.len()];
    let trimmed = rest.trim_start_matches(is_space);
    match trimmed.chars().next() {
        None => Ok(Piece::Name(name)),
        Some('?') | Some(':') => Ok(Piece::Choice { name, rest: trimmed }),
        Some('{') if name == "domain_to_ascii" => match balanced(trimmed, '}') {
            Some((inner, after)) if after.trim_matches(is_space).is_empty() => Ok(Piece::ToAscii(inner)),
            _ => Err(Fault::bound(format!(
                "expected `${{domain_to_ascii{{text}}}}`, found `${{domain_to_ascii{rest}}}`"
            ))),
        },
        Some(_) => Err(Fault::new(
            format!("expected `}}`, `?` or `:` behind `${{{name}`, found `{trimmed}`"),
            format!("attribute name syntax error at: \"...{before}>>>{rest}\""),
        )),
    }
}

/// `{a} op {b}`, perhaps with branches behind it.
fn relation(text: &str) -> Result<Piece<'_>, Fault> {
    let (left, rest) = balanced(text, '}').ok_or_else(|| unclosed(text))?;
    let rest = rest.trim_start_matches(is_space);
    let (operator, rest) = Operator::parse(rest).ok_or_else(|| {
        Fault::at(
            format!("expected == != < <= > >= or one of them with `level`, found `{rest}`"),
            r#""==" or "!="" or "<"" or "<="" or ">="" or ">" expected"#,
            &format!("{left}}}"),
            rest,
        )
    })?;
    let sign = operator.sign;
    let braced = Some(rest.trim_start_matches(is_space)).filter(|rest| rest.starts_with('{'));
    let (right, rest) = braced.and_then(|rest| balanced(rest, '}')).ok_or_else(|| {
        let ours = format!("expected `${{{{a}} operator {{b}}?{{c}}:{{d}}}}`, found `${{{text}}}`");
        Fault::at(ours, "\"{expression}\" expected", &format!("{{{left}}} {sign}"), rest)
    })?;
    Ok(Piece::Relation { left, operator, right, rest: rest.trim_start_matches(is_space) })
}

/// `?{a}:{b}`, `?a`, `:{b}`, `:b`.
pub(crate) fn branches(rest: &str) -> Result<Branches<'_>, Fault> {
    let (yes, rest, before) = match rest.strip_prefix('?') {
        None => (None, rest, "}".to_owned()),
        Some(rest) => {
            let trimmed = rest.trim_start_matches(is_space);
            if !trimmed.starts_with('{') {
                return Ok(Branches { yes: Some(rest), no: None });
            }
            let (yes, rest) = balanced(trimmed, '}').ok_or_else(|| unclosed(trimmed))?;
            (Some(yes), rest.trim_start_matches(is_space), format!("{yes}}}"))
        }
    };
    if rest.is_empty() && yes.is_some() {
        return Ok(Branches { yes, no: None });
    }
    let Some(rest) = rest.strip_prefix(':') else {
        let expected = if yes.is_some() { "\":\" expected" } else { "\"?\" or \":\" expected" };
        return Err(Fault::at(format!("expected `?` or `:`, found `{rest}`"), expected, &before, rest));
    };
    let trimmed = rest.trim_start_matches(is_space);
    if !trimmed.starts_with('{') {
        return Ok(Branches { yes, no: Some(rest) });
    }
    let (no, rest) = balanced(trimmed, '}').ok_or_else(|| unclosed(trimmed))?;
    match rest.trim_start_matches(is_space) {
        "" => Ok(Branches { yes, no: Some(no) }),
        rest => {
            let text = format!("expected nothing behind the last `}}`, found `{rest}`");
            Err(Fault::at(text, "unexpected input", &format!("{no}}}"), rest))
        }
    }
}

fn unclosed(text: &str) -> Fault {
    Fault::bound(format!("expected a `}}` that closes `{{`, found `{text}`"))
}

/// For a text that starts with an opening bracket: what stands inside, and what behind the one that closes it.
fn balanced(text: &str, close: char) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let mut depth = 0u32;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((&text[1..at], &text[at + 1..]));
            }
        }
    }
    None
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub(crate) struct Operator {
    sign: &'static str,
    accepts: fn(Ordering) -> bool,
    level: bool,
}

impl Operator {
    /// The operator at the start of a text, and what follows it.
    fn parse(text: &str) -> Option<(Operator, &str)> {
        type Accepts = fn(Ordering) -> bool;
        const OPERATORS: [(&str, Accepts); 6] = [
            ("==", Ordering::is_eq),
            ("!=", Ordering::is_ne),
            ("<=", Ordering::is_le),
            (">=", Ordering::is_ge),
            ("<", Ordering::is_lt),
            (">", Ordering::is_gt),
        ];
        OPERATORS.into_iter().find_map(|(sign, accepts)| {
            let rest = text.strip_prefix(sign)?;
            let level = rest.strip_prefix("level");
            Some((Operator { sign, accepts, level: level.is_some() }, level.unwrap_or(rest)))
        })
    }

    pub fn holds(&self, left: &str, right: &str) -> Result<bool, Fault> {
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let level = |text: &str| {
            let malformed = || format!("malformed compatibility level syntax: \"{text}\"");
            level(text).map_err(|ours| Fault::new(ours, malformed()))
        };
        let order = if self.level {
            level(left)?.cmp(&level(right)?)
        } else if all_digits(left) && all_digits(right) {
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        } else {
            left.cmp(right)
        };
        Ok((self.accepts)(order))
    }
}

/// A compatibility level, `major[.minor[.patch]]`.
pub fn level(text: &str) -> Result<[u32; 3], String> {
    let mut level = [0; 3];
    let parts: Vec<&str> = text.split('.').collect();
    let bad = || format!("expected a compatibility level like 3.12, found `{text}`");
    if parts.len() > 3 {
        return Err(bad());
    }
    for (slot, part) in level.iter_mut().zip(parts) {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        *slot = part.parse().map_err(|_| bad())?;
    }
    Ok(level)
}
