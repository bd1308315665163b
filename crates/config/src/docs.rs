//! docs/parameters.md: every parameter with what becomes of it, written from the entries themselves.

use crate::honoured;
use crate::known::{self, Default, Known, State};
use crate::parameters::{self, Parameter};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The text of docs/parameters.md; the error names each parameter that is called honoured without a test.
pub fn parameters_page() -> Result<String, String> {
    let mut page = HEAD.to_owned();
    let mut unproven = Vec::new();
    let mut left: BTreeSet<&str> =
        known::all().filter(|k| k.state == State::Honoured).map(|k| k.name).collect();
    page.push_str("## Honoured\n");
    for (view, list) in parameters::VIEWS {
        let mut rows: Vec<Row> = Vec::new();
        for parameter in list.iter() {
            let own = Row::of_own(parameter).filter(|row| !page.contains(&format!("\n| {} |", row.name)));
            rows.extend(own);
            let name = parameter.listed_name();
            rows.extend(left.take(name.as_str()).and_then(known::find).map(Row::of));
        }
        honoured_section(&mut page, view, &rows, &mut unproven);
    }
    let (families, others): (Vec<Known>, Vec<Known>) =
        left.into_iter().filter_map(known::find).partition(|k| parameters::find(k.name).is_some());
    let rows = |list: Vec<Known>| list.into_iter().map(Row::of).collect::<Vec<_>>();
    honoured_section(&mut page, "Queue manager, single transports", &rows(families), &mut unproven);
    honoured_section(
        &mut page,
        "In the defaults of others, or read by their name alone",
        &rows(others),
        &mut unproven,
    );
    section(&mut page, "Not honoured yet, and dangerous to ignore", DANGEROUS, |state| match state {
        State::Dangerous(text) => Some(text),
        _ => None,
    });
    section(&mut page, "Not honoured yet", LATER, |state| match state {
        State::Later(text) => Some(text),
        _ => None,
    });
    section(&mut page, "Without meaning here", NONE, |state| match state {
        State::NoMeaning(text) => Some(text),
        _ => None,
    });
    match unproven.as_slice() {
        [] => Ok(page),
        names => Err(format!(
            "called honoured without a test in crates/config/src/honoured.tsv: {}",
            names.join(", ")
        )),
    }
}

const HEAD: &str = "\
# Parameters

What becomes of each parameter of Postfix 3.12 in main.cf and in `-o` settings of master.cf. Written from the entries
in `crates/config/src/parameters/` and from `known.tsv` and `honoured.tsv` beside them; a test compares.
`UPDATE=1 cargo test -p config --test docs` writes it anew.

*Honoured* is what a test proves that sets the parameter off its default and fails without the code: `FILE/CASE` is
one of `tests/compat/cases`, `CRATE PATH` a Rust test. `cargo test -p compat --test compat -- --prove` runs each of
them once more with its parameter forgotten, and demands that it fails. Parameters that Postfix warns of as outdated
name what to use instead.

";

const DANGEROUS: &str = "\
Without them mail would go elsewhere, in clear, unauthenticated or unchecked. Set off their default they stop `start`
and `check`, unless `posthaste_accept_missing` names them.";

const LATER: &str = "They may be set; `start`, `reload` and `check` warn.";

const NONE: &str = "They may be set and change nothing.";

/// One line of a table.
struct Row {
    name: String,
    kind: String,
    default: String,
    meaning: String,
}

impl Row {
    fn of(known: Known) -> Row {
        let default = match known.default {
            Default::Computed => "(from the host)".to_owned(),
            Default::None => "(none)".to_owned(),
            Default::Text("") => String::new(),
            Default::Text(text) => code(text),
        };
        let mut meaning = known.meaning();
        match known.instead {
            "" => {}
            "(empty)" => meaning.push_str(" Outdated: leave it out."),
            other => {
                let _ = write!(meaning, " Outdated: use {other}.");
            }
        }
        Row { name: known.name.to_owned(), kind: known.kind(), default, meaning }
    }

    /// The row of a parameter that Postfix does not know.
    fn of_own(parameter: &Parameter) -> Option<Row> {
        if known::find(&parameter.listed_name()).is_some() {
            return None;
        }
        let default = if parameter.default.is_empty() { String::new() } else { code(parameter.default) };
        let (kind, meaning) = (parameter.kind_and_limits(), parameter.meaning());
        Some(Row { name: parameter.name.to_owned(), kind, default, meaning })
    }

    fn with(&self, last: &str) -> String {
        let cells = [&self.name, &self.kind, &self.default, &self.meaning].map(|cell| escape(cell));
        format!("| {} | {last} |\n", cells.join(" | "))
    }
}

/// Text in back quotes, which double where it holds some.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

fn honoured_section(page: &mut String, title: &str, rows: &[Row], unproven: &mut Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "\n### {title}\n\n| parameter | type | default | meaning | test |\n|---|---|---|---|---|\n"
    );
    for row in rows {
        match honoured::test_of(&row.name) {
            Some(test) => page.push_str(&row.with(test.strip_prefix("compat ").unwrap_or(test))),
            None => unproven.push(row.name.clone()),
        }
    }
}

/// Parameters whose state has a text.
fn section(page: &mut String, title: &str, text: &str, of: impl Fn(State) -> Option<&'static str>) {
    let head = "| parameter | type | default | meaning | why |\n|---|---|---|---|---|\n";
    let _ = write!(page, "\n## {title}\n\n{text}\n\n{head}");
    for known in known::all() {
        if let Some(reason) = of(known.state) {
            page.push_str(&Row::of(known).with(reason));
        }
    }
}
