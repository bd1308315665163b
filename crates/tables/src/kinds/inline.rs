//! `inline:{ key=value, { key = value with blanks } }`: a table written into the configuration.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Entries, Settings, Source, TableError};
use config::lines::is_space;
use config::words::{self, is_list_separator};
use mail::fold;
use std::collections::HashMap;

/// The kind `inline`.
pub const KIND: Kind = Kind { name: "inline", open };

struct Inline(HashMap<String, String>);

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let wrong = |text: String| TableError::new(spec, text);
    let inner = match words::unbraced(name) {
        Some(inner) if !words::unbalanced(inner) => inner,
        _ => return Err(wrong("expected `inline:{ key=value, … }`".to_owned())),
    };
    let mut entries = HashMap::new();
    for (_, word) in words::words(inner, is_list_separator) {
        let pair = words::unbraced(word).unwrap_or(word);
        let Some((key, value)) = pair.split_once('=') else {
            return Err(wrong(format!("expected `key=value`, found `{word}`")));
        };
        let (key, value) = (key.trim_matches(is_space), value.trim_matches(is_space));
        if key.contains(is_space) {
            return Err(wrong(format!("expected a key without blanks, found `{key}`")));
        }
        if value.is_empty() {
            (settings.warn)(&format!(
                "{spec}: key `{key}`: expected a value, found nothing; the key is ignored"
            ));
            continue;
        }
        // Of two entries with one key the later counts, as in Postfix.
        let key = if settings.fold { fold(key, settings.utf8).into_owned() } else { key.to_owned() };
        entries.insert(key, value.to_owned());
    }
    if entries.is_empty() && inner.is_empty() {
        return Err(wrong("expected `inline:{ key=value, … }`, found an empty table".to_owned()));
    }
    Ok(Box::new(Inline(entries)))
}

impl Source for Inline {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        match self.0.get(key) {
            Some(value) => Lookup::Found(value.clone()),
            None => Lookup::NotFound,
        }
        .into()
    }

    fn entries(&self) -> Option<Result<Entries, String>> {
        Some(Ok(super::texthash::sorted(&self.0)))
    }
}
