//! Files that tables are made of: read when the table is opened, and read again when they changed.
//!
//! Postfix reads a file when a process starts and sees a change only in the next process, at the latest after
//! max_use requests. Our processes stay, so a thread looks at the files once a second and reads what changed; a
//! lookup never waits for that. A file that was changed within the last second may still be being written: it
//! is read a second later. A file that cannot be read makes lookups fail for the time being until it can.

use crate::table::Settings;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

/// How often files are looked at, and how long one must lie still before it is read again.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes of the largest text file that is read; a larger one makes lookups fail for the time being.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The text of a file; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("expected at most {FILE_BYTES_MAX} bytes, found {size}"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// What `load` makes of a file, made anew when the file changed.
pub(crate) struct Watched<T>(Arc<Watch<T>>);

type Load<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

struct Watch<T> {
    spec: String,
    paths: Vec<PathBuf>,
    settings: Settings,
    load: Load<T>,
    state: RwLock<State<T>>,
    /// Watched from the first lookup on, so that whoever opens tables only to check them starts no thread.
    watched: Once,
}

struct State<T> {
    stamps: Vec<Stamp>,
    content: Result<T, String>,
}

/// What tells that a file changed: device, inode, size, time of the last change; nothing where there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Loads the file at `path` for the table `spec`. That it cannot be read is a warning, and an error of each
    /// [`Watched::with`], until it can. The error of `load` says what was found and what was expected.
    pub(crate) fn open(
        path: PathBuf,
        spec: &str,
        settings: &Settings,
        load: impl Fn(&Path) -> Result<T, String> + Send + Sync + 'static,
    ) -> Watched<T> {
        Watched::open_any(vec![path.clone()], spec, settings, move || load(&path))
    }

    /// The same for content that comes from any of several files, which need not all exist.
    pub(crate) fn open_any(
        paths: Vec<PathBuf>,
        spec: &str,
        settings: &Settings,
        load: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Watched<T> {
        let watch = Watch {
            spec: spec.to_owned(),
            paths,
            settings: settings.clone(),
            load: Box::new(load),
            state: RwLock::new(State { stamps: Vec::new(), content: Err(String::new()) }),
            watched: Once::new(),
        };
        watch.read();
        Watched(Arc::new(watch))
    }

    /// Shows the content to `look`; the error says why there is none.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, String> {
        if self.0.settings.follow_changes {
            self.0.watched.call_once(|| watch(self.0.clone()));
        }
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.content.as_ref().map(look).map_err(String::clone)
    }
}

/// A file of any content, for the thread that looks at all of them.
trait Refresh: Send + Sync {
    fn refresh(&self);
}

impl<T: Send + Sync> Watch<T> {
    fn stamps(&self) -> Vec<Stamp> {
        self.paths.iter().map(|path| stamp(path)).collect()
    }

    /// Reads the files; what changes between stamp and reading is seen a period later.
    fn read(&self) {
        let stamps = self.stamps();
        if self.keeps_old(&stamps) {
            return;
        }
        let content = (self.load)();
        let content = content.map_err(|error| format!("{}: cannot be read: {error}", self.spec));
        // The same failure is told once, however often it is tried again.
        let known = self.state.read().unwrap_or_else(PoisonError::into_inner).content.as_ref().err().cloned();
        if let Err(text) = &content
            && known.as_ref() != Some(text)
        {
            (self.settings.warn)(text);
        }
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { stamps, content };
    }

    /// A file that only root may read was opened before this process gave up root: what was read then holds until another
    /// process is started.
    fn keeps_old(&self, current: &[Stamp]) -> bool {
        // Files are looked at without the lock: a lookup never waits for that.
        let is_error = self.state.read().unwrap_or_else(PoisonError::into_inner).content.is_err();
        let denied =
            |path: &PathBuf| File::open(path).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
        if is_error || !self.paths.iter().any(denied) {
            return false;
        }
        self.state.write().unwrap_or_else(PoisonError::into_inner).stamps = current.to_vec();
        let spec = &self.spec;
        (self.settings.warn)(&format!(
            "{spec}: changed, but this process may not read it any more: a reload or a restart takes it"
        ));
        true
    }
}

impl<T: Send + Sync> Refresh for Watch<T> {
    fn refresh(&self) {
        let (known, failed) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.stamps.clone(), state.content.is_err())
        };
        let current = self.stamps();
        let again = current != known || failed && current.iter().any(Option::is_some);
        if !again || !self.paths.iter().all(|path| at_rest(path)) {
            return;
        }
        self.read();
    }
}

/// The open files of this process; the thread reads again what changed.
static WATCHED: OnceLock<Mutex<Vec<Weak<dyn Refresh>>>> = OnceLock::new();

fn watch<T: Send + Sync + 'static>(file: Arc<Watch<T>>) {
    let mut first = false;
    let watched = WATCHED.get_or_init(|| {
        first = true;
        Mutex::new(Vec::new())
    });
    let weak = Arc::downgrade(&file);
    watched.lock().unwrap_or_else(PoisonError::into_inner).push(weak);
    if first {
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(PERIOD);
                refresh(watched);
            }
        });
        if let Err(error) = thread {
            (file.settings.warn)(&format!("changes of files with tables will not be seen: {error}"));
        }
    }
}

/// Reads each file that changed; files whose tables were dropped are forgotten.
fn refresh(watched: &Mutex<Vec<Weak<dyn Refresh>>>) {
    let files: Vec<Arc<dyn Refresh>> = {
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|file| file.strong_count() > 0);
        watched.iter().filter_map(Weak::upgrade).collect()
    };
    for file in files {
        file.refresh();
    }
}

/// Whether the file was not changed within the last period; true where there is none.
fn at_rest(path: &Path) -> bool {
    let Ok(changed) = std::fs::metadata(path).and_then(|meta| meta.modified()) else { return true };
    // A time in the future says nothing; such a file is taken as it is.
    SystemTime::now().duration_since(changed).map_or(true, |age| age >= PERIOD)
}
