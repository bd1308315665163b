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

/// What is wrong with a value: in our words, and in those of Postfix's programs, which `postconf` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was expected and what was found.
    pub text: String,
    /// Postfix's message; it marks the place with `>>>`.
    pub postfix: String,
}

impl Fault {
    fn new(text: String, postfix: String) -> Fault {
        Fault { text, postfix }
    }

    /// A bound of ours that Postfix has not.
    fn bound(text: String) -> Fault {
        Fault { postfix: text.clone(), text }
    }

    /// Something else stands where `expected` should.
    fn at(text: String, expected: &str, before: &str, found: &str) -> Fault {
        Fault { text, postfix: format!("{expected} at: \"...{before}>>>{found}\"") }
    }
}

/// Expands `text`; the error says what is wrong with it.
pub fn expand(text: &str, names: &dyn Names) -> Result<String, String> {
    try_expand(text, names).map_err(|fault| fault.text)
}

/// [`expand`] with the error in both wordings.
pub fn try_expand(text: &str, names: &dyn Names) -> Result<String, Fault> {
    let mut expander =
        Expander { names, lookups: 0, open: Vec::new(), out: String::with_capacity(text.len()) };
    expander.text(text, 0)?;
    Ok(expander.out)
}

struct Expander<'a> {
    names: &'a dyn Names,
    lookups: u32,
    /// The names whose values are being expanded, outermost first.
    open: Vec<String>,
    out: String,
}

impl Expander<'_> {
    fn text(&mut self, text: &str, depth: u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            let name = self.open.last().map_or("", String::as_str);
            return Err(Fault::new(
                format!("expected values nested at most {DEPTH_MAX} deep, found more"),
                format!("unreasonable macro call nesting: \"{name}\""),
            ));
        }
        for piece in pieces(text) {
            match piece? {
                Piece::Text(text) => self.push(text)?,
                Piece::Name(name) => self.name(name, depth)?,
                Piece::Choice { name, rest } => {
                    let holds = self.raw(name)?.is_some_and(|value| !value.is_empty());
                    self.choice(holds, rest, depth)?;
                }
                Piece::Relation { left, operator, right, rest } => {
                    let (left, right) = (self.apart(left, depth)?, self.apart(right, depth)?);
                    let holds = operator.holds(&left, &right)?;
                    match rest {
                        "" => self.push(if holds { "true" } else { "" })?,
                        rest => self.choice(holds, rest, depth)?,
                    }
                }
                Piece::ToAscii(inner) => self.domain_to_ascii(inner, depth)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), Fault> {
        if self.out.len() + text.len() > EXPANDED_BYTES_MAX {
            return Err(Fault::bound(format!(
                "expected a value of at most {EXPANDED_BYTES_MAX} bytes, found that its definitions expand to more"
            )));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn raw(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Fault::bound(format!(
                "expected at most {LOOKUPS_MAX} names within a value, found more"
            )));
        }
        Ok(self.names.raw(name).map(Cow::into_owned))
    }

    fn name(&mut self, name: &str, depth: u32) -> Result<(), Fault> {
        if let Some(at) = self.open.iter().position(|open| open == name) {
            return Err(self.names_itself(at));
        }
        let Some(value) = self.raw(name)? else { return Ok(()) };
        self.open.push(name.to_owned());
        let result = self.text(&value, depth + 1);
        self.open.pop();
        result
    }

    /// The definition of `open[at]` leads back to it. Postfix goes round until its limit and tells the name there.
    fn names_itself(&self, at: usize) -> Fault {
        let ring = &self.open[at..];
        let chain = ring.iter().chain(ring.first()).map(String::as_str).collect::<Vec<_>>().join(" -> ");
        let last = match (DEPTH_MAX as usize - 1).checked_sub(at) {
            Some(steps) => &ring[steps % ring.len()],
            None => &ring[0],
        };
        Fault::new(
            format!("expected a definition that ends, found one that names itself: {chain}"),
            format!("unreasonable macro call nesting: \"{last}\" ({chain})"),
        )
    }

    fn choice(&mut self, holds: bool, rest: &str, depth: u32) -> Result<(), Fault> {
        let branches = branches(rest)?;
        match if holds { branches.yes } else { branches.no } {
            Some(text) => self.text(text, depth + 1),
            None => Ok(()),
        }
    }

    /// Expands `text` beside the output.
    fn apart(&mut self, text: &str, depth: u32) -> Result<String, Fault> {
        let kept = std::mem::take(&mut self.out);
        let result = self.text(text, depth + 1);
        let expanded = std::mem::replace(&mut self.out, kept);
        result.map(|()| expanded)
    }

    /// `${domain_to_ascii{text}}` (Postfix 3.11). A domain that is ASCII already stays as it is.
    fn domain_to_ascii(&mut self, inner: &str, depth: u32) -> Result<(), Fault> {
        let domain = self.apart(inner.trim_matches(is_space), depth)?;
        if !domain.is_ascii() {
            return Err(Fault::bound(format!(
                "expected an ASCII domain (others cannot be converted yet), found `{domain}`"
            )));
        }
        self.push(&domain)
    }
}

/// Calls `found` with every name in `text`, in each branch of each condition.
pub fn names_in(text: &str, found: &mut dyn FnMut(&str)) -> Result<(), Fault> {
    visit(text, 0, found)
}

fn visit(text: &str, depth: u32, found: &mut dyn FnMut(&str)) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::bound(format!("expected values nested at most {DEPTH_MAX} deep, found more")));
    }
    let both = |rest: &str, found: &mut dyn FnMut(&str)| {
        let Branches { yes, no } = branches(rest)?;
        [yes, no].into_iter().flatten().try_for_each(|part| visit(part, depth + 1, found))
    };
    for piece in pieces(text) {
        match piece? {
            Piece::Text(_) => {}
            Piece::Name(name) => found(name),
            Piece::Choice { name, rest } => {
                found(name);
                both(rest, found)?;
            }
            Piece::Relation { left, right, rest, .. } => {
                visit(left, depth + 1, found)?;
                visit(right, depth + 1, found)?;
                if !rest.is_empty() {
                    both(rest, found)?;
                }
            }
            Piece::ToAscii(inner) => visit(inner, depth + 1, found)?,
        }
    }
    Ok(())
}

/// What a value is made of; texts within conditions, and the branches in `rest`, are read when they are wanted.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
    Choice { name: &'a str, rest: &'a str },
    Relation { left: &'a str, operator: Operator, right: &'a str, rest: &'a str },
    ToAscii(&'a str),
}

/// The texts for a condition that holds and for one that does not.
struct Branches<'a> {
    yes: Option<&'a str>,
    no: Option<&'a str>,
}

/// The pieces of `whole` in order, up to the first that is wrong.
fn pieces(whole: &str) -> impl Iterator<Item = Result<Piece<'_>, Fault>> {
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
fn branches(rest: &str) -> Result<Branches<'_>, Fault> {
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

struct Operator {
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

    fn holds(&self, left: &str, right: &str) -> Result<bool, Fault> {
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
            ("one", "$two"),
            ("two", "${a?$three}"),
            ("three", "${none:{$two}}"),
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
            ("$loop", "names itself: loop -> loop"),
            ("$one", "names itself: two -> three -> two"),
        ] {
            let error = expand(text, &names()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// Debian's postconf prints these.
    #[test]
    fn postfix_says_it_in_other_words() {
        for (text, part) in [
            ("x ${} y", "empty macro name: \"x ${} y\""),
            ("a ${b", "truncated macro reference: \"a ${b\""),
            ("x ${{aa} =={bb}xx} y", "\"?\" or \":\" expected at: \"...}>>>xx\""),
            ("${{aa} cc {bb}}", "\">=\"\" or \">\" expected at: \"...aa}>>>cc {bb}\""),
            ("${{aa bb}== cc} y", "\"{expression}\" expected at: \"...{aa bb} ==>>> cc\""),
            ("${{aa}=={bb}?{cc}dd}", "\":\" expected at: \"...cc}>>>dd\""),
            ("${a?{cc}:{dd} ee}", "unexpected input at: \"...dd}>>>ee\""),
            ("${ ee -f}", "attribute name syntax error at: \"... ee>>> -f\""),
            ("${{abc} <level {3}}", "malformed compatibility level syntax: \"abc\""),
            ("$one", "unreasonable macro call nesting: \"two\" (two -> three -> two)"),
        ] {
            let fault = try_expand(text, &names()).unwrap_err();
            assert!(fault.postfix.ends_with(part), "{text}: {}", fault.postfix);
        }
    }

    #[test]
    fn names_are_found_in_every_branch() {
        let mut found = Vec::new();
        let text = "$a ${b?{$c}:{${d:$e}}} ${{$f}=={g}?{$h}} $$i ${domain_to_ascii{$j}}";
        names_in(text, &mut |name| found.push(name.to_owned())).unwrap();
        assert_eq!(found.join(" "), "a b c d e f h j");
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
