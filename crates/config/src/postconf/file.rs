//! Configuration files as bytes: read whole, and replaced at once.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// Mode of a file that was not there before; everybody may read the configuration.
const NEW_MODE: u32 = 0o644;

/// Reads a file; nothing where there is none. The error is Postfix's text.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(super::text(&bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_open(path, &error)),
    }
}

/// Reads a file that is to be edited: it must be there.
pub(super) fn read_to_edit(path: &Path) -> Result<String, String> {
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    // Postfix makes the new file first.
    match path.parent().is_none_or(Path::is_dir) {
        true => Err(format!("open {} for reading: No such file or directory", shown(path))),
        false => Err(missing(&path.with_extension("cf.tmp"))),
    }
}

/// Reads a file of a table's settings; one that only its owner may read counts as empty. The error is Postfix's text.
pub(super) fn of_table(path: &str) -> Result<String, String> {
    let bytes: Vec<u8> = super::bytes(path).collect();
    let path = Path::new(std::ffi::OsStr::from_bytes(&bytes));
    let read = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => std::fs::read(path),
        Err(error) => Err(error),
    };
    match read {
        Ok(bytes) => Ok(super::text(&bytes)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(String::new()),
        Err(error) => Err(system_text(&error)),
    }
}

/// Postfix's text for a file that cannot be opened.
pub(super) fn cannot_open(path: &Path, error: &io::Error) -> String {
    format!("open {}: {}", shown(path), system_text(error))
}

/// The system's words for an error.
fn system_text(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// What [`cannot_open`] says of a file that does not exist.
pub(super) fn missing(path: &Path) -> String {
    format!("open {}: No such file or directory", shown(path))
}

/// A path in the texts of this module.
pub(super) fn shown(path: &Path) -> String {
    super::text(path.as_os_str().as_bytes())
}

/// [`replace`] for a text whose characters are bytes.
pub(super) fn replace_text(path: &Path, text: &str) -> Result<(), String> {
    replace(path, &super::bytes(text).collect::<Vec<u8>>())
}

/// Puts a new file in place of `path`, with its owner and mode; readers see the old content or the new. The error is
/// Postfix's text.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), String> {
    // A link leads to the file that is meant; its directory is where the new file can take its place.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = &path.with_extension("cf.tmp");
    write(path, new, content).map_err(|error| cannot_open(new, &error))
}

fn write(path: &Path, new: &Path, content: &[u8]) -> io::Result<()> {
    let old = std::fs::metadata(path).ok();
    let _ = std::fs::remove_file(new);
    let mode = old.as_ref().map_or(NEW_MODE, |meta| meta.mode() & 0o7777);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(new)?;
    let written = (|| {
        if let Some(meta) = &old {
            chown(new, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(new);
    }
    written
}
