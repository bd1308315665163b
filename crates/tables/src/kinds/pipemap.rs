//! `pipemap:{ type:name, type:name }`: the first table is asked for the key, each next one for what was found before.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::several;
use crate::table::{Settings, Source, Table, TableError};

/// The kind `pipemap`.
pub const KIND: Kind = Kind { name: "pipemap", open };

struct PipeMap(Vec<Table>);

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    Ok(Box::new(PipeMap(several::open(name, spec, settings)?)))
}

impl PipeMap {
    async fn find(&self, key: &str) -> Lookup {
        let mut value = key.to_owned();
        for table in &self.0 {
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
        several::ready(&self.0)
    }

    fn folds(&self) -> bool {
        several::folds(&self.0)
    }

    fn takes_parts(&self) -> bool {
        several::take_parts(&self.0)
    }
}
