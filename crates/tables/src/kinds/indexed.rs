//! Tables that are looked up in an index file.

use crate::index::{self, Format, Opened};
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError};
use crate::watched::Watched;

/// Opens the table of a source file `name`, whose index has one of these formats.
pub(super) fn open(
    name: &str,
    spec: &str,
    settings: &Settings,
    formats: &'static [Format],
) -> Result<Box<dyn Source>, TableError> {
    if name.is_empty() {
        return Err(TableError::new(spec, "expected a file name behind the type"));
    }
    let source = settings.path(name);
    let paths = formats.iter().map(|format| format.path(&source)).collect();
    let (owner, warn) = (spec.to_owned(), settings.warn.clone());
    let load = move || index::open_newest(&source, formats, &|text| warn(&format!("{owner}: {text}")));
    let watched = Watched::open_any(paths, spec, settings, load);
    Ok(Box::new(Indexed { watched, spec: spec.to_owned() }))
}

struct Indexed {
    watched: Watched<Opened>,
    spec: String,
}

impl Source for Indexed {
    fn ready(&self) -> Result<(), String> {
        self.watched.with(|_| ())
    }

    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        let found = self.watched.with(|opened| {
            index::find(&*opened.index, key)
                .map_err(|text| format!("{}: {}: {text}", self.spec, opened.path.display()))
        });
        match found.and_then(|found| found) {
            Ok(Some(value)) => Lookup::Found(value),
            Ok(None) => Lookup::NotFound,
            Err(text) => Lookup::TempFail(text),
        }
        .into()
    }
}
