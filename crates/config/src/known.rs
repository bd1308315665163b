//! Every parameter of Postfix 3.12, with its default.

use std::collections::HashMap;
use std::sync::LazyLock;

/// name, default; `(none)` where only a service or an administrator gives a value, `(computed)` where the host does.
const TABLE: &str = include_str!("known.tsv");

/// One parameter that Postfix knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub name: &'static str,
    /// The unexpanded default of Postfix 3.12.
    pub default: Default,
}

/// What a parameter is where nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This text, unexpanded.
    Text(&'static str),
    /// Worked out from the host or the process.
    Computed,
    /// Undefined.
    None,
}

static KNOWN: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| all().map(|k| (k.name, k)).collect());

/// All parameters, sorted by name.
pub fn all() -> impl Iterator<Item = Known> {
    TABLE.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, default) = (columns.next()?, columns.next()?);
        let default = match default {
            "(none)" => Default::None,
            "(computed)" => Default::Computed,
            text => Default::Text(text),
        };
        Some(Known { name, default })
    })
}

/// The parameter of this name.
pub fn find(name: &str) -> Option<Known> {
    KNOWN.get(name).copied()
}
