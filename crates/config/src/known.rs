//! Every parameter of Postfix 3.12: its default, its type and meaning, and what becomes of it here.
//!
//! known.tsv holds name, default, state, values that do no harm, what the administrator is told, type, meaning, and
//! what to use in place of an outdated parameter. The default is `(none)` where only a service or an administrator
//! gives one, `(computed)` where the host does. The state is empty for parameters that the code honours. Type and
//! meaning are empty where the entry of a view says them; a type `= NAME` is that of another parameter, which the
//! meaning then only adds to.

use crate::parameters;
use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("known.tsv");

/// One parameter that Postfix knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub name: &'static str,
    /// What it is where nobody sets it.
    pub default: Default,
    /// What becomes of it here.
    pub state: State,
    /// Values that may be set without harm although nothing honours the parameter, divided by `;`.
    harmless: &'static str,
    /// The parameter to use in its place, `(empty)` where none should be; empty where Postfix does not warn of its use
    /// (DEPRECATION_README of Postfix 3.11).
    pub instead: &'static str,
    kind: &'static str,
    meaning: &'static str,
}

/// The default of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This text, unexpanded.
    Text(&'static str),
    /// Worked out from the host or the process.
    Computed,
    /// Undefined.
    None,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A typed view reads it.
    Honoured,
    /// It controls something that does not exist here; the text says what.
    NoMeaning(&'static str),
    /// Nothing reads it yet; the text says what it comes with.
    Later(&'static str),
    /// Nothing reads it yet, and mail would go elsewhere, in clear, unauthenticated or unchecked without it; the
    /// text says what to do.
    Dangerous(&'static str),
}

impl Known {
    /// Whether `value`, expanded, changes nothing although nothing honours the parameter.
    pub fn is_harmless(&self, value: &str) -> bool {
        self.harmless.split(';').any(|harmless| harmless == value)
    }

    /// The type's name with its limits.
    pub fn kind(&self) -> String {
        match (parameters::find(self.name), self.like()) {
            (Some(parameter), _) => parameter.kind_and_limits(),
            (None, Some(other)) => other.kind(),
            (None, None) => self.kind.to_owned(),
        }
    }

    /// What it does, in one sentence.
    pub fn meaning(&self) -> String {
        match (parameters::find(self.name), self.like()) {
            (Some(parameter), _) => parameter.meaning(),
            (None, Some(other)) => format!("As {}, {}.", other.name, self.meaning),
            (None, None) => self.meaning.to_owned(),
        }
    }

    /// The parameter that this one is like, by the list.
    fn like(&self) -> Option<Known> {
        find(self.kind.strip_prefix("= ")?)
    }
}

static KNOWN: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| all().map(|k| (k.name, k)).collect());

/// All parameters, sorted by name.
pub fn all() -> impl Iterator<Item = Known> {
    TABLE.lines().map(|line| {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (name, default, state, harmless, text) = (column(), column(), column(), column(), column());
        let (kind, meaning, instead) = (column(), column(), column());
        let default = match default {
            "(none)" => Default::None,
            "(computed)" => Default::Computed,
            text => Default::Text(text),
        };
        let state = match state {
            "none" => State::NoMeaning(text),
            "later" => State::Later(text),
            "danger" => State::Dangerous(text),
            _ => State::Honoured,
        };
        Known { name, default, state, harmless, instead, kind, meaning }
    })
}

/// The parameter of this name.
pub fn find(name: &str) -> Option<Known> {
    KNOWN.get(name).copied()
}

/// What follows the transport's name where `name` is one that the manuals write as `transport_<suffix>`.
pub fn family_suffix(name: &str) -> Option<&str> {
    let suffix = name.strip_prefix("transport_")?;
    find(name).filter(|known| known.default == Default::None).map(|_| suffix)
}

/// Names of our own parameters, which Postfix does not know, sorted.
pub fn own() -> Vec<&'static str> {
    let all = parameters::VIEWS.iter().flat_map(|(_, list)| *list).filter(|p| !p.family);
    let mut own: Vec<&str> = all.map(|p| p.name).filter(|name| find(name).is_none()).collect();
    own.sort_unstable();
    own.dedup();
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_postfix_is_listed_once_in_order() {
        let names: Vec<&str> = all().map(|k| k.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert_eq!(names.len(), 961);
    }

    #[test]
    fn what_is_called_honoured_has_a_test_and_the_rest_a_reason() {
        for known in all() {
            match known.state {
                State::Honoured => {
                    let proved = crate::honoured::test_of(known.name).is_some();
                    assert!(proved, "{} needs a test in honoured.tsv", known.name)
                }
                State::NoMeaning(text) | State::Later(text) | State::Dangerous(text) => {
                    assert!(!text.is_empty(), "{} needs a reason", known.name)
                }
            }
        }
    }

    #[test]
    fn each_parameter_has_a_type_and_a_sentence_said_once() {
        for known in all() {
            let has_entry = parameters::find(known.name).is_some();
            assert_eq!(
                known.kind.is_empty(),
                has_entry,
                "{}: the type stands in the view or in the list",
                known.name
            );
            assert_eq!(known.meaning.is_empty(), has_entry, "{}: so does the meaning", known.name);
            if known.kind.starts_with("= ") {
                assert!(known.like().is_some(), "{}: {} is no parameter", known.name, known.kind);
            } else if !has_entry {
                let of = |list: &str| known.kind.starts_with(list) && known.kind.len() > list.len();
                let is_type = TYPES.contains(&known.kind) || of("one of ") || of("list of ");
                assert!(is_type, "{}: `{}` is no type", known.name, known.kind);
            }
            let meaning = known.meaning();
            assert!(
                meaning.ends_with('.') && !meaning.contains(". "),
                "{}: expected one sentence, found `{meaning}`",
                known.name
            );
        }
    }

    /// Types of parameters that no view reads.
    const TYPES: [&str; 15] = [
        "yes or no",
        "number",
        "number, 400 to 599",
        "bytes",
        "time",
        "text",
        "list",
        "lookup tables",
        "restrictions",
        "command",
        "path",
        "address",
        "domain",
        "transport",
        "protocols",
    ];

    #[test]
    fn what_takes_an_outdated_parameters_place_is_known_and_not_outdated_itself() {
        for known in all().filter(|k| !["", "(empty)"].contains(&k.instead)) {
            let other = find(known.instead).unwrap_or_else(|| panic!("{}: {}?", known.name, known.instead));
            assert_eq!(other.instead, "", "{}", known.name);
        }
    }

    #[test]
    fn entries_of_views_have_postfix_defaults() {
        for parameter in parameters::VIEWS.iter().flat_map(|(_, list)| *list).filter(|p| !p.family) {
            if let Some(Known { default: Default::Text(text), .. }) = find(parameter.name) {
                assert_eq!(parameter.default, text, "{}", parameter.name);
            }
        }
    }

    #[test]
    fn our_own_parameters_say_so_in_their_names() {
        for name in own() {
            assert!(name == "dns_nameservers" || name.starts_with("posthaste_"), "{name}");
        }
    }
}
