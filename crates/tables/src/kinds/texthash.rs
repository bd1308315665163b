//! `texthash:/file`: the source file of an indexed table, read into memory.
//!
//! Postfix reads the file when a process starts and sees a change only in the next process, at the latest after
//! max_use requests. Our processes stay, so a thread looks at the files once a second and reads what changed; a
//! lookup never touches the disk. A file that was changed within the last second may still be being written: it
//! is read a second later. A file that cannot be read makes lookups fail for the time being until it can.

use super::Kind;
use crate::fold::fold;
use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError};
use config::lines::{is_space, logical_lines};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

/// The kind `texthash`.
pub const KIND: Kind = Kind { name: "texthash", open };

/// How often files are looked at, and how long one must lie still before it is read again.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes of the largest file that is read; a larger one makes lookups fail for the time being.
const FILE_BYTES_MAX: u64 = 1 << 30;

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    if name.is_empty() {
        return Err(TableError::new(spec, "expected a file name behind `texthash:`"));
    }
    let path = settings.path(name);
    let (stamp, content) = read(&path, spec, settings);
    let state = RwLock::new(State { stamp, content });
    let file = File { spec: spec.to_owned(), path, settings: settings.clone(), state, watched: Once::new() };
    let file = Arc::new(file);
    Ok(Box::new(TextHash(file)))
}

struct TextHash(Arc<File>);

struct File {
    spec: String,
    path: PathBuf,
    settings: Settings,
    state: RwLock<State>,
    /// Watched from the first lookup on, so that whoever opens tables only to check them starts no thread.
    watched: Once,
}

struct State {
    stamp: Stamp,
    content: Result<HashMap<String, String>, String>,
}

/// What tells that a file changed: device, inode, size, time of the last change; nothing where there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

impl Source for TextHash {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        if self.0.settings.follow_changes {
            self.0.watched.call_once(|| watch(&self.0));
        }
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.content {
            Ok(entries) => entries.get(key).map_or(Lookup::NotFound, |value| Lookup::Found(value.clone())),
            Err(text) => Lookup::TempFail(text.clone()),
        }
        .into()
    }
}

/// Reads the file; what changes between stamp and reading is seen a period later.
fn read(path: &Path, spec: &str, settings: &Settings) -> (Stamp, Result<HashMap<String, String>, String>) {
    let stamp = stamp(path);
    let bytes = match stamp {
        Some((_, _, size, ..)) if size > FILE_BYTES_MAX => {
            Err(format!("expected at most {FILE_BYTES_MAX} bytes, found {size}"))
        }
        _ => std::fs::read(path).map_err(|error| error.to_string()),
    };
    let content = bytes.map_err(|error| format!("{spec}: cannot be read: {error}"));
    let content = content.map(|bytes| parse(&String::from_utf8_lossy(&bytes), spec, settings));
    if let Err(text) = &content {
        (settings.warn)(text);
    }
    (stamp, content)
}

/// The entries of a table's source text: key, white space, value. What is no entry is ignored with a warning.
pub(super) fn parse(text: &str, spec: &str, settings: &Settings) -> HashMap<String, String> {
    let mut entries: HashMap<String, String> = HashMap::new();
    let mut lines: HashMap<String, u32> = HashMap::new();
    let read = logical_lines(text);
    let warn = |line: u32, text: &str| (settings.warn)(&format!("{spec}: line {line}: {text}"));
    for line in read.stray {
        warn(line, "logical line must not start with whitespace; it is ignored");
    }
    for line in read.lines {
        let number = line.line();
        let Some((key, value)) = split_entry(&line.text) else {
            warn(number, "expected a `\"` for each `\"`; the line is ignored");
            continue;
        };
        if value.is_empty() {
            warn(number, &format!("expected `key value`, found `{key}` alone; the line is ignored"));
            continue;
        }
        if key.ends_with(':') {
            warn(number, &format!("expected `key value`, found `{key}`; is this an alias file?"));
        }
        let key = fold(key, settings.utf8).into_owned();
        // Of two entries with one key the first counts, as in Postfix.
        if let Some(first) = lines.get(&key) {
            warn(number, &format!("key `{key}` appears again (first on line {first})"));
            continue;
        }
        lines.insert(key.clone(), number);
        entries.insert(key, value.to_owned());
    }
    entries
}

/// Splits at the first white space outside of `"…"`; nothing where a quote is not closed.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if is_space(c) && !quoted => return Some((&line[..at], line[at..].trim_matches(is_space))),
            _ => {}
        }
    }
    (!quoted).then_some((line, ""))
}

/// The open files of this process; the thread reads again what changed.
static WATCHED: OnceLock<Mutex<Vec<Weak<File>>>> = OnceLock::new();

fn watch(file: &Arc<File>) {
    let mut first = false;
    let watched = WATCHED.get_or_init(|| {
        first = true;
        Mutex::new(Vec::new())
    });
    watched.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(file));
    if first {
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(PERIOD);
                refresh(watched);
            }
        });
        if let Err(error) = thread {
            (file.settings.warn)(&format!("changes of texthash files will not be seen: {error}"));
        }
    }
}

/// Reads each file that changed; files whose tables were dropped are forgotten.
fn refresh(watched: &Mutex<Vec<Weak<File>>>) {
    let files: Vec<Arc<File>> = {
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|file| file.strong_count() > 0);
        watched.iter().filter_map(Weak::upgrade).collect()
    };
    for file in files {
        file.refresh();
    }
}

impl File {
    fn refresh(&self) {
        let (known, failed) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.stamp, state.content.is_err())
        };
        let current = stamp(&self.path);
        if current == known && !(failed && current.is_some()) || !at_rest(&self.path) {
            return;
        }
        let (stamp, content) = read(&self.path, &self.spec, &self.settings);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { stamp, content };
    }
}

/// Whether the file was not changed within the last period; true where there is none.
fn at_rest(path: &Path) -> bool {
    let Ok(changed) = std::fs::metadata(path).and_then(|meta| meta.modified()) else { return true };
    // A time in the future says nothing; such a file is taken as it is.
    SystemTime::now().duration_since(changed).map_or(true, |age| age >= PERIOD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn file(text: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("texthash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_changed_file_is_read_again_once_it_lies_still() {
        let path = file("a 1\n");
        let table = Table::open(&format!("texthash:{}", path.display()), &Settings::default()).unwrap();
        assert_eq!(table.lookup_now("A"), Lookup::Found("1".into()));
        std::fs::write(&path, "a 22\n").unwrap();
        let found = |value: &str| {
            let wanted = Lookup::Found(value.into());
            (0..600).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                table.lookup_now("a") == wanted
            })
        };
        assert!(found("22"));
        std::fs::remove_file(&path).unwrap();
        let failed = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            matches!(table.lookup_now("a"), Lookup::TempFail(_))
        });
        assert!(failed, "a file that is gone makes lookups fail for the time being");
    }

    #[test]
    fn a_missing_file_fails_for_the_time_being_with_a_warning() {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let settings = Settings {
            warn: Arc::new(move |text| sink.lock().unwrap().push(text.to_owned())),
            ..Settings::default()
        };
        let table = Table::open("texthash:/nonexistent/table", &settings).unwrap();
        let text = "texthash:/nonexistent/table: cannot be read: No such file or directory (os error 2)";
        assert_eq!(table.lookup_now("a"), Lookup::TempFail(text.into()));
        assert_eq!(*warnings.lock().unwrap(), [text]);
    }
}
