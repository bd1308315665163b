//! Which of a table's index files is looked up: the newest, with a warning where that is in doubt.

use super::bytes::without_number;
use super::{Format, Index};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a source file may be newer than its index before that is worth a warning: somebody may be about to run
/// postmap. Postfix waits as long.
const GRACE: Duration = Duration::from_secs(100);

/// An index file that was chosen and opened.
pub struct Opened {
    /// Where it is.
    pub path: PathBuf,
    /// What format it has.
    pub format: Format,
    /// Its entries.
    pub index: Box<dyn Index>,
}

/// Opens the newest index of the table at `source`, whose index may have any of these formats. Warns where two of them
/// differ in age, and where the source is newer.
pub fn open_newest(source: &Path, formats: &[Format], warn: &dyn Fn(&str)) -> Result<Opened, String> {
    let mut newest: Option<(SystemTime, Format)> = None;
    let mut other = None;
    for &format in formats {
        let Ok(changed) = std::fs::metadata(format.path(source)).and_then(|meta| meta.modified()) else {
            continue;
        };
        match newest {
            Some((time, _)) if time > changed => other = Some((changed, format)),
            _ => {
                other = newest;
                newest = Some((changed, format));
            }
        }
    }
    // Where there is none, the error is about the file that Postfix would look for.
    let format = newest.map_or(formats[0], |(_, format)| format);
    let path = format.path(source);
    let failed = |text: &str| format!("open database {}: {text}", path.display());
    let file = File::open(&path).map_err(|error| failed(&without_number(&error)))?;
    let meta = file.metadata().map_err(|error| failed(&without_number(&error)))?;
    let index = format.open(file).map_err(|text| failed(&text))?;
    if let (Some((newest, _)), Some((older, stale))) = (newest, other)
        && newest > older
    {
        warn(&format!("{} is newer than {} and is used", path.display(), stale.path(source).display()));
    }
    if is_stale(source, &meta) {
        warn(&format!("database {} is older than source file {}", path.display(), source.display()));
    }
    Ok(Opened { path, format, index })
}

/// Whether the source was changed after its index, and not just now.
fn is_stale(source: &Path, index: &Metadata) -> bool {
    let changed = std::fs::metadata(source).and_then(|meta| meta.modified());
    let (Ok(source), Ok(index)) = (changed, index.modified()) else { return false };
    source > index && SystemTime::now().duration_since(source).is_ok_and(|age| age > GRACE)
}
