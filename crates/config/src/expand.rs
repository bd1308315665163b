//! `$name` and its conditional forms in parameter values.
//!
//! Postfix: postconf(5), "BASIC SYNTAX"; `$name`, `${name}`, `$(name)`, `$$`, `${name?text}`, `${name?{a}:{b}}`,
//! `${name:text}`, `${{a} == {b} ? {c} : {d}}`, with `<level` and its kin for compatibility levels.

use crate::lines::is_space;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Values within values: deeper is taken for a definition that names itself. Postfix's own limit.
const DEPTH_MAX: u32 = 100;

/// Bytes that one value may grow to; a chain of `$a$a` definitions would otherwise fill the memory.
const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Lookups that one value may cost; bounds definitions that expand to nothing, again and again.
const LOOKUPS_MAX: u32 = 100_000;

/// Where the names in a value get theirs.
pub trait Names {
    /// The unexpanded value of `name`; nothing where no such name is known.
    fn raw(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// Expands `text`; the error says what is wrong with it.
pub fn expand(text: &str, names: &dyn Names) -> Result<String, String> {
    let mut expander = Expander { names, lookups: 0, out: String::with_capacity(text.len()) };
    expander.text(text, 0)?;
    Ok(expander.out)
}

struct Expander<'a> {
    names: &'a dyn Names,
    lookups: u32,
    out: String,
}

impl Expander<'_> {
    fn text(&mut self, mut text: &str, depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!(
                "expected values nested at most {DEPTH_MAX} deep, found a definition that names itself"
            ));
        }
        while let Some(at) = text.find('$') {
            self.push(&text[..at])?;
            let rest = &text[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                self.push("$")?;
                text = after;
            } else if rest.starts_with('{') || rest.starts_with('(') {
                let close = if rest.starts_with('{') { '}' } else { ')' };
                let Some((inner, after)) = balanced(rest, close) else {
                    return Err(format!("expected a `{close}` that closes `$`, found `${rest}`"));
                };
                self.group(inner, depth)?;
                text = after;
            } else {
                let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
                if end == 0 {
                    return Err(format!(
                        "expected a parameter name behind `$` (a plain `$` is written `$$`), found `${rest}`"
                    ));
                }
                self.name(&rest[..end], depth)?;
                text = &rest[end..];
            }
        }
        self.push(text)
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > EXPANDED_BYTES_MAX {
            return Err(format!(
                "expected a value of at most {EXPANDED_BYTES_MAX} bytes, found that its definitions expand to more"
            ));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn raw(&mut self, name: &str) -> Result<Option<String>, String> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(format!("expected at most {LOOKUPS_MAX} names within a value, found more"));
        }
        Ok(self.names.raw(name).map(Cow::into_owned))
    }

    fn name(&mut self, name: &str, depth: u32) -> Result<(), String> {
        match self.raw(name)? {
            Some(value) => self.text(&value, depth + 1),
            None => Ok(()),
        }
    }

    /// What stands between `${` and `}`.
    fn group(&mut self, inner: &str, depth: u32) -> Result<(), String> {
        let trimmed = inner.trim_start_matches(is_space);
        if trimmed.starts_with('{') {
            return self.relation(trimmed, depth);
        }
        let end = trimmed.find(|c| !is_name_char(c)).unwrap_or(trimmed.len());
        let (name, rest) = trimmed.split_at(end);
        if name.is_empty() {
            return Err(format!("expected a parameter name in `${{…}}`, found `${{{inner}}}`"));
        }
        let rest = rest.trim_start_matches(is_space);
        match rest.chars().next() {
            None => self.name(name, depth),
            Some('?') | Some(':') => {
                let holds = self.raw(name)?.is_some_and(|value| !value.is_empty());
                self.choice(holds, rest, depth)
            }
            Some('{') if name == "domain_to_ascii" => self.domain_to_ascii(rest, depth),
            Some(_) => Err(format!("expected `}}`, `?` or `:` behind `${{{name}`, found `{rest}`")),
        }
    }

    /// `?{a}:{b}`, `?a`, `:{b}`, `:b`.
    fn choice(&mut self, holds: bool, rest: &str, depth: u32) -> Result<(), String> {
        let (yes, no) = branches(rest)?;
        match if holds { yes } else { no } {
            Some(text) => self.text(text, depth + 1),
            None => Ok(()),
        }
    }

    /// `{a} op {b}`, perhaps with branches behind it.
    fn relation(&mut self, text: &str, depth: u32) -> Result<(), String> {
        let bad = || format!("expected `${{{{a}} operator {{b}}?{{c}}:{{d}}}}`, found `${{{text}}}`");
        let (left, rest) = balanced(text, '}').ok_or_else(bad)?;
        let rest = rest.trim_start_matches(is_space);
        let end = rest.find('{').ok_or_else(bad)?;
        let operator = Operator::parse(rest[..end].trim_matches(is_space)).ok_or_else(|| {
            let found = rest[..end].trim_matches(is_space);
            format!("expected == != < <= > >= or one of them with `level`, found `{found}`")
        })?;
        let (right, rest) = balanced(&rest[end..], '}').ok_or_else(bad)?;
        let (left, right) = (self.apart(left, depth)?, self.apart(right, depth)?);
        let holds = operator.holds(&left, &right)?;
        let rest = rest.trim_start_matches(is_space);
        if rest.is_empty() {
            return self.push(if holds { "true" } else { "" });
        }
        self.choice(holds, rest, depth)
    }

    /// Expands `text` beside the output.
    fn apart(&mut self, text: &str, depth: u32) -> Result<String, String> {
        let kept = std::mem::take(&mut self.out);
        let result = self.text(text, depth + 1);
        let expanded = std::mem::replace(&mut self.out, kept);
        result.map(|()| expanded)
    }

    /// `${domain_to_ascii{text}}` (Postfix 3.11). A domain that is ASCII already stays as it is.
    fn domain_to_ascii(&mut self, rest: &str, depth: u32) -> Result<(), String> {
        let Some((inner, "")) = balanced(rest, '}').map(|(i, after)| (i, after.trim_matches(is_space)))
        else {
            return Err(format!(
                "expected `${{domain_to_ascii{{text}}}}`, found `${{domain_to_ascii{rest}}}`"
            ));
        };
        let domain = self.apart(inner.trim_matches(is_space), depth)?;
        if !domain.is_ascii() {
            return Err(format!(
                "expected an ASCII domain (others cannot be converted yet), found `{domain}`"
            ));
        }
        self.push(&domain)
    }
}

/// The branches of `?{a}:{b}` and its shorter forms: (text if it holds, text if not).
fn branches(rest: &str) -> Result<(Option<&str>, Option<&str>), String> {
    let (yes, rest) = match rest.strip_prefix('?') {
        None => (None, rest),
        Some(rest) => {
            let trimmed = rest.trim_start_matches(is_space);
            if !trimmed.starts_with('{') {
                return Ok((Some(rest), None));
            }
            let (yes, rest) = balanced(trimmed, '}').ok_or_else(|| unclosed(trimmed))?;
            (Some(yes), rest.trim_start_matches(is_space))
        }
    };
    if rest.is_empty() && yes.is_some() {
        return Ok((yes, None));
    }
    let Some(rest) = rest.strip_prefix(':') else {
        return Err(format!("expected `?` or `:`, found `{rest}`"));
    };
    let trimmed = rest.trim_start_matches(is_space);
    if !trimmed.starts_with('{') {
        return Ok((yes, Some(rest)));
    }
    let (no, rest) = balanced(trimmed, '}').ok_or_else(|| unclosed(trimmed))?;
    match rest.trim_start_matches(is_space) {
        "" => Ok((yes, Some(no))),
        rest => Err(format!("expected nothing behind the last `}}`, found `{rest}`")),
    }
}

fn unclosed(text: &str) -> String {
    format!("expected a `}}` that closes `{{`, found `{text}`")
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

struct Operator {
    accepts: fn(Ordering) -> bool,
    level: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Operator> {
        let (text, level) = match text.strip_suffix("level") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let accepts: fn(Ordering) -> bool = match text {
            "==" => Ordering::is_eq,
            "!=" => Ordering::is_ne,
            "<" => Ordering::is_lt,
            "<=" => Ordering::is_le,
            ">" => Ordering::is_gt,
            ">=" => Ordering::is_ge,
            _ => return None,
        };
        Some(Operator { accepts, level })
    }

    fn holds(&self, left: &str, right: &str) -> Result<bool, String> {
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
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
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        *slot = part.parse().map_err(|_| bad())?;
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Map(HashMap<&'static str, &'static str>);

    impl Names for Map {
        fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
            self.0.get(name).map(|&value| Cow::Borrowed(value))
        }
    }

    fn names() -> Map {
        Map(HashMap::from([
            ("a", "1"),
            ("b", "$a$a"),
            ("empty", ""),
            ("loop", "x$loop"),
            ("blank", "$empty"),
            ("compatibility_level", "3.6"),
        ]))
    }

    #[test]
    fn forms_of_postconf_5_expand_as_written_there() {
        for (text, value) in [
            ("$a-${b}-$(a)-$$a", "1-11-1-$a"),
            ("$none.", "."),
            ("${a?x$b}", "x11"),
            ("${empty?x}${empty:y}${none:{z}}", "yz"),
            ("${a?{ p }:{q}}|${empty ? {p} : {q} }", " p |q"),
            ("${a?{p}:q r}|${empty?{p}:q r}", "p|q r"),
            ("${stress?{10}:{300}}s", "300s"),
            ("${{$a} == {1}?{yes}:{no}}", "yes"),
            ("${{$b} > {9}}|${{$b} < {9}}|${{a}<{b}}", "true||true"),
            ("${{10}<{9x}?{text}:{number}}", "text"),
            ("${{$compatibility_level} <level {3.11} ? {old} : {new}}", "old"),
            ("${{3.10} >level {3.9}}", "true"),
            ("${domain_to_ascii{ example.org }}", "example.org"),
            ("${blank?{x}:{y}}", "x"),
        ] {
            assert_eq!(expand(text, &names()).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn bad_forms_say_what_was_expected() {
        for (text, part) in [
            ("$", "expected a parameter name behind `$`"),
            ("${a", "expected a `}`"),
            ("${a?{x}y}", "expected `?` or `:`"),
            ("${{a} ~ {b}}", "expected == !="),
            ("${{a} <level {3}}", "expected a compatibility level"),
            ("${a?{x}:{y} z}", "expected nothing behind"),
            ("${}", "expected a parameter name in"),
            ("$loop", "nested at most 100"),
        ] {
            let error = expand(text, &names()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn growth_is_bounded() {
        struct Doubling;
        impl Names for Doubling {
            fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
                let n: u32 = name.trim_start_matches('n').parse().ok()?;
                Some(if n == 0 { "x".into() } else { format!("$n{0}$n{0}", n - 1).into() })
            }
        }
        assert_eq!(expand("$n10", &Doubling).map(|v| v.len()), Ok(1024));
        assert!(expand("$n90", &Doubling).is_err());
    }
}
