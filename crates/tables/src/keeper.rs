//! The file of a cache that lives in memory: read at the start, written anew soon after changes, at intervals cleared of
//! what is old.
//!
//! `lmdb:` and `cdb:` files are written so that Postfix goes on with them. Berkeley DB files are read only: our own index
//! lies beside (`NAME.phx`). Another process with the same file (the one before a reload, one for chrooted services) is
//! respected: what it wrote is taken in before it is written over.

use crate::index::Format;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, statat};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks whether something is to be done.
const TICK: Duration = Duration::from_secs(1);

/// Entries written a second on the average, so that a large cache costs little.
const ENTRIES_A_SECOND: usize = 2_000;

/// Bytes of an LMDB file at least: Postfix's default of lmdb_map_size.
const MAP_BYTES: u64 = 16 * 1024 * 1024;

/// What is kept in a file. Contract: each call is short, since others wait for the same memory.
pub trait Kept: Send + Sync {
    /// Takes in what a file says of a key, where that is newer than what is known; what is no entry is left out.
    fn absorb(&self, key: &[u8], value: &[u8]);

    /// Whether something is new since it was last taken.
    fn is_changed(&self) -> bool;

    /// All keys and values, sorted by key; what comes later is new.
    fn take_all(&self) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// Says that what was taken did not get into the file.
    fn not_written(&self);

    /// How many entries there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a cache lies.
pub struct Place {
    map: String,
    directory: OwnedFd,
    /// The file's name without its suffix.
    name: String,
    reads: &'static [Format],
    writes: Format,
}

impl Place {
    /// The place that a table's name names. The error says why the cache will not outlive the process.
    pub fn open(map: &str) -> Result<Place, String> {
        let spec = map.strip_prefix("proxy:").unwrap_or(map);
        let (kind, path) = spec.split_once(':').unwrap_or(("", spec));
        let (reads, writes): (&[Format], _) = match kind {
            "btree" => (&[Format::BerkeleyBtree, Format::Own], Format::Own),
            "hash" => (&[Format::BerkeleyHash, Format::Own], Format::Own),
            "lmdb" => (&[Format::Lmdb], Format::Lmdb),
            "cdb" => (&[Format::Cdb], Format::Cdb),
            _ => {
                return Err(format!(
                    "{map}: expected btree, hash, lmdb or cdb to keep a cache in, found `{kind}`"
                ));
            }
        };
        let path = Path::new(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(format!("{map}: expected the name of a file"));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let directory = File::open(parent).map_err(|e| format!("{map}: {}: {e}", parent.display()))?;
        let name = name.to_string_lossy().into_owned();
        Ok(Place { map: map.to_owned(), directory: directory.into(), name, reads, writes })
    }

    /// The directory of its file.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Reads what there is. A file that is none is told and left out.
    pub fn read(&self, cache: &dyn Kept, warn: &dyn Fn(String)) {
        for format in self.reads {
            let name = self.file(*format);
            let Ok(fd) = openat(&self.directory, &name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            else {
                continue;
            };
            let absorbed = format.open(File::from(fd)).and_then(|index| {
                index.each(&mut |key, value| {
                    cache.absorb(key, value);
                    true
                })
            });
            if let Err(why) = absorbed {
                warn(format!("cache {}: {name}: {why}: what it held is not used", self.map));
            }
        }
    }

    fn file(&self, format: Format) -> String {
        format!("{}.{}", self.name, format.suffix())
    }

    fn write(&self, cache: &dyn Kept) -> Result<(), String> {
        let all = cache.take_all();
        let bytes: u64 = all.iter().map(|(k, v)| (k.len() + v.len() + 32) as u64).sum();
        let entries = all.iter().map(|(k, v)| (k.as_slice(), v.as_slice()));
        let made = self.writes.build(entries, MAP_BYTES.max(4 * bytes)).and_then(|content| {
            let (name, new) = (self.file(self.writes), format!("{}.new", self.file(self.writes)));
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let replace = || -> io::Result<()> {
                let mut file = File::from(openat(&self.directory, &new, flags, Mode::from_raw_mode(0o600))?);
                file.write_all(&content)?;
                Ok(renameat(&self.directory, &new, &self.directory, &name)?)
            };
            replace().map_err(|e| format!("{name}: {e}"))
        });
        if made.is_err() {
            cache.not_written();
        }
        made
    }

    /// Which file it is now: another one is somebody else's.
    fn identity(&self) -> Option<(u64, i64)> {
        let stat = statat(&self.directory, self.file(self.writes), AtFlags::empty()).ok()?;
        #[allow(clippy::useless_conversion, reason = "the types depend on the platform")]
        Some((stat.st_ino.into(), stat.st_mtime.into()))
    }
}

/// A thread that keeps the file of a cache.
pub struct Keeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What is done besides.
pub struct Tasks {
    /// Clears away what is old where it is time; gets the time in seconds.
    pub clean: Box<dyn Fn(u64) + Send>,
    /// Tells the administrator.
    pub warn: Box<dyn Fn(String) + Send>,
}

impl Keeper {
    /// Begins; `place` was read before. Without a place the cache lives in memory, and is only cleared. The thread has
    /// `name`.
    pub fn start(name: &str, cache: Arc<dyn Kept>, place: Option<Place>, tasks: Tasks) -> io::Result<Keeper> {
        let (stop, stopped) = sync_channel(1);
        let mut work = Work { cache, place, tasks, seen: None, next: Instant::now(), failed: false };
        work.seen = work.place.as_ref().and_then(Place::identity);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            work.clean();
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                work.tick(false);
            }
            work.tick(true);
        })?;
        Ok(Keeper { stop, thread })
    }

    /// Writes what is new and ends.
    pub fn stop(self) {
        drop(self.stop);
        drop(self.thread.join());
    }
}

struct Work {
    cache: Arc<dyn Kept>,
    place: Option<Place>,
    tasks: Tasks,
    /// The file as we know it.
    seen: Option<(u64, i64)>,
    /// Not written before.
    next: Instant,
    /// That it cannot be written was told.
    failed: bool,
}

impl Work {
    fn tick(&mut self, ends: bool) {
        self.clean();
        let Some(place) = &self.place else { return };
        let warn = &self.tasks.warn;
        let now = place.identity();
        if now != self.seen {
            place.read(&*self.cache, warn);
            self.seen = now;
        }
        if !self.cache.is_changed() || (!ends && Instant::now() < self.next) {
            return;
        }
        match place.write(&*self.cache) {
            Ok(()) => self.failed = false,
            Err(why) if !self.failed => {
                warn(format!("cache {}: cannot be written: {why}; it lives in memory only", place.map));
                self.failed = true;
            }
            Err(_) => {}
        }
        self.seen = place.identity();
        let pause = (self.cache.len() / ENTRIES_A_SECOND) as u64;
        self.next = Instant::now() + Duration::from_secs(pause);
    }

    fn clean(&self) {
        (self.tasks.clean)(seconds());
    }
}

/// The time of now, as stamps have it.
pub fn seconds() -> u64 {
    u64::try_from(net::clock::now().secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Cache(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>, AtomicBool);

    impl Cache {
        fn put(&self, key: &str) {
            self.0.lock().unwrap().insert(key.into(), b"value".into());
            self.not_written();
        }
    }

    impl Kept for Cache {
        fn absorb(&self, key: &[u8], value: &[u8]) {
            let text = |bytes: &[u8]| bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec();
            self.0.lock().unwrap().insert(text(key), text(value));
        }
        fn is_changed(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
        fn take_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
            self.1.store(false, Ordering::Relaxed);
            self.0.lock().unwrap().clone().into_iter().collect()
        }
        fn not_written(&self) {
            self.1.store(true, Ordering::Relaxed);
        }
        fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    #[test]
    fn a_cache_survives_in_each_format_and_two_processes_do_not_lose_each_others_entries() {
        let directory = std::env::temp_dir().join(format!("keeper-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for (kind, file) in [("btree", "c.phx"), ("hash", "c.phx"), ("lmdb", "c.lmdb"), ("cdb", "c.cdb")] {
            let map = format!("{kind}:{}/c", directory.display());
            let start = |cache: &Arc<Cache>| {
                let place = Place::open(&map).unwrap();
                place.read(&**cache, &|text| panic!("{text}"));
                let cache: Arc<dyn Kept> = cache.clone();
                let tasks = Tasks { clean: Box::new(|_| {}), warn: Box::new(|text| panic!("{text}")) };
                Keeper::start("keeper", cache, Some(place), tasks).unwrap()
            };
            let (one, two): (Arc<Cache>, Arc<Cache>) = Default::default();
            let (first, second) = (start(&one), start(&two));
            one.put("one");
            first.stop();
            two.put("two");
            second.stop();
            assert!(directory.join(file).is_file(), "{map}");
            let later = Arc::new(Cache::default());
            start(&later).stop();
            let kept = later.take_all().into_iter().map(|(key, _)| String::from_utf8(key).unwrap());
            assert_eq!(kept.collect::<Vec<_>>(), ["one", "two"], "{map}");
            std::fs::remove_file(directory.join(file)).unwrap();
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_map_that_cannot_be_kept_is_told() {
        let told = Place::open("memcache:/etc/postfix/x").err().unwrap();
        assert!(
            told.contains("expected btree, hash, lmdb or cdb to keep a cache in, found `memcache`"),
            "{told}"
        );
        assert!(Place::open("lmdb:/nonexistent/dir/x").is_err());
    }
}
