//! Tables of regular expressions: the lines of a regexp or pcre table, and which of them answers for a key.
//!
//! Postfix: regexp_table(5), pcre_table(5). Warnings are in its words, since administrators search for them.

use crate::lookup::{Lookup, LookupFuture};
use crate::needle::{NeedleId, Needles, Seen};
use crate::rules::{Held, Line, Odd, Rules, Step, Steps};
use crate::substitute::{Highest, Template, Wrong};
use crate::table::{Settings, Source, TableError};
use std::ffi::{CStr, CString};
use std::ops::Range;

/// Where the groups of a match are.
pub(crate) type Groups = Vec<Option<Range<usize>>>;

/// A library of regular expressions.
pub(crate) trait Engine: Sized + Send + Sync + 'static {
    /// The table's kind.
    const KIND: &'static str;
    /// How the kind ends its warning of a pattern without an end.
    const UNCLOSED: &'static str;
    /// How the kind tells of `$0`.
    const ZERO: &'static str;
    /// Whether `/pattern1/!/pattern2/` is known.
    const HAS_SECOND: bool;
    /// How a pattern is to be read; the default is that of a pattern without flags.
    type Flags: Copy;

    fn default_flags() -> Self::Flags;
    /// Toggles what a letter behind the pattern stands for; a warning where it no longer means anything.
    fn toggle(flags: &mut Self::Flags, letter: u8) -> Toggle;
    /// Compiles a pattern; the error is the library's text.
    fn compile(pattern: &CStr, flags: Self::Flags, wants_groups: bool) -> Result<Self, String>;
    /// A text that every match has in it, if one is plain to see (`crate::needle`).
    fn needle(pattern: &[u8], flags: Self::Flags) -> Option<Vec<u8>>;
    /// How many groups the pattern has; also where `wants_groups` was false.
    fn groups(&self) -> usize;
    fn is_match(&self, key: &CStr) -> Result<bool, String>;
    fn captures(&self, key: &CStr, groups: &mut Groups) -> Result<bool, String>;
}

/// What became of a letter behind a pattern.
pub(crate) enum Toggle {
    Done,
    /// It is accepted and does nothing.
    Obsolete,
    Unknown,
}

/// A pattern that has to match, or not to.
pub(crate) struct Test<E> {
    pattern: E,
    negated: bool,
    line: u32,
    /// Until the table is built.
    needle: Option<Vec<u8>>,
    needle_id: Option<NeedleId>,
}

impl<E: Engine> Test<E> {
    /// Whether the test is passed; groups are looked for where `groups` is given. A match that fails (it took too
    /// long) is a warning, and the test is not passed.
    fn passes(&self, key: &Key<'_>, groups: Option<&mut Groups>) -> bool {
        if !key.seen.allows(self.needle_id) {
            return self.negated;
        }
        let matched = match groups {
            Some(groups) => self.pattern.captures(key.text, groups),
            None => self.pattern.is_match(key.text),
        };
        match matched {
            Ok(matched) => matched != self.negated,
            Err(text) => {
                (key.warn)(self.line, &text);
                false
            }
        }
    }
}

/// A rule of a table: what has to match, and what is answered then.
pub(crate) struct Rule<E> {
    test: Test<E>,
    /// Of `/pattern1/!/pattern2/`: has to be passed as well.
    second: Option<Test<E>>,
    result: Template,
    wants_groups: bool,
}

/// A table of patterns.
pub(crate) struct Patterns<E> {
    steps: Vec<Step<Test<E>, Rule<E>>>,
    needles: Needles,
}

/// What is looked up, and who hears of patterns that fail.
struct Key<'a> {
    text: &'a CStr,
    seen: Seen,
    warn: &'a dyn Fn(u32, &str),
}

/// A pattern as it stands in a line.
struct Written<'a, E: Engine> {
    pattern: &'a [u8],
    negated: bool,
    flags: E::Flags,
    /// What follows the flags.
    rest: &'a [u8],
}

impl<E: Engine> Rules for Patterns<E> {
    const KIND: &'static str = E::KIND;
    const STRAY_END: &'static str = "ignoring ENDIF without matching IF";
    /// They are tried one by one, and each takes some kilobytes: so many are a gigabyte and milliseconds a lookup.
    const RULES_MAX: usize = 1 << 18;
    type Condition = Test<E>;
    type Rule = Rule<E>;

    fn line(text: &str, line: u32, odd: &Odd<'_>) -> Line<Test<E>, Rule<E>> {
        let keyword = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (keyword, rest) = text.split_at(keyword);
        let read = match keyword.to_ascii_lowercase().as_str() {
            "" => rule(text.as_bytes(), line, odd).map(Line::Rule),
            "if" => condition(rest.as_bytes(), line, odd).map(Line::If),
            "endif" => Ok(Line::End { extra: !rest.trim_ascii().is_empty() }),
            _ => Err("ignoring unrecognized request".to_owned()),
        };
        read.unwrap_or_else(|text| {
            odd.at(line, &text);
            Line::Skipped
        })
    }

    fn build(steps: Steps<Test<E>, Rule<E>>) -> Self {
        let mut steps = steps.0;
        let tests = steps.iter_mut().flat_map(|step| match step {
            Step::Block { condition, .. } => [Some(condition), None],
            Step::Rule(rule) => [Some(&mut rule.test), rule.second.as_mut()],
        });
        let needles = Needles::of(tests.flatten().map(|test| (test.needle.take(), &mut test.needle_id)));
        Patterns { steps, needles }
    }
}

/// `/pattern/flags result`, `!/pattern/flags result`.
fn rule<E: Engine>(text: &[u8], line: u32, odd: &Odd<'_>) -> Result<Rule<E>, String> {
    let first = written::<E>(text, line, odd)?;
    let second = match first.rest.first() {
        Some(b'!') => Some(written::<E>(first.rest, line, odd)?),
        _ => None,
    };
    let result = second.as_ref().map_or(first.rest, |second| second.rest).trim_ascii_start();
    if result.is_empty() {
        odd.at(line, "no replacement text: using empty string");
    }
    let (result, highest) = template::<E>(&String::from_utf8_lossy(result), line, odd)?;
    let wants_groups = result.has_groups();
    if wants_groups && !odd.may_substitute() {
        return Err("regular expression substitution is not allowed: skipping this rule".to_owned());
    }
    if first.negated && wants_groups {
        return Err("$number found in negative match replacement text: skipping this rule".to_owned());
    }
    let test = compile(&first, line, wants_groups)?;
    if let Some(number) = highest.beyond(test.pattern.groups()) {
        return Err(format!("out of range replacement index \"{number}\": skipping this rule"));
    }
    let second = second.map(|second| compile(&second, line, false)).transpose()?;
    Ok(Rule { test, second, result, wants_groups })
}

/// What follows `if`: `/pattern/flags`, `!/pattern/flags`.
fn condition<E: Engine>(text: &[u8], line: u32, odd: &Odd<'_>) -> Result<Test<E>, String> {
    let condition = written::<E>(text.trim_ascii_start(), line, odd)?;
    let rest = condition.rest.trim_ascii_start();
    if !rest.is_empty() {
        let rest = String::from_utf8_lossy(rest);
        odd.at(line, &format!("ignoring extra text after IF statement: \"{rest}\""));
        odd.at(line, "do not prepend whitespace to statements between IF and ENDIF");
    }
    compile(&condition, line, false)
}

fn compile<E: Engine>(written: &Written<'_, E>, line: u32, wants_groups: bool) -> Result<Test<E>, String> {
    let pattern = CString::new(written.pattern).map_err(|_| "the pattern has a NUL: skipping this rule")?;
    let pattern = E::compile(&pattern, written.flags, wants_groups)?;
    let needle = E::needle(written.pattern, written.flags);
    Ok(Test { pattern, negated: written.negated, line, needle, needle_id: None })
}

/// Reads `!`s, the pattern between its delimiters, and the flags behind it.
fn written<'a, E: Engine>(text: &'a [u8], line: u32, odd: &Odd<'_>) -> Result<Written<'a, E>, String> {
    let start = text.iter().position(|&b| b != b'!' && !is_blank(b)).unwrap_or(text.len());
    let negated = text[..start].iter().filter(|&&b| b == b'!').count() % 2 == 1;
    let Some((&delimiter, inner)) = text[start..].split_first() else {
        return Err("no regexp: skipping this rule".to_owned());
    };
    let mut end = 0;
    // A backslash keeps what follows it from being the end; it stays in the pattern.
    while inner.get(end).is_some_and(|&b| b == b'\\' || b != delimiter) {
        end += if inner[end] == b'\\' { 2 } else { 1 };
    }
    if end >= inner.len() {
        let (delimiter, ending) = (shown(delimiter), E::UNCLOSED);
        return Err(format!("no closing regexp delimiter \"{delimiter}\": {ending} this rule"));
    }
    let (pattern, rest) = (&inner[..end], &inner[end + 1..]);
    let mut flags = E::default_flags();
    let ends = |b: u8| is_blank(b) || E::HAS_SECOND && b == b'!';
    let length = rest.iter().position(|&b| ends(b)).unwrap_or(rest.len());
    for &letter in &rest[..length] {
        match E::toggle(&mut flags, letter) {
            Toggle::Done => {}
            Toggle::Obsolete => {
                odd.at(line, &format!("ignoring obsolete regexp option \"{}\"", shown(letter)))
            }
            Toggle::Unknown => {
                return Err(format!("unknown regexp option \"{}\": skipping this rule", shown(letter)));
            }
        }
    }
    Ok(Written { pattern, negated, flags, rest: &rest[length..] })
}

fn template<E: Engine>(text: &str, line: u32, odd: &Odd<'_>) -> Result<(Template, Highest), String> {
    Template::parse(text).map_err(|wrong| {
        match wrong {
            Wrong::Empty => odd.bare(&format!("empty macro name: \"{text}\"")),
            Wrong::Truncated => odd.bare(&format!("truncated macro reference: \"{text}\"")),
            Wrong::NotNumeric(name) => odd.at(line, &format!("non-numeric replacement index \"{name}\"")),
            Wrong::Zero => odd.at(line, &format!("{} replacement index \"0\"", E::ZERO)),
        }
        "bad replacement syntax: skipping this rule".to_owned()
    })
}

fn is_blank(byte: u8) -> bool {
    config::lines::is_space(char::from(byte))
}

/// A byte of a line as the log shows it.
fn shown(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' }
}

impl<E: Engine> Patterns<E> {
    /// The rule that answers, with the groups of its match where it wants them.
    fn find(&self, key: &Key<'_>, groups: &mut Groups) -> Option<&Rule<E>> {
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::Block { condition, end } => {
                    if !condition.passes(key, None) {
                        at = *end;
                    }
                }
                Step::Rule(rule) => {
                    let wanted = rule.wants_groups.then_some(&mut *groups);
                    if rule.test.passes(key, wanted)
                        && rule.second.as_ref().is_none_or(|second| second.passes(key, None))
                    {
                        return Some(rule);
                    }
                }
            }
        }
        None
    }
}

/// An open table of patterns.
pub(crate) struct PatternTable<E> {
    table: Held<Patterns<E>>,
    name: String,
    settings: Settings,
}

impl<E: Engine> PatternTable<E> {
    /// Opens the table; fits a kind's `open`.
    pub(crate) fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
        let table = Held::open(name, spec, settings)?;
        Ok(Box::new(PatternTable::<E> { table, name: name.to_owned(), settings: settings.clone() }))
    }

    fn find(&self, key: &str) -> Lookup {
        let table = match self.table.get() {
            Ok(table) => table,
            Err(text) => return Lookup::TempFail(text),
        };
        // No name or address has a NUL in it, and neither library would see what follows.
        let Ok(subject) = CString::new(key) else { return Lookup::NotFound };
        let warn = |line: u32, text: &str| {
            (self.settings.warn)(&format!("{} map {}, line {line}: {text}", E::KIND, self.name));
        };
        let mut groups = Vec::new();
        let subject_key = Key { text: &subject, seen: table.needles.seen(key.as_bytes()), warn: &warn };
        let Some(rule) = table.find(&subject_key, &mut groups) else { return Lookup::NotFound };
        match String::from_utf8(rule.result.expand(key.as_bytes(), &groups)) {
            Ok(value) => Lookup::Found(value),
            Err(value) if !self.settings.utf8 => {
                Lookup::Found(String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            Err(_) => Lookup::TempFail(format!(
                "{}:{}: key \"{key}\": expected a result in UTF-8; a pattern divides a character",
                E::KIND,
                self.name
            )),
        }
    }
}

impl<E: Engine> Source for PatternTable<E> {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        self.find(key).into()
    }

    fn ready(&self) -> Result<(), String> {
        self.table.get().map(drop)
    }

    fn folds(&self) -> bool {
        false
    }

    fn takes_parts(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::{Lookup, Settings, Table};
    use std::sync::{Arc, Mutex};

    const KINDS: [&str; 2] = ["regexp", "pcre"];

    /// Opens a table; what it warns of is collected.
    fn open(spec: &str, utf8: bool) -> (Table, Arc<Mutex<Vec<String>>>) {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        (Table::open(spec, &Settings { utf8, warn, ..Settings::default() }).unwrap(), warnings)
    }

    #[test]
    fn a_result_that_is_no_utf_8_fails_for_the_time_being() {
        for kind in KINDS {
            let spec = format!("{kind}:{{ {{/x(.)/ <$1>}} }}");
            let Lookup::TempFail(text) = open(&spec, true).0.lookup_now("xä") else { panic!("{kind}") };
            assert!(text.contains("key \"xä\": expected a result in UTF-8"), "{text}");
            assert_eq!(open(&spec, true).0.lookup_now("xa"), Lookup::Found("<a>".into()));
            assert_eq!(open(&spec, false).0.lookup_now("xä"), Lookup::Found("<\u{fffd}>".into()));
        }
    }

    #[test]
    fn a_key_with_a_nul_is_in_no_table() {
        for kind in KINDS {
            assert_eq!(
                open(&format!("{kind}:{{ {{!/b/ x}} }}"), true).0.lookup_now("a\0b"),
                Lookup::NotFound
            );
        }
    }

    #[test]
    fn a_pattern_that_takes_too_long_is_passed_over_whichever_way_it_was_meant() {
        let key = "a".repeat(40) + "b";
        for rules in ["{!/^(a+)+$/ x}", "{if /^(a+)+$/} {/b/ x} {endif}", "{if !/^(a+)+$/} {/b/ x} {endif}"] {
            let (table, warnings) = open(&format!("pcre:{{ {rules}, {{/b/ after}} }}"), true);
            assert_eq!(table.lookup_now(&key), Lookup::Found("after".into()), "{rules}");
            let warnings = warnings.lock().unwrap();
            assert!(
                warnings.len() == 1 && warnings[0].ends_with(", line 1: match limit exceeded"),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn a_huge_line_is_skipped_and_named() {
        let path = std::env::temp_dir().join(format!("huge-rule-{}", std::process::id()));
        std::fs::write(&path, format!("/a/ one\n/{}/ x\n/b/ two\n", "c".repeat(2 << 20))).unwrap();
        for kind in ["regexp", "pcre", "cidr"] {
            let (table, warnings) = open(&format!("{kind}:{}", path.display()), true);
            assert_eq!(table.lookup_now("ccc"), Lookup::NotFound);
            let line = format!("{kind} map {}, line 2: expected at most 1048576 bytes", path.display());
            assert!(warnings.lock().unwrap().iter().any(|text| text.starts_with(&line)), "{kind}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_gigabyte_of_one_line_is_refused_by_its_size() {
        let path = std::env::temp_dir().join(format!("gigabyte-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        for kind in ["regexp", "pcre", "cidr"] {
            let spec = format!("{kind}:{}", path.display());
            let text = format!(
                "{spec}: cannot be read: expected at most 268435456 bytes of rules, found 1073741824"
            );
            let (table, warnings) = open(&spec, true);
            assert_eq!(*warnings.lock().unwrap(), std::slice::from_ref(&text));
            assert_eq!(table.lookup_now("a"), Lookup::TempFail(text));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn blocks_within_blocks_have_a_bound() {
        let rules = "{if /a/} ".repeat(1001);
        let error = Table::open(&format!("pcre:{{ {rules} }}"), &Settings::default()).unwrap_err();
        assert!(error.text.starts_with("line 1001: expected at most"), "{error}");
    }
}
