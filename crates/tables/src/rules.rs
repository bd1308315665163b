//! Tables whose entries are rules tried in order (cidr, pcre, regexp): their lines, their blocks, and where they stand.
//!
//! Postfix: cidr_table(5), regexp_table(5), pcre_table(5). A file is read again when it changed; an inline form
//! `{ { rule }, { rule } }` stands for a file of these lines.

use crate::table::{Settings, TableError, Trust};
use crate::watched::{self, Watched};
use config::lines::{self, is_space};
use config::words;
use std::path::Path;
use std::sync::Arc;

/// Blocks within blocks; deeper is taken for a broken file, so that a table's size bounds the time it takes to build.
const BLOCK_DEPTH_MAX: usize = 1000;

/// Bytes of a table's text. It is in memory twice while the table is built; sixteen million networks fit in.
const TEXT_BYTES_MAX: u64 = 1 << 28;

/// Bytes of a rule; one that is longer is skipped with a warning. A pattern takes many times its length to compile.
const RULE_BYTES_MAX: usize = 1 << 20;

/// Takes what is odd about a line, with where it stands.
pub(crate) struct Odd<'a> {
    /// `cidr`, `pcre` or `regexp`.
    kind: &'static str,
    /// The file, or the inline form, as it was written.
    name: &'a str,
    settings: &'a Settings,
}

impl Odd<'_> {
    /// Warns as Postfix does: `cidr map /etc/postfix/net, line 3: no lookup result: skipping this rule`.
    pub(crate) fn at(&self, line: u32, text: &str) {
        self.bare(&format!("{} map {}, line {line}: {text}", self.kind, self.name));
    }

    /// Whether an answer may be made of the key.
    pub(crate) fn may_substitute(&self) -> bool {
        self.settings.trust == Trust::Any
    }

    /// Warns without a place; one with a place follows.
    pub(crate) fn bare(&self, text: &str) {
        (self.settings.warn)(&text.replace(char::is_control, "?"));
    }
}

/// A rule of some kind, or the start of a block of rules that hold only where a condition does.
pub(crate) enum Step<C, R> {
    /// Tried; where it fits it answers.
    Rule(R),
    /// `if CONDITION`: where it does not hold, the steps before `end` are passed over.
    Block { condition: C, end: usize },
}

/// What a line of a table is.
pub(crate) enum Line<C, R> {
    Rule(R),
    If(C),
    /// `endif`, with or without text behind it.
    End {
        extra: bool,
    },
    /// Nothing that counts; a warning has told so.
    Skipped,
}

/// The steps of a table, with the lines where each stands.
pub(crate) struct Steps<C, R>(pub(crate) Vec<Step<C, R>>);

/// What a kind of table makes of its text.
pub(crate) trait Rules: Sized + Send + Sync + 'static {
    /// The kind's name.
    const KIND: &'static str;
    /// How this kind tells of an `endif` that ends nothing.
    const STRAY_END: &'static str;
    /// How many rules a table may have; beyond it, the table cannot be used.
    const RULES_MAX: usize;
    type Condition;
    type Rule;

    /// Reads one logical line.
    fn line(text: &str, line: u32, odd: &Odd<'_>) -> Line<Self::Condition, Self::Rule>;

    /// Builds the table.
    fn build(steps: Steps<Self::Condition, Self::Rule>) -> Self;
}

/// The table of a text.
pub(crate) fn parse<T: Rules>(text: &str, name: &str, settings: &Settings) -> Result<T, String> {
    check_size(text.len() as u64)?;
    let odd = Odd { kind: T::KIND, name, settings };
    let read = lines::logical_lines(text);
    if let Some(stray) = stray(text) {
        odd.bare(&format!("{name}: logical line must not start with whitespace: \"{stray}\""));
    }
    let mut steps = Vec::new();
    let mut open: Vec<(usize, u32)> = Vec::new();
    for logical in &read.lines {
        let line = logical.line();
        if steps.len() >= T::RULES_MAX || open.len() >= BLOCK_DEPTH_MAX {
            return Err(format!(
                "line {line}: expected at most {} rules, and {BLOCK_DEPTH_MAX} blocks within each other",
                T::RULES_MAX
            ));
        }
        // Postfix's lines end at a NUL.
        let text = logical.text.split('\0').next().unwrap_or_default().trim_end_matches(is_space);
        if text.len() > RULE_BYTES_MAX {
            odd.at(
                line,
                &format!("expected at most {RULE_BYTES_MAX} bytes, found {}: skipping this rule", text.len()),
            );
            continue;
        }
        match T::line(text, line, &odd) {
            Line::Rule(rule) => steps.push(Step::Rule(rule)),
            Line::If(condition) => {
                open.push((steps.len(), line));
                steps.push(Step::Block { condition, end: 0 });
            }
            Line::End { extra } => match open.pop() {
                Some((start, _)) => {
                    if extra {
                        odd.at(line, "ignoring extra text after ENDIF");
                    }
                    close(&mut steps, start);
                }
                None => odd.at(line, T::STRAY_END),
            },
            Line::Skipped => {}
        }
    }
    while let Some((start, line)) = open.pop() {
        odd.at(line, "IF has no matching ENDIF");
        close(&mut steps, start);
    }
    Ok(T::build(Steps(steps)))
}

fn check_size(bytes: u64) -> Result<(), String> {
    match bytes > TEXT_BYTES_MAX {
        true => Err(format!("expected at most {TEXT_BYTES_MAX} bytes of rules, found {bytes}")),
        false => Ok(()),
    }
}

fn close<C, R>(steps: &mut [Step<C, R>], start: usize) {
    let after = steps.len();
    if let Some(Step::Block { end, .. }) = steps.get_mut(start) {
        *end = after;
    }
}

/// The lines that begin with white space before any other: they continue nothing. As Postfix shows them, joined and cut.
fn stray(text: &str) -> Option<String> {
    /// As much as Postfix shows.
    const SHOWN_MAX: usize = 30;
    let visible = |line: &&str| {
        let line = line.trim_start_matches(is_space);
        !line.is_empty() && !line.starts_with('#')
    };
    let first: Vec<&str> =
        text.split('\n').filter(visible).take_while(|line| line.starts_with(is_space)).collect();
    if first.is_empty() {
        return None;
    }
    let whole = first.concat();
    let shown: String = whole.chars().take(SHOWN_MAX).collect();
    Some(if shown.len() < whole.len() { shown + "..." } else { shown })
}

/// A table of a file, read again when that changes, or one written into the configuration.
pub(crate) enum Held<T> {
    File(Watched<Arc<T>>),
    Inline(Arc<T>),
}

impl<T: Rules> Held<T> {
    /// Opens what stands behind `cidr:`, `pcre:` or `regexp:`.
    pub(crate) fn open(name: &str, spec: &str, settings: &Settings) -> Result<Held<T>, TableError> {
        if name.is_empty() {
            let kind = T::KIND;
            return Err(TableError::new(
                spec,
                format!("expected a file name or `{{ {{ rule }} … }}` behind `{kind}:`"),
            ));
        }
        if name.starts_with('{') {
            let text = inline(name).map_err(|text| TableError::new(spec, text))?;
            let table = parse(&text, name, settings).map_err(|text| TableError::new(spec, text))?;
            return Ok(Held::Inline(Arc::new(table)));
        }
        let (shown, warn) = (name.to_owned(), settings.clone());
        let load = move |path: &Path| {
            // Before so much is read; what is no file, or is gone, is told by reading it.
            check_size(std::fs::metadata(path).map_or(0, |meta| meta.len()))?;
            let text = watched::text(path)?;
            parse(&text, &shown, &warn).map(Arc::new)
        };
        Ok(Held::File(Watched::open(settings.path(name), spec, settings, load)))
    }

    /// The table as it is now; the error says why there is none.
    pub(crate) fn get(&self) -> Result<Arc<T>, String> {
        match self {
            Held::File(file) => file.with(Arc::clone),
            Held::Inline(table) => Ok(table.clone()),
        }
    }
}

/// The text of an inline form: one line for each `{ rule }`.
fn inline(name: &str) -> Result<String, String> {
    let inner = match words::unbraced(name) {
        Some(inner) if !words::unbalanced(inner) => inner,
        _ => return Err("expected `{ { rule }, { rule } … }`, each `{` with its `}`".to_owned()),
    };
    let mut text = String::new();
    for (_, word) in words::words(inner, words::is_list_separator) {
        // `unbraced` would take the first and last brace of `{a}b{c}` for a pair.
        let rule = words::unbraced(word).filter(|rule| !words::unbalanced(rule));
        let Some(rule) = rule else { return Err(format!("expected `{{ rule }}`, found `{word}`")) };
        text.push_str(rule);
        text.push('\n');
    }
    Ok(text)
}
