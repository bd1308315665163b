//! `unionmap:{ type:name, type:name }`: every table is asked, and what they find is joined by commas.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::several;
use crate::table::Table;

/// The kind `unionmap`.
pub const KIND: Kind = Kind {
    name: "unionmap",
    open: |name, spec, settings| {
        several::source(name, spec, settings, |tables, key| {
            LookupFuture::Waiting(Box::pin(find(tables, key)))
        })
    },
};

/// One table that fails makes the whole fail; empty results are left out.
async fn find(tables: &[Table], key: &str) -> Lookup {
    let mut found: Option<String> = None;
    for table in tables {
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
