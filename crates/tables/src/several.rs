//! Tables made of other tables: `unionmap:{ … }`, `pipemap:{ … }`.

use crate::lookup::LookupFuture;
use crate::table::{Settings, Source, Table, TableError};
use config::words::{self, is_list_separator};

/// What the tables find together.
pub(crate) type Find = for<'a> fn(tables: &'a [Table], key: &'a str) -> LookupFuture<'a>;

struct Several {
    tables: Vec<Table>,
    /// Whether keys are folded for all.
    folds: bool,
    find: Find,
}

/// A table of the tables of `{ type:name, type:name }`, which are asked by `find`.
pub(crate) fn source(
    name: &str,
    spec: &str,
    settings: &Settings,
    find: Find,
) -> Result<Box<dyn Source>, TableError> {
    let tables = open(name, spec, settings)?;
    // So that those that follow get the same key: as in Postfix, where the first table wants it and keys are UTF-8;
    // otherwise each table folds for itself.
    let folds = settings.utf8 && tables.first().is_none_or(Table::folds);
    Ok(Box::new(Several { tables, folds, find }))
}

impl Source for Several {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        (self.find)(&self.tables, key)
    }

    fn ready(&self) -> Result<(), String> {
        self.tables.iter().try_for_each(Table::ready)
    }

    fn folds(&self) -> bool {
        self.folds
    }

    // The first table decides, as in Postfix.
    fn takes_parts(&self) -> bool {
        self.tables.first().is_none_or(Table::takes_parts)
    }
}

/// Opens the tables; there is at least one.
fn open(name: &str, spec: &str, settings: &Settings) -> Result<Vec<Table>, TableError> {
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
