//! Index files: what `postmap` makes of a table's source, and lookups read.
//!
//! Readers take files that may be damaged, cut or changed while they are read: each read has its bounds, each walk
//! its number of steps, and what does not fit is an error that names the place. Nothing is mapped into memory, since
//! a file that somebody cuts would end the process then.

mod back;
mod berkeley;
mod bytes;
mod cdb;
mod choose;
mod lmdb;
mod own;
mod pages;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use back::{Stale, stale_for_postfix};
pub(crate) use berkeley::BUSY;
use bytes::Bytes;
pub(crate) use bytes::without_number;
pub use choose::{Opened, open_newest};

/// The entries of one index file.
pub trait Index: Send + Sync {
    /// The value of exactly this key. The error names the place in the file.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// The value of this key, be it stored with a zero byte behind it or without, as Postfix looks for both. What the
    /// first key that is found has, all are taken to have, as in Postfix.
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// Shows each entry to `take`, in the file's own order, until it answers false.
    fn each(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String>;
}

/// Bytes of the largest entry: a record of a constant database is read in one piece.
const ENTRY_BYTES_MAX: usize = bytes::PIECE_BYTES_MAX - 64;
/// Bytes of a key that a message shows.
const SHOWN: usize = 60;

/// The formats of index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Berkeley DB's hash, which we read only.
    BerkeleyHash,
    /// Berkeley DB's B-tree, which we read only.
    BerkeleyBtree,
    /// Ours beside these: a constant database with a trailer.
    Own,
    /// D. J. Bernstein's constant database.
    Cdb,
    /// LMDB in one file.
    Lmdb,
}

impl Format {
    /// What stands behind the table's name in the name of its file.
    pub fn suffix(self) -> &'static str {
        match self {
            Format::BerkeleyHash | Format::BerkeleyBtree => "db",
            Format::Own => "phx",
            Format::Cdb => "cdb",
            Format::Lmdb => "lmdb",
        }
    }

    /// The file of the table at `source`.
    pub fn path(self, source: &Path) -> PathBuf {
        let mut name = source.as_os_str().to_owned();
        name.push(".");
        name.push(self.suffix());
        name.into()
    }

    /// Opens an index; the error says why it is none.
    pub fn open(self, file: File) -> Result<Box<dyn Index>, String> {
        let meta = file.metadata().map_err(|error| bytes::without_number(&error))?;
        if !meta.is_file() {
            return Err("expected a file, found something else".to_owned());
        }
        self.read(Bytes::File(file))
    }

    /// Reads an index in memory; for tests and fuzzing.
    pub fn of_memory(self, content: &[u8]) -> Result<Box<dyn Index>, String> {
        self.read(Bytes::Memory(content.to_vec()))
    }

    /// An index of the entries, which are sorted by key and have no key twice; only the constant database keeps another
    /// order. `map_size` is `lmdb_map_size`.
    pub fn build<'a>(
        self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        map_size: u64,
    ) -> Result<Vec<u8>, String> {
        // A reader refuses what is larger, since a damaged length must not make it take all memory.
        let size = |(key, value): &(&[u8], &[u8])| key.len() + value.len();
        if let Some(entry) = entries.clone().find(|entry| size(entry) > ENTRY_BYTES_MAX) {
            return Err(format!(
                "expected entries of at most {ENTRY_BYTES_MAX} bytes, found one of {} with the key `{}…`",
                size(&entry),
                String::from_utf8_lossy(&entry.0[..entry.0.len().min(SHOWN)])
            ));
        }
        match self {
            Format::BerkeleyHash | Format::BerkeleyBtree => {
                Err("expected another format: Berkeley DB files are read only".to_owned())
            }
            Format::Own => own::write(entries),
            Format::Cdb => cdb::write(entries),
            Format::Lmdb => lmdb::write(entries, map_size),
        }
    }

    fn read(self, bytes: Bytes) -> Result<Box<dyn Index>, String> {
        Ok(match self {
            Format::BerkeleyHash => Box::new(berkeley::open(bytes, berkeley::Method::Hash)?),
            Format::BerkeleyBtree => Box::new(berkeley::open(bytes, berkeley::Method::Btree)?),
            Format::Own => Box::new(own::open(bytes)?),
            Format::Cdb => Box::new(cdb::open(bytes)?),
            Format::Lmdb => Box::new(lmdb::open(bytes)?),
        })
    }
}

/// The value of a key as text, be the key stored with a zero byte behind it or without.
pub fn find(index: &dyn Index, key: &str) -> Result<Option<String>, String> {
    Ok(index.find(key.as_bytes())?.map(text))
}

/// Searches with a zero byte behind the key, and without it; `known` is which one keys have, as far as that is known.
fn either(
    key: &[u8],
    known: Option<bool>,
    search: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, String>,
) -> Result<Option<(bool, Vec<u8>)>, String> {
    if known != Some(false) {
        let mut with_zero = Vec::with_capacity(key.len() + 1);
        with_zero.extend_from_slice(key);
        with_zero.push(0);
        if let Some(value) = search(&with_zero)? {
            return Ok(Some((true, value)));
        }
    }
    match known {
        Some(true) => Ok(None),
        _ => Ok(search(key)?.map(|value| (false, value))),
    }
}

/// A value as text: without the zero byte behind it, and with U+FFFD for what is no UTF-8.
pub fn text(mut value: Vec<u8>) -> String {
    if value.last() == Some(&0) {
        value.pop();
    }
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
