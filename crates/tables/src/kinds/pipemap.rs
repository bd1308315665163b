//! `pipemap:{ type:name, type:name }`: the first table is asked for the key, each next one for what was found before.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::several;
use crate::table::Table;

/// The kind `pipemap`.
pub const KIND: Kind = Kind {
    name: "pipemap",
    open: |name, spec, settings| {
        several::source(name, spec, settings, |tables, key| {
            LookupFuture::Waiting(Box::pin(find(tables, key)))
        })
    },
};

async fn find(tables: &[Table], key: &str) -> Lookup {
    let mut value = key.to_owned();
    for table in tables {
        match table.ask(&value).await {
            Lookup::Found(next) => value = next,
            other => return other,
        }
    }
    Lookup::Found(value)
}
