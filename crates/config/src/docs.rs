//! docs/parameters.md: every parameter with what becomes of it, written from the entries themselves.

use crate::known::{self, Default, State};
use crate::parameters::{self, Parameter};
use std::fmt::Write;

/// The text of docs/parameters.md.
pub fn parameters_page() -> String {
    let mut page = HEAD.to_owned();
    let mut seen: Vec<&str> = Vec::new();
    page.push_str("## Honoured\n");
    for (view, list) in parameters::VIEWS {
        let _ = write!(page, "\n### {view}\n\n| parameter | type | default | meaning |\n|---|---|---|---|\n");
        for parameter in list.iter() {
            let honoured = known_of(parameter).is_none_or(|k| k.state == State::Honoured);
            if honoured && !seen.contains(&parameter.name) {
                seen.push(parameter.name);
                page.push_str(&row(parameter));
            }
        }
    }
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
    page
}

const HEAD: &str = "\
# Parameters

What becomes of each parameter of Postfix 3.12 in main.cf and in `-o` settings of master.cf. Written from the entries
in `crates/config/src/parameters/` and from `crates/config/src/known.tsv`; a test compares.
`UPDATE=1 cargo test -p config --test docs` writes it anew.

";

const DANGEROUS: &str = "\
Without them mail would go elsewhere, in clear, unauthenticated or unchecked. Set off their default they stop `start`
and `check`, unless `posthaste_accept_missing` names them.";

const LATER: &str = "They may be set; `start` and `check` warn.";

const NONE: &str = "They may be set and change nothing.";

fn row(parameter: &Parameter) -> String {
    let name = if parameter.family {
        format!("_transport_\\_{}", parameter.name)
    } else {
        parameter.name.to_owned()
    };
    let (kind, meaning) = (parameter.kind, parameter.meaning());
    let limits = parameter.limits();
    let range = match (limits.min, limits.max) {
        (None, None) => String::new(),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (Some(min), Some(max)) => format!(", {min} to {max}"),
    };
    let choice = match limits.one_of {
        [] => String::new(),
        words => {
            format!(": {}", words.iter().filter(|w| !w.is_empty()).copied().collect::<Vec<_>>().join(", "))
        }
    };
    let default = default_text(parameter.name, parameter.default);
    format!("| {name} | {kind}{range}{choice} | {default} | {} |\n", escape(&meaning))
}

fn default_text(name: &str, default: &str) -> String {
    match known::find(name).map(|k| k.default) {
        Some(Default::Computed) => "(from the host)".to_owned(),
        _ if default.is_empty() => String::new(),
        _ => format!("`{}`", escape(default)),
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What the list says of a parameter; of a family under the manuals' name `transport_<suffix>`.
fn known_of(parameter: &Parameter) -> Option<known::Known> {
    match parameter.family {
        true => known::find(&format!("transport_{}", parameter.name)),
        false => known::find(parameter.name),
    }
}

/// Parameters whose state has a text, grouped by the text.
fn section(page: &mut String, title: &str, text: &str, of: impl Fn(State) -> Option<&'static str>) {
    let _ = write!(page, "\n## {title}\n\n{text}\n");
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for known in known::all() {
        let Some(reason) = of(known.state) else { continue };
        match groups.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, names)) => names.push(known.name),
            None => groups.push((reason, vec![known.name])),
        }
    }
    for (reason, names) in groups {
        let _ = write!(page, "\n- {reason}: {}\n", names.join(", "));
    }
}
