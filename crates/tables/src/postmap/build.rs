//! Makes indexes of source files, adds and deletes entries; each time the whole file is written anew beside the old one
//! and takes its place.

use super::options::Duplicates;
use super::source::{self, Text};
use super::{Call, Program, Stop, aliases, base64, formats, os_text, source_path};
use crate::entries::{Line, lines};
use crate::index::{self, Format};
use mail::fold;
use rustix::fs::{FlockOperation, flock};
use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of an index whose source gives no less.
const MODE: u32 = 0o644;
/// How Postfix says that a constant database is never changed.
const CDB_IS_CONSTANT: &str = "dict_cdb_open: inappropriate open flags for cdb database - \
                               specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC";

/// The entries of an index that is being made, in the order in which they came.
#[derive(Default)]
struct Entries {
    list: Vec<Option<Entry>>,
    places: HashMap<Vec<u8>, usize>,
}

struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
    /// Where in the source it stands; 0 for one that was there before.
    line: u32,
}

impl Entries {
    fn get(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.places.get(key).and_then(|&place| self.list[place].as_mut())
    }

    fn push(&mut self, entry: Entry) {
        self.places.insert(entry.key.clone(), self.list.len());
        self.list.push(Some(entry));
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        self.places.remove(key).is_some_and(|place| self.list[place].take().is_some())
    }
}

/// Where the entries come from, for messages.
struct Origin<'a> {
    name: &'a str,
    line: u32,
}

impl Call<'_> {
    /// Makes the index of one table, or adds to it.
    pub(super) fn build(&mut self, spec: &str) -> Result<(), Stop> {
        let (kind, name) = spec.split_once(':').unwrap_or_default();
        let source = source_path(name);
        let mut opened = None;
        if !self.options.incremental {
            let file = File::open(&source).map_err(|error| format!("open {name}: {}", os_text(&error)))?;
            let meta = file.metadata().map_err(|error| format!("open {name}: {}", os_text(&error)))?;
            opened = Some((file, meta));
        }
        let Some(formats) = formats(kind) else {
            return Err(
                format!("unsupported dictionary type: {kind} does not support bulk-mode creation.").into()
            );
        };
        let format = *formats.last().expect("each kind with an index has a format");
        let target = format.path(&source);
        let utf8 = self.settings.utf8;
        match opened {
            Some((mut file, meta)) => {
                // Its owner can always read and write it.
                let mode = self.options.keep_mode.then(|| (meta.mode() | 0o600) & MODE);
                let rights = if self.options.as_owner { Rights::of(&meta)? } else { Rights::own() };
                let text = source::read(&mut file, name, utf8)?;
                let mut entries = Entries::default();
                self.take(&mut entries, text, name);
                self.write(format, &target, entries, mode)?;
                drop(rights);
            }
            None => {
                let (mut entries, rights, mode) = self.existing(formats, &source)?;
                let text = source::read(&mut &mut *self.streams.input, "stdin", utf8)?;
                self.take(&mut entries, text, "stdin");
                self.write(format, &target, entries, mode)?;
                drop(rights);
            }
        }
        Ok(())
    }

    /// Deletes a key, or those on standard input, in all tables; whether one was there.
    pub(super) fn delete(&mut self, tables: &[String], key: &str) -> Result<bool, Stop> {
        let mut keys = vec![key.as_bytes().to_vec()];
        if key == "-" {
            keys.clear();
            let mut line = Vec::new();
            while self.streams.input.read_until(b'\n', &mut line)? > 0 {
                line.pop_if(|byte| *byte == b'\n');
                keys.push(std::mem::take(&mut line));
            }
        }
        let mut found = false;
        for spec in tables {
            let (kind, name) = spec.split_once(':').unwrap_or_default();
            let Some(formats) = formats(kind) else {
                return Err(match kind {
                    "static" => format!("table {spec}: delete operation is not supported"),
                    _ => format!("{spec} map requires O_RDONLY access mode"),
                }
                .into());
            };
            let source = source_path(name);
            // A missing index is an error here, other than for `-i`.
            index::open_newest(&source, formats, &|_| {})?;
            let (mut entries, rights, mode) = self.existing(formats, &source)?;
            let mut here = false;
            for key in &keys {
                here |= entries.remove(&self.key(key));
            }
            if here {
                let format = *formats.last().expect("each kind with an index has a format");
                self.write(format, &format.path(&source), entries, mode)?;
            }
            drop(rights);
            found |= here;
        }
        Ok(found)
    }

    /// What an index holds now, the rights of its owner and its mode; nothing at all where there is none.
    fn existing(
        &mut self,
        formats: &[Format],
        source: &Path,
    ) -> Result<(Entries, Rights, Option<u32>), Stop> {
        if formats == [Format::Cdb] {
            return Err(CDB_IS_CONSTANT.to_owned().into());
        }
        let mut entries = Entries::default();
        if formats.iter().all(|format| !format.path(source).exists()) {
            return Ok((entries, Rights::own(), None));
        }
        let opened = index::open_newest(source, formats, &|_| {})?;
        let meta = std::fs::metadata(&opened.path);
        let meta = meta.map_err(|error| format!("open {}: {}", opened.path.display(), os_text(&error)))?;
        let whole = |mut bytes: Vec<u8>| {
            bytes.pop_if(|byte| *byte == 0);
            bytes
        };
        let read = opened.index.each(&mut |key, value| {
            entries.push(Entry { key: whole(key.to_vec()), value: whole(value.to_vec()), line: 0 });
            true
        });
        read.map_err(|text| format!("open database {}: {text}", opened.path.display()))?;
        Ok((entries, Rights::of(&meta)?, Some(meta.mode() & 0o777)))
    }

    /// Takes the entries of a source text, with Postfix's warnings.
    fn take(&mut self, entries: &mut Entries, text: Text, name: &str) {
        let mut foreign = VecDeque::new();
        let text = text.without_foreign(|line, shown| foreign.push_back((line, shown.to_owned())));
        let mut told = |call: &mut Self, before: u32| {
            while foreign.front().is_some_and(|(line, _)| *line < before) {
                let Some((line, shown)) = foreign.pop_front() else { break };
                call.warn(format!("{name}, line {line}: non-UTF-8 input \"{shown}\" -- ignoring this line"));
            }
        };
        match self.program {
            Program::Postmap => lines(&text, |line, content| {
                told(self, line);
                self.take_line(entries, &Origin { name, line }, content);
            }),
            Program::Postalias => aliases::lines(&text, |line, alias| {
                told(self, line);
                self.take_alias(entries, &Origin { name, line }, alias);
            }),
        }
        told(self, u32::MAX);
        if self.program == Program::Postalias {
            for (key, value) in self.alias_marks() {
                entries.remove(key.as_bytes());
                entries.push(Entry { key: key.into(), value: value.into(), line: 0 });
            }
        }
    }

    fn take_line(&mut self, entries: &mut Entries, origin: &Origin<'_>, line: Line<'_>) {
        let at = format!("{}, line {}", origin.name, origin.line);
        let shown = |text: &str| source::printable(text, self.settings.utf8);
        let (key, value) = match line {
            Line::Entry(key, value) => (key, value),
            Line::AliasLike(key, value) => {
                self.warn(format!("{at}: record is in \"key: value\" format; is this an alias file?"));
                (key, value)
            }
            Line::Alone(_) => return self.warn(format!("{at}: expected format: key whitespace value")),
            Line::Unbalanced(text) => {
                let text = shown(text);
                return self.warn(format!("{at}: unbalanced '\"' in '{text}' -- ignoring this line"));
            }
            Line::Stray(text) => {
                let text = shown(text);
                return self.warn(format!("{at}: logical line must not start with whitespace: \"{text}\""));
            }
        };
        match self.options.files {
            false => self.add(entries, origin, key, value),
            true => match content_of(value) {
                Ok(content) => self.add(entries, origin, key, &base64::encode(&content)),
                Err(text) => self.warn(format!("{at}: {text}: skipping this entry")),
            },
        }
    }

    fn take_alias(&mut self, entries: &mut Entries, origin: &Origin<'_>, alias: aliases::Line) {
        let at = format!("{}, line {}", origin.name, origin.line);
        match alias {
            aliases::Line::Entry(key, value) => self.add(entries, origin, &key, &value),
            aliases::Line::NoPair => self.warn(format!("{at}: need name:value pair")),
            aliases::Line::NotLocal => self.warn(format!("{at}: name must be local")),
            aliases::Line::Stray(text) => {
                let text = source::printable(&text, self.settings.utf8);
                self.warn(format!("{at}: logical line must not start with whitespace: \"{text}\""));
            }
        }
    }

    fn add(&mut self, entries: &mut Entries, origin: &Origin<'_>, key: &str, value: &str) {
        let (utf8, line) = (self.settings.utf8, origin.line);
        let key = self.key(&source::bytes(key, utf8));
        let value = source::bytes(value, utf8);
        match (entries.get(&key), self.options.duplicates) {
            (None, _) => entries.push(Entry { key, value, line }),
            (Some(entry), Duplicates::Replace) => {
                entry.value = value;
                entry.line = line;
            }
            (Some(_), Duplicates::Ignore) => {}
            (Some(entry), Duplicates::Warn) => {
                let first = match entry.line {
                    0 => String::new(),
                    first => format!(", first on line {first}"),
                };
                let key = source::shown(&key);
                self.warn(format!("{}, line {line}: duplicate entry: \"{key}\"{first}", origin.name));
            }
        }
    }

    /// A key as it is stored and looked up.
    pub(super) fn key(&self, key: &[u8]) -> Vec<u8> {
        match (self.options.fold, str::from_utf8(key)) {
            (false, _) => key.to_vec(),
            (true, Ok(text)) => fold(text, self.settings.utf8).into_owned().into_bytes(),
            (true, Err(_)) => key.to_ascii_lowercase(),
        }
    }

    fn write(&self, format: Format, path: &Path, entries: Entries, mode: Option<u32>) -> Result<(), Stop> {
        let zero = self.options.zero.unwrap_or(format == Format::Lmdb);
        let mut list: Vec<Entry> = entries.list.into_iter().flatten().collect();
        if format != Format::Cdb {
            list.sort_by(|a, b| a.key.cmp(&b.key));
        }
        if zero {
            for entry in &mut list {
                entry.key.push(0);
                entry.value.push(0);
            }
        }
        let map_size = self.parameter("lmdb_map_size").parse().unwrap_or_default();
        let pairs = list.iter().map(|entry| (entry.key.as_slice(), entry.value.as_slice()));
        let bytes = format.build(pairs, map_size).map_err(|text| format!("{}: {text}", path.display()))?;
        replace(path, &bytes, mode)
            .map_err(|error| Stop::Fatal(format!("open {}: {}", path.display(), os_text(&error))))
    }
}

/// The content of the files that a value of `-F` names, one after the other.
pub(super) fn content_of(names: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (number, name) in
        names.split([',', ' ', '\t', '\r', '\n']).filter(|name| !name.is_empty()).enumerate()
    {
        if number > 0 {
            out.push(b'\n');
        }
        let content = std::fs::read(name).map_err(|error| format!("open {name}: {}", os_text(&error)))?;
        out.extend_from_slice(&content);
    }
    Ok(out)
}

/// Puts a new file in the place of `path`, whole or not at all. Who writes it holds its temporary file locked.
fn replace(path: &Path, bytes: &[u8], mode: Option<u32>) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(temporary)?;
        flock(&file, FlockOperation::LockExclusive)?;
        // Another one may have renamed it while we waited for the lock.
        match std::fs::metadata(temporary) {
            Ok(now) if now.ino() == file.metadata()?.ino() => break file,
            _ => {}
        }
    };
    let written = (|| {
        file.set_len(0)?;
        if let Some(mode) = mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        (&file).write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(temporary);
    }
    written
}

/// The rights on files of the owner of a table, as long as this lives; root itself would write where others can put
/// links.
struct Rights(bool);

impl Rights {
    fn own() -> Rights {
        Rights(false)
    }

    fn of(meta: &std::fs::Metadata) -> Result<Rights, Stop> {
        if meta.uid() == 0 || !rustix::process::geteuid().is_root() {
            return Ok(Rights::own());
        }
        sys::act_as(meta.uid(), meta.gid()).map_err(|error| format!("cannot act as the owner: {error}"))?;
        Ok(Rights(true))
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if self.0 {
            // Root can always become root again.
            let _ = sys::act_as(0, 0);
        }
    }
}
