//! A disk in memory that forgets what was not synced.
//!
//! On a power cut each of these is decided by itself: every 512-byte sector written since the file's last sync keeps
//! its old or its new bytes; the length, the mode and the time of a file are old or new; every change of names
//! (create, unlink, rename) since the directory's last sync happened or not, in spite of the order. A rename is one
//! change: a journalled file system loses both of its names or none. A sync that fails drops what it should have
//! written and, as Linux does, a later sync of the file succeeds without writing it.

use crate::Rng;
use mail::Timestamp;
use queue::{Disk, DiskFile, Entry, Lock, Space, Stat};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

/// What may go wrong besides a power cut, as one in so many calls; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// A write fails or is short.
    pub write: u64,
    /// A sync fails.
    pub sync: u64,
    /// There is no room for a new file or more bytes.
    pub full: u64,
}

/// The simulated file system; clones share it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    files: HashMap<u64, File>,
    /// Names as they are seen, and as they are on the platter.
    live: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// Changes of names since the last sync of a directory that they touch, oldest first.
    changes: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    next_inode: u64,
    locked: BTreeSet<LockedBy>,
    /// Calls that change something until the power fails; `None` is never.
    power: Option<u64>,
    down: bool,
    trouble: Trouble,
    calls: u64,
    syncs: u64,
    rng: Rng,
    now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LockedBy {
    Inode(u64),
    Name(PathBuf),
}

/// Some names went, and perhaps one came; all of it happens or nothing.
#[derive(Clone, Debug)]
struct Change {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, u64)>,
}

#[derive(Clone, Default)]
struct File {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors of `data` that are not on the platter yet.
    dirty: BTreeSet<usize>,
    mode: u32,
    durable_mode: u32,
    modified: Timestamp,
    durable_modified: Timestamp,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let dirs = BTreeSet::from([PathBuf::new()]);
        SimDisk(Arc::new(Mutex::new(State {
            files: HashMap::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            durable_dirs: dirs.clone(),
            dirs,
            next_inode: 1,
            locked: BTreeSet::new(),
            power: None,
            down: false,
            trouble: Trouble::default(),
            calls: 0,
            syncs: 0,
            rng: Rng::new(seed),
            now: Timestamp::default(),
        })))
    }

    /// The power fails at the `calls`-th changing call from now; that call may take effect in part.
    pub fn fail_power_after(&self, calls: u64) {
        self.state().power = Some(calls);
    }

    /// Whether the power has failed: every call gives an error until [`SimDisk::restart`].
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// What else may go wrong from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// Tells the time for new modification times.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Changing calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Syncs of files and directories so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The disk after a power cut: another one, so that what still holds the old one cannot change it.
    pub fn restart(&self) -> SimDisk {
        let mut old = self.state();
        old.down = true;
        let mut rng = Rng::new(old.rng.bits());
        let live = old.names_after_a_cut(&mut rng);
        let mut files = HashMap::new();
        for inode in live.values() {
            if let Some(file) = old.files.get(inode) {
                files.entry(*inode).or_insert_with(|| file.after_a_cut(&mut rng));
            }
        }
        // A directory that a surviving name lies in survived, too.
        let mut dirs = old.durable_dirs.clone();
        for dir in &old.dirs {
            if rng.one_in(2) || live.keys().any(|name| name.starts_with(dir)) {
                dirs.insert(dir.clone());
            }
        }
        SimDisk(Arc::new(Mutex::new(State {
            files,
            durable: live.clone(),
            live,
            changes: Vec::new(),
            durable_dirs: dirs.clone(),
            dirs,
            next_inode: old.next_inode,
            locked: BTreeSet::new(),
            power: None,
            down: false,
            trouble: Trouble::default(),
            calls: 0,
            syncs: 0,
            rng,
            now: old.now,
        })))
    }

    /// The disk after all processes were killed: nothing is lost, but their locks are gone.
    pub fn kill(&self) -> SimDisk {
        let mut old = self.state();
        old.down = true;
        let rng = Rng::new(old.rng.bits());
        SimDisk(Arc::new(Mutex::new(State {
            files: old.files.clone(),
            live: old.live.clone(),
            durable: old.durable.clone(),
            changes: old.changes.clone(),
            dirs: old.dirs.clone(),
            durable_dirs: old.durable_dirs.clone(),
            next_inode: old.next_inode,
            locked: BTreeSet::new(),
            power: None,
            down: false,
            trouble: Trouble::default(),
            calls: 0,
            syncs: 0,
            rng,
            now: old.now,
        })))
    }

    /// Flips a bit of a file, also on the platter: a disk that decays.
    pub fn decay(&self, path: &Path, offset: u64) {
        let mut state = self.state();
        let Some(&inode) = state.live.get(path) else { return };
        if let Some(file) = state.files.get_mut(&inode) {
            for data in [&mut file.data, &mut file.durable] {
                if let Some(byte) = data.get_mut(offset as usize) {
                    *byte ^= 0x10;
                }
            }
        }
    }

    /// All names and the lengths of what they name.
    pub fn names(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state();
        let len = |inode| state.files.get(inode).map_or(0, |f| f.data.len() as u64);
        state.live.iter().map(|(name, inode)| (name.clone(), len(inode))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_file(&self, path: &Path, writable: bool) -> Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.up()?;
        let inode = *state.live.get(&clean(path)).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, writable }))
    }
}

impl State {
    fn up(&self) -> Result<()> {
        if self.down { Err(Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts a changing call; `Err` where the power fails at it, `Ok(true)` where it still takes effect in part.
    fn change(&mut self) -> Result<bool> {
        self.up()?;
        self.calls += 1;
        match &mut self.power {
            Some(0) => {
                self.down = true;
                Ok(self.rng.one_in(2))
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    /// Begins a changing call that takes effect as a whole or not at all.
    fn begin(&mut self) -> Result<()> {
        if self.change()? && !self.down {
            return Ok(());
        }
        Err(Error::other("the power fails"))
    }

    fn trouble(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.rng.one_in(one_in)
    }

    fn names_after_a_cut(&self, rng: &mut Rng) -> BTreeMap<PathBuf, u64> {
        let mut names = self.durable.clone();
        // Often all or none of the rest reached the platter, sometimes any part of it.
        let all = rng.below(4);
        for change in &self.changes {
            let happened = match all {
                0 => false,
                1 => true,
                _ => rng.one_in(2),
            };
            if happened {
                apply(&mut names, change);
            }
        }
        names
    }

    /// Makes changes durable that touch names in `dir`.
    fn sync_names(&mut self, dir: &Path) {
        let touches = |change: &Change| {
            let within = |path: &Path| path.parent() == Some(dir);
            change.gone.as_deref().is_some_and(within) || change.come.as_ref().is_some_and(|(p, _)| within(p))
        };
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(touches);
        for change in &synced {
            apply(&mut self.durable, change);
        }
        self.changes = rest;
        let within: Vec<_> = self.dirs.iter().filter(|d| d.parent() == Some(dir)).cloned().collect();
        self.durable_dirs.extend(within);
    }

    fn rename(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.changes.push(change);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &Change) {
    if let Some(gone) = &change.gone {
        names.remove(gone);
    }
    if let Some((name, inode)) = &change.come {
        names.insert(name.clone(), *inode);
    }
}

impl File {
    fn after_a_cut(&self, rng: &mut Rng) -> File {
        let mut data = self.durable.clone();
        let all = rng.below(4);
        for &sector in &self.dirty {
            let kept = match all {
                0 => false,
                1 => true,
                _ => rng.one_in(2),
            };
            if !kept {
                continue;
            }
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.data.len());
            if from < to {
                if data.len() < to {
                    data.resize(to, 0);
                }
                data[from..to].copy_from_slice(&self.data[from..to]);
            }
        }
        // The length is metadata of its own: it may grow without the data.
        if rng.one_in(2) && data.len() < self.data.len() {
            data.resize(self.data.len(), 0);
        }
        let pick = |rng: &mut Rng, new, old| if rng.one_in(2) { new } else { old };
        let mode = pick(rng, self.mode, self.durable_mode);
        let modified = if rng.one_in(2) { self.modified } else { self.durable_modified };
        File {
            durable: data.clone(),
            data,
            dirty: BTreeSet::new(),
            mode,
            durable_mode: mode,
            modified,
            durable_modified: modified,
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.data.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.data.len());
            self.durable[from..to].copy_from_slice(&self.data[from..to]);
        }
    }
}

/// `./x` and `x` are the same name; the queue directory itself is the empty path.
fn clean(path: &Path) -> PathBuf {
    path.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect()
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let path = clean(path);
        let mut state = self.state();
        state.begin()?;
        let full = state.trouble.full;
        if state.trouble(full) {
            return Err(ErrorKind::StorageFull.into());
        }
        if state.live.contains_key(&path) || state.dirs.contains(&path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        let now = state.now;
        let file = File {
            mode: 0o600,
            durable_mode: 0o600,
            modified: now,
            durable_modified: now,
            ..File::default()
        };
        state.files.insert(inode, file);
        state.rename(Change { gone: None, come: Some((path, inode)) });
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), inode, writable: true }))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        self.open_file(path, true)
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        self.open_file(path, false)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (clean(from), clean(to));
        let mut state = self.state();
        state.begin()?;
        let inode = *state.live.get(&from).ok_or(ErrorKind::NotFound)?;
        if state.live.contains_key(&to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !to.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(Change { gone: Some(from), come: Some((to, inode)) });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        let path = clean(path);
        let mut state = self.state();
        state.begin()?;
        if !state.live.contains_key(&path) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(Change { gone: Some(path), come: None });
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> Result<()> {
        let path = clean(path);
        let mut state = self.state();
        state.begin()?;
        state.dirs.insert(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<Entry>> {
        let dir = clean(dir);
        let state = self.state();
        state.up()?;
        if !state.dirs.contains(&dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let entry = |path: &PathBuf, is_dir| {
            let name = path.file_name()?.to_str()?.to_owned();
            (path.parent() == Some(&dir)).then_some(Entry { name, is_dir })
        };
        let files = state.live.keys().filter_map(|path| entry(path, false));
        Ok(files.chain(state.dirs.iter().filter_map(|path| entry(path, true))).collect())
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let dir = clean(dir);
        let mut state = self.state();
        state.begin()?;
        state.syncs += 1;
        let sync = state.trouble.sync;
        if state.trouble(sync) {
            return Err(Error::from_raw_os_error(5));
        }
        state.sync_names(&dir);
        Ok(())
    }

    fn sync_everything(&self) -> Result<()> {
        let mut state = self.state();
        state.begin()?;
        for file in state.files.values_mut() {
            file.sync();
            file.durable_mode = file.mode;
            file.durable_modified = file.modified;
        }
        for change in std::mem::take(&mut state.changes) {
            apply(&mut state.durable, &change);
        }
        state.durable_dirs = state.dirs.clone();
        Ok(())
    }

    fn stat(&self, path: &Path) -> Result<Stat> {
        let file = self.open_file(path, false)?;
        file.stat()
    }

    fn set_modified(&self, path: &Path, at: Timestamp) -> Result<()> {
        self.open_file(path, true)?.set_modified(at)
    }

    fn space(&self) -> Result<Space> {
        self.state().up()?;
        Ok(Space { free_bytes: 1 << 40, block_bytes: 4096 })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        let by = LockedBy::Name(clean(path));
        let mut state = self.state();
        state.up()?;
        if !state.locked.insert(by.clone()) {
            // One thread: whoever holds it would never give it up.
            return Err(Error::other("deadlock"));
        }
        drop(state);
        Ok(Box::new(Held { disk: self.clone(), by }))
    }

    fn random(&self) -> u64 {
        self.state().rng.bits()
    }
}

struct Held {
    disk: SimDisk,
    by: LockedBy,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.by);
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    writable: bool,
}

impl SimFile {
    fn with<T>(&self, state: &mut State, work: impl FnOnce(&mut File) -> T) -> Result<T> {
        state.files.get_mut(&self.inode).map(work).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self, metadata: bool) -> Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        state.syncs += 1;
        let sync = state.trouble.sync;
        if state.trouble(sync) {
            // The pages count as clean from now on, whatever reached the platter.
            let mut rng = Rng::new(state.rng.bits());
            self.with(&mut state, |file| {
                let dirty = std::mem::take(&mut file.dirty);
                let lucky: BTreeSet<usize> = dirty.into_iter().filter(|_| rng.one_in(2)).collect();
                let kept = std::mem::replace(&mut file.dirty, lucky);
                file.sync();
                drop(kept);
            })?;
            return Err(Error::from_raw_os_error(5));
        }
        self.with(&mut state, |file| {
            file.sync();
            if metadata {
                file.durable_mode = file.mode;
                file.durable_modified = file.modified;
            }
        })
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut state = self.disk.state();
        state.up()?;
        self.with(&mut state, |file| {
            let from = file.data.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let n = buf.len().min(file.data.len() - from);
            buf[..n].copy_from_slice(&file.data[from..from + n]);
            n
        })
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        if !self.writable {
            return Err(Error::from_raw_os_error(9));
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
        let mut state = self.disk.state();
        let effect = state.change()?;
        let down = state.down;
        if down {
            // The power fails in the middle of the write.
            let n = if effect { state.rng.index(bytes.len() + 1) } else { 0 };
            bytes.truncate(n);
        }
        let (write, full) = (state.trouble.write, state.trouble.full);
        let grows = self.with(&mut state, |f| f.data.len() < offset as usize + bytes.len())?;
        let mut result = Ok(bytes.len());
        if !down && grows && state.trouble(full) {
            return Err(ErrorKind::StorageFull.into());
        }
        if !down && state.trouble(write) {
            let n = state.rng.index(bytes.len() + 1);
            bytes.truncate(n);
            result = if state.rng.one_in(2) { Ok(n) } else { Err(Error::from_raw_os_error(5)) };
        }
        let now = state.now;
        self.with(&mut state, |file| {
            file.write(&bytes, offset as usize);
            file.modified = now;
        })?;
        if down { Err(Error::other("the power fails")) } else { result }
    }

    fn sync_data(&self) -> Result<()> {
        self.sync(false)
    }

    fn sync_all(&self) -> Result<()> {
        self.sync(true)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        let full = state.trouble.full;
        if state.trouble(full) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.with(&mut state, |file| {
            if (file.data.len() as u64) < len {
                file.data.resize(len as usize, 0);
            }
        })
    }

    fn stat(&self) -> Result<Stat> {
        let mut state = self.disk.state();
        state.up()?;
        let inode = self.inode;
        self.with(&mut state, |file| Stat {
            inode,
            len: file.data.len() as u64,
            mode: file.mode,
            modified: file.modified,
        })
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        self.with(&mut state, |file| file.mode = mode)
    }

    fn set_modified(&self, at: Timestamp) -> Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        self.with(&mut state, |file| file.modified = at)
    }

    fn try_lock(&self) -> Result<Option<Box<dyn Lock>>> {
        let by = LockedBy::Inode(self.inode);
        let mut state = self.disk.state();
        state.up()?;
        if !state.locked.insert(by.clone()) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(Box::new(Held { disk: self.disk.clone(), by })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
        let file = disk.open_read(Path::new(name)).ok()?;
        let mut bytes = vec![0; file.stat().unwrap().len as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn what_was_synced_survives_every_power_cut() {
        for seed in 0..200 {
            let disk = SimDisk::new(seed);
            let file = disk.create(Path::new("a")).unwrap();
            file.write_all_at(&[7; 3000], 0).unwrap();
            file.sync_all().unwrap();
            disk.sync_dir(Path::new(".")).unwrap();
            file.write_all_at(&[8; 600], 1000).unwrap();
            let found = contents(&disk.restart(), "a").unwrap();
            assert!(found[..512].iter().all(|&b| b == 7) && found.len() == 3000, "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_synced_is_lost_kept_or_torn_by_sector() {
        let (mut lost, mut kept, mut torn, mut nameless) = (0, 0, 0, 0);
        for seed in 0..400 {
            let disk = SimDisk::new(seed);
            let file = disk.create(Path::new("a")).unwrap();
            file.write_all_at(&[7; 2048], 0).unwrap();
            match contents(&disk.restart(), "a") {
                None => nameless += 1,
                Some(found) => match found.iter().filter(|&&b| b == 7).count() {
                    0 => lost += 1,
                    2048 => kept += 1,
                    _ => torn += 1,
                },
            }
        }
        assert!(lost > 10 && kept > 10 && torn > 10 && nameless > 10, "{lost} {kept} {torn} {nameless}");
    }

    #[test]
    fn an_unlink_that_was_not_synced_may_come_undone() {
        let undone = (0..100).filter(|&seed| {
            let disk = SimDisk::new(seed);
            disk.create(Path::new("a")).unwrap().sync_all().unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            disk.unlink(Path::new("a")).unwrap();
            contents(&disk.restart(), "a").is_some()
        });
        assert!((20..80).contains(&undone.count()));
    }

    #[test]
    fn a_rename_keeps_one_of_its_names() {
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create(Path::new("a")).unwrap().sync_all().unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            disk.rename_new(Path::new("a"), Path::new("b")).unwrap();
            let after = disk.restart();
            assert!(contents(&after, "a").is_some() != contents(&after, "b").is_some(), "seed {seed}");
        }
    }

    #[test]
    fn after_a_failed_sync_a_later_one_does_not_bring_the_data_back() {
        let lost = (0..100).filter(|&seed| {
            let disk = SimDisk::new(seed);
            let file = disk.create(Path::new("a")).unwrap();
            disk.sync_dir(Path::new("")).unwrap();
            file.write_all_at(&[7; 512], 0).unwrap();
            disk.set_trouble(Trouble { sync: 1, ..Trouble::default() });
            assert!(file.sync_data().is_err());
            disk.set_trouble(Trouble::default());
            file.sync_data().unwrap();
            contents(&disk.restart(), "a") != Some(vec![7; 512])
        });
        assert!(lost.count() > 20);
    }

    #[test]
    fn behind_the_power_cut_nothing_works_and_nothing_changes() {
        let disk = SimDisk::new(1);
        let file = disk.create(Path::new("a")).unwrap();
        disk.fail_power_after(1);
        file.write_all_at(b"x", 0).unwrap();
        assert!(file.write_all_at(b"y", 1).is_err() && disk.is_down());
        assert!(file.sync_data().is_err() && disk.list(Path::new("")).is_err());
    }
}
