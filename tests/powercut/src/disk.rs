//! A disk in memory that forgets what was not synced: sectors, names, modes and times, each for itself.
//!
//! Until a power cut every call sees what earlier calls did, as with a page cache. A power cut keeps of each file what
//! was synced, of later writes any sectors, and of each directory the names as they were when it was synced, with
//! any part of the later changes. Of a rename the old name never goes without the new one being there.

use crate::rng::Rng;
use mail::Timestamp;
use queue::{Disk, DiskFile, Entry, Lock, Space, Stat};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// Which failures the disk shows beside power cuts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Of a thousand writes and syncs, how many fail.
    pub per_mille: u64,
}

struct State {
    rng: Rng,
    files: BTreeMap<u64, Inode>,
    dirs: BTreeMap<PathBuf, Dir>,
    next_rename: u64,
    locks: BTreeSet<u64>,
    name_locks: BTreeSet<PathBuf>,
    /// Calls until the power goes; `None` for never.
    fuse: Option<u64>,
    dead: bool,
    failures: Failures,
    /// Failures shown so far.
    failed: u64,
    free_bytes: u64,
    epoch: u64,
    now: Timestamp,
    calls: u64,
}

#[derive(Clone, Default)]
struct Content {
    data: Vec<u8>,
    mode: u32,
    modified: Timestamp,
}

struct Inode {
    live: Content,
    durable: Content,
    /// Sectors written since the last sync, with the versions that they had since.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(u64),
    Dir,
}

#[derive(Clone, Debug)]
enum Change {
    Link { name: String, node: Node, rename: Option<u64> },
    Unlink { name: String, rename: Option<u64> },
}

#[derive(Default)]
struct Dir {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::new(seed ^ 0xd15c),
            files: BTreeMap::new(),
            dirs: BTreeMap::from([(PathBuf::new(), Dir::default())]),
            next_rename: 0,
            locks: BTreeSet::new(),
            name_locks: BTreeSet::new(),
            fuse: None,
            dead: false,
            failures: Failures::default(),
            failed: 0,
            free_bytes: 1 << 40,
            epoch: 0,
            now: Timestamp::default(),
            calls: 0,
        };
        SimDisk(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the power go after so many calls that change something.
    pub fn cut_after(&self, calls: Option<u64>) {
        self.state().fuse = calls;
    }

    /// Lets calls fail from now on.
    pub fn fail(&self, failures: Failures) {
        self.state().failures = failures;
    }

    /// How many calls failed so far.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    /// Whether the power has gone.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The time that files get when they are written.
    pub fn set_now(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Cuts the power, if it is not gone, and brings it back: what is left is what was synced and chance.
    pub fn power_cut(&self) {
        self.state().cut();
    }
}

impl State {
    /// Counts a call that changes something; fails where the power is gone or goes now.
    fn change(&mut self) -> io::Result<()> {
        self.calls += 1;
        if let Some(fuse) = &mut self.fuse {
            if *fuse == 0 {
                self.dead = true;
            } else {
                *fuse -= 1;
            }
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn may_fail(&mut self) -> bool {
        let per_mille = self.failures.per_mille;
        let fails = per_mille > 0 && self.rng.below(1000) < per_mille;
        self.failed += u64::from(fails);
        fails
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        let path = if path == Path::new(".") { Path::new("") } else { path };
        self.dirs.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lookup(&mut self, path: &Path) -> io::Result<Node> {
        let (dir, name) = split(path)?;
        self.dir(dir)?.live.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, ino: u64) -> io::Result<&mut Inode> {
        self.files.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn cut(&mut self) {
        let keep_names = [0, 10, 50, 90, 100][self.rng.below(5) as usize];
        let keep_sectors = [0, 10, 50, 90, 100][self.rng.below(5) as usize];
        let mut rng = self.rng.clone();
        // First the new names, since an old name goes only where the new one of its rename is there.
        let mut lost = HashSet::new();
        let mut chosen: BTreeMap<PathBuf, Vec<bool>> = BTreeMap::new();
        for (path, dir) in &self.dirs {
            let picks: Vec<bool> = dir.pending.iter().map(|_| rng.chance(keep_names)).collect();
            for (change, kept) in dir.pending.iter().zip(&picks) {
                if let (Change::Link { rename: Some(id), .. }, false) = (change, kept) {
                    lost.insert(*id);
                }
            }
            chosen.insert(path.clone(), picks);
        }
        for (path, dir) in &mut self.dirs {
            let picks = &chosen[path];
            for (change, kept) in std::mem::take(&mut dir.pending).into_iter().zip(picks) {
                match change {
                    Change::Link { name, node, .. } if *kept => drop(dir.durable.insert(name, node)),
                    Change::Unlink { name, rename }
                        if *kept && rename.is_none_or(|id| !lost.contains(&id)) =>
                    {
                        dir.durable.remove(&name);
                    }
                    _ => {}
                }
            }
            dir.live = dir.durable.clone();
        }
        // A directory whose own name was lost is gone with all that was in it.
        let there = |path: &PathBuf, dirs: &BTreeMap<PathBuf, Dir>| {
            path.ancestors().filter(|p| !p.as_os_str().is_empty()).all(|p| {
                let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let parent = p.parent().unwrap_or(Path::new(""));
                dirs.get(parent).is_some_and(|dir| dir.live.get(name) == Some(&Node::Dir))
            })
        };
        let gone: Vec<_> = self.dirs.keys().filter(|path| !there(path, &self.dirs)).cloned().collect();
        gone.iter().for_each(|path| drop(self.dirs.remove(path)));
        let named: HashSet<u64> = self
            .dirs
            .values()
            .flat_map(|dir| dir.live.values())
            .filter_map(|node| if let Node::File(ino) = node { Some(*ino) } else { None })
            .collect();
        self.files.retain(|ino, _| named.contains(ino));
        for inode in self.files.values_mut() {
            inode.cut(&mut rng, keep_sectors);
        }
        self.rng = rng;
        self.locks.clear();
        self.name_locks.clear();
        self.fuse = None;
        self.dead = false;
        self.epoch += 1;
    }
}

impl Inode {
    fn cut(&mut self, rng: &mut Rng, keep: u64) {
        if rng.chance(keep) {
            // The length may be known while the data is not.
            self.durable.data.resize(self.live.data.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            if !rng.chance(keep) {
                continue;
            }
            let version = &versions[rng.below(versions.len() as u64) as usize];
            let start = sector * SECTOR;
            for (at, byte) in (start..).zip(version) {
                if let Some(slot) = self.durable.data.get_mut(at) {
                    *slot = *byte;
                }
            }
        }
        if rng.chance(keep) {
            self.durable.mode = self.live.mode;
        }
        if rng.chance(keep) {
            self.durable.modified = self.live.modified;
        }
        self.live = self.durable.clone();
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.live.data.len() < end {
            self.live.data.resize(end, 0);
        }
        self.live.data[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.live.data.len());
            let versions = self.dirty.entry(sector).or_default();
            versions.push(self.live.data[from..to].to_vec());
            if versions.len() > 4 {
                versions.remove(1);
            }
        }
    }

    fn sync(&mut self, metadata: bool) {
        // Only what is dirty: what an earlier sync failed to write is clean now, and lost.
        self.durable.data.resize(self.live.data.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.live.data.len());
            self.durable.data[from..to].copy_from_slice(&self.live.data[from..to]);
        }
        if metadata {
            self.durable.mode = self.live.mode;
            self.durable.modified = self.live.modified;
        }
    }
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((path.parent().unwrap_or(Path::new("")), name.to_owned()))
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.change()?;
        if state.may_fail() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (parent, name) = split(path)?;
        if state.dir(parent)?.live.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Inodes are used again as soon as they are free.
        let used: HashSet<u64> = state.files.keys().copied().collect();
        let ino = (10..).find(|n| !used.contains(n)).unwrap_or(u64::MAX);
        let content = Content { mode: 0o600, modified: state.now, ..Content::default() };
        let durable = Content { mode: 0o600, ..Content::default() };
        state.files.insert(ino, Inode { live: content, durable, dirty: BTreeMap::new() });
        let node = Node::File(ino);
        let dir = state.dir(parent)?;
        dir.live.insert(name.clone(), node);
        dir.pending.push(Change::Link { name, node, rename: None });
        let epoch = state.epoch;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), ino, epoch }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.alive()?;
        let Node::File(ino) = state.lookup(path)? else { return Err(io::ErrorKind::IsADirectory.into()) };
        let epoch = state.epoch;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), ino, epoch }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let node = state.lookup(from)?;
        let (from_dir, from_name) = split(from)?;
        let (to_dir, to_name) = split(to)?;
        if state.dir(to_dir)?.live.contains_key(&to_name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_rename;
        state.next_rename += 1;
        let dir = state.dir(to_dir)?;
        dir.live.insert(to_name.clone(), node);
        dir.pending.push(Change::Link { name: to_name, node, rename: Some(id) });
        let dir = state.dir(from_dir)?;
        dir.live.remove(&from_name);
        dir.pending.push(Change::Unlink { name: from_name, rename: Some(id) });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.lookup(path)?;
        let (parent, name) = split(path)?;
        let dir = state.dir(parent)?;
        dir.live.remove(&name);
        dir.pending.push(Change::Unlink { name, rename: None });
        state.forget_unnamed();
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let (parent, name) = split(path)?;
        let dir = state.dir(parent)?;
        if !dir.live.contains_key(&name) {
            dir.live.insert(name.clone(), Node::Dir);
            dir.pending.push(Change::Link { name, node: Node::Dir, rename: None });
            state.dirs.insert(path.to_path_buf(), Dir::default());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state();
        state.alive()?;
        let entries = state.dir(dir)?.live.iter();
        Ok(entries.map(|(name, node)| Entry { name: name.clone(), is_dir: *node == Node::Dir }).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if state.may_fail() {
            return Err(io::Error::other("sync failed"));
        }
        let dir = state.dir(dir)?;
        dir.durable.clone_from(&dir.live);
        dir.pending.clear();
        Ok(())
    }

    fn sync_everything(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        for inode in state.files.values_mut() {
            inode.sync(true);
        }
        for dir in state.dirs.values_mut() {
            dir.durable.clone_from(&dir.live);
            dir.pending.clear();
        }
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.open(path)?.stat()
    }

    fn set_modified(&self, path: &Path, at: Timestamp) -> io::Result<()> {
        self.open(path)?.set_modified(at)
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { free_bytes: self.state().free_bytes, block_bytes: 4096 })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        state.change()?;
        assert!(state.name_locks.insert(path.to_path_buf()), "in one thread nobody can give the lock back");
        let epoch = state.epoch;
        drop(state);
        Ok(Box::new(NameLock { disk: self.clone(), path: path.to_path_buf(), epoch }))
    }

    fn random(&self) -> u64 {
        self.state().rng.bits()
    }
}

impl State {
    /// An inode without any name, now or after a power cut, can be used again.
    fn forget_unnamed(&mut self) {
        let mut named = HashSet::new();
        for dir in self.dirs.values() {
            let pending = dir.pending.iter().filter_map(|change| match change {
                Change::Link { node, .. } => Some(node),
                Change::Unlink { .. } => None,
            });
            for node in dir.live.values().chain(dir.durable.values()).chain(pending) {
                if let Node::File(ino) = node {
                    named.insert(*ino);
                }
            }
        }
        self.files.retain(|ino, _| named.contains(ino));
    }
}

struct SimFile {
    disk: SimDisk,
    ino: u64,
    /// A file that was open when the power went belongs to a process that is gone.
    epoch: u64,
}

impl SimFile {
    fn with<T>(&self, changes: bool, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if self.epoch != state.epoch {
            return Err(io::Error::other("the power is gone"));
        }
        if changes {
            state.change()?;
        } else {
            state.alive()?;
        }
        act(&mut state)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(false, |state| {
            let data = &state.inode(self.ino)?.live.data;
            let rest = usize::try_from(offset).ok().and_then(|at| data.get(at..)).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        })
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.with(false, |state| {
            // A power cut in the middle of a write: some of its sectors may have arrived.
            let cut = state.change().is_err();
            let fails = !cut && state.may_fail();
            if cut || fails {
                let mut kept = state.rng.below(all.len() as u64 + 1) as usize;
                if cut {
                    // No sector is torn in itself.
                    kept -= kept.min((offset as usize + kept) % SECTOR);
                }
                all.truncate(kept);
            }
            let now = state.now;
            let inode = state.inode(self.ino)?;
            inode.write(&all, offset as usize);
            inode.live.modified = now;
            match (cut, fails) {
                (true, _) => Err(io::Error::other("the power is gone")),
                // A short write, or none at all.
                (_, true) if all.is_empty() => Err(io::Error::other("write failed")),
                _ => Ok(all.len()),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.with(true, |state| {
            if state.may_fail() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let data = &mut state.inode(self.ino)?.live.data;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if data.len() < len {
                data.resize(len, 0);
            }
            Ok(())
        })
    }

    fn stat(&self) -> io::Result<Stat> {
        self.with(false, |state| {
            let live = &state.inode(self.ino)?.live;
            Ok(Stat {
                inode: self.ino,
                len: live.data.len() as u64,
                mode: live.mode,
                modified: live.modified,
            })
        })
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.with(true, |state| {
            state.inode(self.ino)?.live.mode = mode;
            Ok(())
        })
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.with(true, |state| {
            state.inode(self.ino)?.live.modified = at;
            Ok(())
        })
    }

    fn try_lock(&self) -> io::Result<Option<Box<dyn Lock>>> {
        let taken = self.with(false, |state| Ok(state.locks.insert(self.ino)))?;
        let lock = FileLock { disk: self.disk.clone(), ino: self.ino, epoch: self.epoch };
        Ok(if taken {
            Some(Box::new(lock))
        } else {
            // Not ours: it must not be given back.
            std::mem::forget(lock);
            None
        })
    }
}

impl SimFile {
    fn sync(&self, metadata: bool) -> io::Result<()> {
        self.with(true, |state| {
            let fails = state.may_fail();
            let inode = state.inode(self.ino)?;
            if fails {
                // As Linux does: the pages count as clean now and are never written.
                inode.dirty.clear();
                return Err(io::Error::other("sync failed"));
            }
            inode.sync(metadata);
            Ok(())
        })
    }
}

struct FileLock {
    disk: SimDisk,
    ino: u64,
    epoch: u64,
}

impl Lock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locks.remove(&self.ino);
        }
    }
}

struct NameLock {
    disk: SimDisk,
    path: PathBuf,
    epoch: u64,
}

impl Lock for NameLock {}

impl Drop for NameLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.name_locks.remove(&self.path);
        }
    }
}
