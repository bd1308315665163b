//! Looks keys up, and lists all entries.

use super::{Call, Program, Stop, base64, build, formats, message, source, source_path};
use crate::index::{self, Format, Index, Opened};
use crate::{Entries, Lookup, Settings, Table, wait};
use std::io::Write;
use std::sync::{Arc, PoisonError};

/// An open table.
enum Asked {
    /// An index, whose bytes we want as they are.
    Index(String, Opened),
    /// Any other.
    Table(Table),
}

/// Tables that are opened when the first key comes to them, as in Postfix.
struct Tables<'a> {
    specs: &'a [String],
    open: Vec<Asked>,
}

impl Call<'_> {
    /// Prints the value of a key, or of those on standard input, from the first table that has it; whether there was one.
    pub(super) fn ask(&mut self, specs: &[String], key: &str) -> Result<bool, Stop> {
        let mut tables = Tables { specs, open: Vec::new() };
        if key != "-" {
            let Some(value) = self.value(&mut tables, key.as_bytes())? else { return Ok(false) };
            self.show(None, key.as_bytes(), &value)?;
            return Ok(true);
        }
        let mut found = false;
        if self.options.headers || self.options.body {
            for key in message::keys(self.streams.input, &self.options)? {
                found |= self.answer(&mut tables, &key)?;
            }
            return Ok(found);
        }
        let mut line = Vec::new();
        while self.streams.input.read_until(b'\n', &mut line)? > 0 {
            line.pop_if(|byte| *byte == b'\n');
            found |= self.answer(&mut tables, &line)?;
            line.clear();
        }
        Ok(found)
    }

    /// Prints a key with its value; whether there is one.
    fn answer(&mut self, tables: &mut Tables<'_>, key: &[u8]) -> Result<bool, Stop> {
        let Some(value) = self.value(tables, key)? else { return Ok(false) };
        self.show(Some(self.separator()), key, &value)?;
        Ok(true)
    }

    /// Prints all entries of the first table.
    pub(super) fn list(&mut self, tables: &[String]) -> Result<bool, Stop> {
        let table = self.open(&tables[0])?;
        let unsupported = |name: &str| format!("table {name}: sequence operation is not supported");
        let entries = match &table {
            Asked::Index(spec, opened) if opened.format == Format::Cdb => {
                return Err(unsupported(&format!("{spec}.cdb")).into());
            }
            Asked::Index(spec, opened) => all(&*opened.index)
                .map_err(|text| format!("table {spec}: query error: {}: {text}", opened.path.display()))?,
            Asked::Table(table) => match table.entries() {
                Some(entries) => entries?,
                None => return Err(unsupported(table.spec()).into()),
            },
        };
        for (key, value) in entries {
            let value = self.content(table.spec(), &table, value)?;
            self.show(Some(self.separator()), &key, &value)?;
        }
        Ok(true)
    }

    fn separator(&self) -> &'static str {
        match self.program {
            Program::Postmap => "\t",
            Program::Postalias => ":\t",
        }
    }

    fn show(&mut self, separator: Option<&str>, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        let out = &mut self.streams.out;
        if self.options.json {
            writeln!(out, "{{{}: {}}}", json(key), json(value))?;
            return Ok(());
        }
        if let Some(separator) = separator {
            out.write_all(key)?;
            out.write_all(separator.as_bytes())?;
        }
        out.write_all(value)?;
        out.write_all(b"\n")?;
        Ok(())
    }

    fn open(&mut self, spec: &str) -> Result<Asked, Stop> {
        let kept = self.told.clone();
        let warn: Arc<dyn Fn(&str) + Send + Sync> =
            Arc::new(move |text| kept.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned()));
        let settings = Settings { warn: warn.clone(), fold: self.options.fold, ..self.settings.clone() };
        let (kind, name) = spec.split_once(':').unwrap_or_default();
        let opened = match formats(kind) {
            Some(formats) => index::open_newest(&source_path(name), formats, &*warn)
                .map(|index| Asked::Index(spec.to_owned(), index)),
            None => Table::open(spec, &settings).map(Asked::Table).map_err(|error| error.to_string()),
        };
        self.show_told("");
        Ok(opened?)
    }

    /// Shows what tables warned of, but for a text that is shown otherwise.
    fn show_told(&mut self, otherwise: &str) {
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for text in told.into_iter().filter(|text| text != otherwise) {
            self.warn(text);
        }
    }

    /// The value of the first table that has the key.
    fn value(&mut self, tables: &mut Tables<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        for (at, spec) in tables.specs.iter().enumerate() {
            if tables.open.len() == at {
                tables.open.push(self.open(spec)?);
            }
            if let Some(value) = self.value_in(&tables.open[at], spec, key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn value_in(&mut self, table: &Asked, spec: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        const FOREIGN: &str = "malformed UTF-8 or invalid codepoint";
        if self.settings.utf8 && str::from_utf8(key).is_err() {
            self.warn(format!("{spec}: non-UTF-8 key \"{}\": {FOREIGN}", source::shown(key)));
            return Ok(None);
        }
        let failed = |text: &str| format!("table {spec}: query error: {text}");
        let found = match table {
            Asked::Index(_, opened) => opened
                .index
                .find(&self.key(key))
                .map_err(|text| failed(&format!("{}: {text}", opened.path.display())))?
                .map(without_zero),
            Asked::Table(table) => {
                let answer = wait(table.lookup(&String::from_utf8_lossy(key)));
                self.show_told(if let Lookup::TempFail(text) = &answer { text } else { "" });
                match answer {
                    Lookup::Found(value) => Some(value.into_bytes()),
                    Lookup::NotFound => None,
                    Lookup::TempFail(text) => return Err(failed(&text).into()),
                }
            }
        };
        let Some(value) = found else { return Ok(None) };
        if self.settings.utf8 && str::from_utf8(&value).is_err() {
            let (key, value) = (source::shown(key), source::shown(&value));
            self.warn(format!("{spec}: key \"{key}\": non-UTF-8 value \"{value}\": {FOREIGN}"));
            return Err(format!("table {spec}: query error").into());
        }
        if value.is_empty() {
            self.warn(format!(
                "table {spec}: key {}: empty string result is not allowed",
                source::shown(key)
            ));
            self.warn(format!("table {spec} should return NO RESULT in case of NOT FOUND"));
        }
        self.content(spec, table, value).map(Some)
    }

    /// With `-F` what a value stands for: the bytes behind base64, or the files that it names.
    fn content(&self, spec: &str, table: &Asked, value: Vec<u8>) -> Result<Vec<u8>, Stop> {
        if !self.options.files {
            return Ok(value);
        }
        Ok(match table {
            Asked::Index(..) => base64::decode(&value)
                .ok_or_else(|| format!("table {spec}: expected base64, found `{}`", source::shown(&value)))?,
            Asked::Table(_) => build::content_of(&String::from_utf8_lossy(&value))
                .map_err(|text| format!("table {spec}: {text}"))?,
        })
    }
}

impl Asked {
    fn spec(&self) -> &str {
        match self {
            Asked::Index(spec, _) => spec,
            Asked::Table(table) => table.spec(),
        }
    }
}

/// All entries, without zero bytes behind them.
fn all(index: &dyn Index) -> Result<Entries, String> {
    let mut all = Vec::new();
    index.each(&mut |key, value| {
        all.push((without_zero(key.to_vec()), without_zero(value.to_vec())));
        true
    })?;
    Ok(all)
}

fn without_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.pop_if(|byte| *byte == 0);
    bytes
}

/// A string of JSON.
fn json(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
