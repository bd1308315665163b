//! `debug:type:name`: another table, each of whose answers is logged.

use super::{Kind, open_inner};
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError};

/// The kind `debug`.
pub const KIND: Kind = Kind { name: "debug", open };

struct Debug {
    inner: Box<dyn Source>,
    spec: String,
    settings: Settings,
}

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let inner = open_inner(name, spec, settings)?;
    Ok(Box::new(Debug { inner, spec: name.to_owned(), settings: settings.clone() }))
}

impl Debug {
    async fn find(&self, key: &str) -> Lookup {
        let answer = self.inner.lookup(key).await;
        let shown = match &answer {
            Lookup::Found(value) => format!("\"{value}\""),
            Lookup::NotFound => "not found".to_owned(),
            Lookup::TempFail(text) => format!("error: {text}"),
        };
        (self.settings.note)(&format!("{}: lookup: \"{key}\" = {shown}", self.spec));
        answer
    }
}

impl Source for Debug {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(self.find(key)))
    }

    fn ready(&self) -> Result<(), String> {
        self.inner.ready()
    }

    fn folds(&self) -> bool {
        self.inner.folds()
    }

    fn takes_parts(&self) -> bool {
        self.inner.takes_parts()
    }
}
