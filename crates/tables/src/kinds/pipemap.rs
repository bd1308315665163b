//! `pipemap:{ type:name, type:name }`: the first table is asked for the key, each next one for what was found before.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::several;
use crate::table::{Settings, Source, Table, TableError};

/// The kind `pipemap`.
pub const KIND: Kind = Kind { name: "pipemap", open };

struct PipeMap {
    tables: Vec<Table>,
    /// Whether keys are folded for all.
    folds: bool,
}

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let tables = several::open(name, spec, settings)?;
    Ok(Box::new(PipeMap { folds: several::fold(&tables, settings), tables }))
}

impl PipeMap {
    async fn find(&self, key: &str) -> Lookup {
        let mut value = key.to_owned();
        for table in &self.tables {
            match table.ask(&value).await {
                Lookup::Found(next) => value = next,
                other => return other,
            }
        }
        Lookup::Found(value)
    }
}

impl Source for PipeMap {
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
