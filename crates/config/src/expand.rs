//! `$name` and its conditional forms in parameter values.
//!
//! Postfix: postconf(5), "BASIC SYNTAX"; `$name`, `${name}`, `$(name)`, `$$`, `${name?text}`, `${name?{a}:{b}}`,
//! `${name:text}`, `${{a} == {b} ? {c} : {d}}`, with `<level` and its kin for compatibility levels.

use crate::lines::is_space;
use crate::pieces::{Branches, Piece, branches, pieces};
pub use crate::pieces::{Fault, level};
use std::borrow::Cow;

/// Values and conditions within each other. Postfix's own limit.
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
