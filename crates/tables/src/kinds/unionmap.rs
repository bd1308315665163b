//! `unionmap:{ type:name, type:name }`: every table is asked, and what they find is joined by commas.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::several;
use crate::table::{Settings, Source, Table, TableError};

/// The kind `unionmap`.
pub const KIND: Kind = Kind { name: "unionmap", open };

struct UnionMap {
    tables: Vec<Table>,
    /// Whether keys are folded for all.
    folds: bool,
}

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let tables = several::open(name, spec, settings)?;
    Ok(Box::new(UnionMap { folds: several::fold(&tables, settings), tables }))
}

impl UnionMap {
    /// One table that fails makes the whole fail; empty results are left out.
    async fn find(&self, key: &str) -> Lookup {
        let mut found: Option<String> = None;
        for table in &self.tables {
            match table.ask(key).await {
                Lookup::NotFound => {}
                Lookup::Found(value) if value.is_empty() => {}
                Lookup::Found(value) => match &mut found {
                    None => found = Some(value),
                    Some(all) => {
                        all.push(',');
                        all.push_str(&value);
                    }
                },
                Lookup::TempFail(text) => return Lookup::TempFail(text),
            }
        }
        found.map_or(Lookup::NotFound, Lookup::Found)
    }
}

impl Source for UnionMap {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(self.find(key)))
    }

    fn ready(&self) -> Result<(), String> {
        several::ready(&self.tables)
    }

    fn folds(&self) -> bool {
        self.folds
    }

    fn takes_parts(&self) -> bool {
        several::take_parts(&self.tables)
    }
}
