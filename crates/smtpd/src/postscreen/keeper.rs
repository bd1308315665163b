//! The file of the cache: read at the start, written anew soon after changes, at intervals cleared of what is old.
//!
//! `lmdb:` and `cdb:` files are written so that Postfix goes on with them. Berkeley DB files are read only: our own index
//! lies beside (`NAME.phx`). Another process with the same file (the one before a reload, one for chrooted services) is
//! respected: what it wrote is taken in before it is written over.

use super::cache::Cache;
use observe::events::postscreen::CacheCleaned;
use observe::{Tag, emit};
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, statat};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tables::index::Format;

/// How often it looks whether something is to be done.
const TICK: Duration = Duration::from_secs(1);

/// Entries written a second on the average, so that a large cache costs little.
const ENTRIES_A_SECOND: usize = 2_000;

/// Bytes of an LMDB file at least: Postfix's default of lmdb_map_size.
const MAP_BYTES: u64 = 16 * 1024 * 1024;

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
    /// The place that `postscreen_cache_map` names. The error says why the cache will not outlive the process.
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
                    "{map}: expected btree, hash, lmdb or cdb to keep clients in, found `{kind}`"
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
    pub fn read(&self, cache: &Cache, warn: &dyn Fn(String)) {
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

    fn write(&self, cache: &Cache) -> Result<(), String> {
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

/// When old entries go: `postscreen_cache_cleanup_interval`, `postscreen_cache_retention_time`.
#[derive(Clone, Copy, Debug)]
pub struct Cleaning {
    /// How often.
    pub interval: Duration,
    /// How long an expired entry stays.
    pub retention: Duration,
}

impl Keeper {
    /// Begins; `place` was read before. Without a place the cache lives in memory, and is only cleared.
    pub fn start(
        cache: Arc<Cache>,
        place: Option<Place>,
        cleaning: Cleaning,
        map: String,
        tag: Tag,
    ) -> io::Result<Keeper> {
        let (stop, stopped) = sync_channel(1);
        let mut work =
            Work { cache, place, cleaning, map, tag, seen: None, next: Instant::now(), failed: false };
        work.seen = work.place.as_ref().and_then(Place::identity);
        let thread = std::thread::Builder::new().name("postscreen-cache".into()).spawn(move || {
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
    cache: Arc<Cache>,
    place: Option<Place>,
    cleaning: Cleaning,
    map: String,
    tag: Tag,
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
        let warn = |text: String| observe::warn(&self.tag, format_args!("{text}"));
        let now = place.identity();
        if now != self.seen {
            place.read(&self.cache, &warn);
            self.seen = now;
        }
        if !self.cache.is_changed() || (!ends && Instant::now() < self.next) {
            return;
        }
        match place.write(&self.cache) {
            Ok(()) => self.failed = false,
            Err(why) if !self.failed => {
                warn(format!("cache {}: cannot be written: {why}; it lives in memory only", self.map));
                self.failed = true;
            }
            Err(_) => {}
        }
        self.seen = place.identity();
        let pause = (self.cache.len() / ENTRIES_A_SECOND) as u64;
        self.next = Instant::now() + Duration::from_secs(pause);
    }

    fn clean(&self) {
        let now = seconds();
        let Cleaning { interval, retention } = self.cleaning;
        if let Some((retained, dropped)) = self.cache.clean(now, interval.as_secs(), retention.as_secs()) {
            emit(&self.tag, &CacheCleaned { map: &self.map, retained, dropped });
        }
    }
}

/// The time of now, as stamps have it.
pub(super) fn seconds() -> u64 {
    u64::try_from(net::clock::now().secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::cache::Entry;
    use super::*;

    #[test]
    fn a_cache_survives_in_each_format_and_two_processes_do_not_lose_each_others_clients() {
        let directory = std::env::temp_dir().join(format!("postscreen-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let entry = Entry::parse("4000000000;4000000000;1;1;1").unwrap();
        for (kind, file) in [("btree", "c.phx"), ("hash", "c.phx"), ("lmdb", "c.lmdb"), ("cdb", "c.cdb")] {
            let map = format!("{kind}:{}/c", directory.display());
            let start = |cache: &Arc<Cache>| {
                let place = Place::open(&map).unwrap();
                place.read(cache, &|text| panic!("{text}"));
                let cleaning = Cleaning { interval: Duration::ZERO, retention: Duration::ZERO };
                let tag = Tag::new("postfix", "postscreen", 1);
                Keeper::start(Arc::clone(cache), Some(place), cleaning, map.clone(), tag).unwrap()
            };
            let (one, two): (Arc<Cache>, Arc<Cache>) = Default::default();
            let (first, second) = (start(&one), start(&two));
            one.put("192.0.2.1".parse().unwrap(), entry.clone());
            first.stop();
            two.put("192.0.2.2".parse().unwrap(), entry.clone());
            second.stop();
            assert!(directory.join(file).is_file(), "{map}");
            let later = Arc::new(Cache::default());
            start(&later).stop();
            for client in ["192.0.2.1", "192.0.2.2"] {
                assert_eq!(later.get(client.parse().unwrap()), entry, "{map} {client}");
            }
            std::fs::remove_file(directory.join(file)).unwrap();
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_map_that_cannot_be_kept_is_told() {
        let told = Place::open("memcache:/etc/postfix/x").err().unwrap();
        assert!(
            told.contains("expected btree, hash, lmdb or cdb to keep clients in, found `memcache`"),
            "{told}"
        );
        assert!(Place::open("lmdb:/nonexistent/dir/x").is_err());
    }
}
