//! Tables made of other tables: `unionmap:{ … }`, `pipemap:{ … }`.

use crate::table::{Settings, Table, TableError};
use config::words::{self, is_list_separator};

/// Opens the tables of `{ type:name, type:name }`; there is at least one.
pub(crate) fn open(name: &str, spec: &str, settings: &Settings) -> Result<Vec<Table>, TableError> {
    let inner = match words::unbraced(name) {
        Some(inner) if !words::unbalanced(inner) => inner,
        _ => "",
    };
    let mut tables = Vec::new();
    for (_, word) in words::words(inner, is_list_separator) {
        let table = Table::open(word, settings).map_err(|error| TableError::new(spec, error.to_string()))?;
        tables.push(table);
    }
    if tables.is_empty() {
        let kind = spec.split_once(name).map_or(spec, |(kind, _)| kind);
        return Err(TableError::new(spec, format!("expected `{kind}{{ type:name, … }}`")));
    }
    Ok(tables)
}

/// Whether keys are folded before the first table is asked, so that those that follow get the same key: as in Postfix,
/// where the first table wants it and keys are UTF-8; otherwise each table folds for itself.
pub(crate) fn fold(tables: &[Table], settings: &Settings) -> bool {
    settings.utf8 && tables.first().is_none_or(Table::folds)
}

/// Whether parts of an address may be looked up; the first table decides, as in Postfix.
pub(crate) fn take_parts(tables: &[Table]) -> bool {
    tables.first().is_none_or(Table::takes_parts)
}

/// Whether all can answer as things stand.
pub(crate) fn ready(tables: &[Table]) -> Result<(), String> {
    tables.iter().try_for_each(Table::ready)
}
