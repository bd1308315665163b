//! A disk in memory that forgets what was not synced: sectors, names, modes and times, each for itself.
//!
//! Until a power cut every call sees what earlier calls did, as with a page cache. A power cut keeps of each file what
//! was synced, of later writes any sectors, and of each directory the names as they were when it was synced, with
//! any part of the later changes. Of a rename the old name never goes without the new one being there, also where the
//! directory that it left is synced; both may stay. A sync that fails leaves what it should have written clean, and a
//! later one that succeeds does not write it, as on Linux.

use inode::Inode;
use mail::Timestamp;
use queue::{Disk, DiskFile, Entry, Lock, Space, Stat};
use state::{Change, Dir, Locked, Node, State, split};
use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod inode;
mod state;

const SECTOR: usize = 512;

/// Always more than anyone asks for: what runs full says so itself.
const FREE_BYTES: u64 = 1 << 40;

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// Which failures the disk shows beside power cuts: of a thousand calls, how many fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Writes that fail or are short.
    pub write: u64,
    /// Syncs.
    pub sync: u64,
    /// New files and bytes for which there is no room.
    pub full: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        SimDisk(Arc::new(Mutex::new(State::new(seed))))
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

    /// All files, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state();
        let mut found = Vec::new();
        for (dir, names) in &state.dirs {
            for (name, node) in &names.live {
                if let Node::File(ino) = node {
                    let len = state.files.get(ino).map_or(0, |inode| inode.live.data.len() as u64);
                    found.push((dir.join(name), len));
                }
            }
        }
        found
    }

    /// Cuts the power, if it is not gone, and brings it back: what is left is what was synced and chance.
    pub fn power_cut(&self) {
        self.state().cut();
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.change()?;
        if state.fails(|failures| failures.full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (parent, name) = split(path)?;
        if state.dir(parent)?.live.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Inodes are used again as soon as they are free.
        let used: HashSet<u64> = state.files.keys().copied().collect();
        let ino = (10..).find(|n| !used.contains(n)).unwrap_or(u64::MAX);
        let inode = Inode::new(state.now);
        state.files.insert(ino, inode);
        let node = Node::File(ino);
        let dir = state.dir(parent)?;
        dir.live.insert(name.clone(), node);
        dir.pending.push(Change::Link { name, node, rename: None });
        let epoch = state.epoch;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), ino, epoch, heard: AtomicU64::new(0) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.alive()?;
        let Node::File(ino) = state.lookup(path)? else { return Err(io::ErrorKind::IsADirectory.into()) };
        let epoch = state.epoch;
        let heard = AtomicU64::new(state.inode(ino)?.errors);
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), ino, epoch, heard }))
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
        if state.fails(|failures| failures.sync) {
            return Err(io::Error::other("sync failed"));
        }
        state.sync_names(dir)
    }

    fn sync_everything(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if state.fails(|failures| failures.sync) {
            state.files.values_mut().for_each(Inode::fail_sync);
            return Err(io::Error::other("sync failed"));
        }
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
        Ok(Space { free_bytes: FREE_BYTES, block_bytes: 4096 })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        state.change()?;
        let what = Locked::Name(path.to_path_buf());
        assert!(state.locked.insert(what.clone()), "in one thread nobody can give the lock back");
        let epoch = state.epoch;
        drop(state);
        Ok(Box::new(Held { disk: self.clone(), what, epoch }))
    }

    fn random(&self) -> u64 {
        self.state().rng.bits()
    }
}

struct SimFile {
    disk: SimDisk,
    ino: u64,
    /// A file that was open when the power went belongs to a process that is gone.
    epoch: u64,
    /// Errors of the file that a sync told.
    heard: AtomicU64,
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
            let fails = !cut && state.fails(|failures| failures.write);
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
            if state.fails(|failures| failures.full) {
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
        let what = Locked::File(self.ino);
        let taken = self.with(false, |state| Ok(state.locked.insert(what.clone())))?;
        let lock =
            || -> Box<dyn Lock> { Box::new(Held { disk: self.disk.clone(), what, epoch: self.epoch }) };
        Ok(taken.then(lock))
    }
}

impl SimFile {
    fn sync(&self, metadata: bool) -> io::Result<()> {
        self.with(true, |state| {
            let fails = state.fails(|failures| failures.sync);
            let inode = state.inode(self.ino)?;
            if fails {
                inode.fail_sync();
            }
            let before = self.heard.swap(inode.errors, Ordering::Relaxed);
            if fails || before < inode.errors {
                return Err(io::Error::other("sync failed"));
            }
            inode.sync(metadata);
            Ok(())
        })
    }
}

struct Held {
    disk: SimDisk,
    what: Locked,
    epoch: u64,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locked.remove(&self.what);
        }
    }
}
