//! Names and files as they are seen and as they are on the disk, and what a power cut makes of them.

use super::Failures;
use super::inode::Inode;
use crate::rng::Rng;
use mail::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) files: BTreeMap<u64, Inode>,
    pub(super) dirs: BTreeMap<PathBuf, Dir>,
    pub(super) next_rename: u64,
    pub(super) locked: BTreeSet<Locked>,
    /// Calls until the power goes; `None` for never.
    pub(super) fuse: Option<u64>,
    pub(super) dead: bool,
    pub(super) failures: Failures,
    /// Failures shown so far.
    pub(super) failed: u64,
    pub(super) epoch: u64,
    pub(super) now: Timestamp,
}

/// What somebody has locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Locked {
    File(u64),
    Name(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Dir,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Link { name: String, node: Node, rename: Option<u64> },
    Unlink { name: String, rename: Option<u64> },
}

impl Change {
    fn name(&self) -> &str {
        match self {
            Change::Link { name, .. } | Change::Unlink { name, .. } => name,
        }
    }
}

#[derive(Default)]
pub(super) struct Dir {
    pub(super) live: BTreeMap<String, Node>,
    pub(super) durable: BTreeMap<String, Node>,
    pub(super) pending: Vec<Change>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        State {
            rng: Rng::new(seed ^ 0xd15c),
            files: BTreeMap::new(),
            dirs: BTreeMap::from([(PathBuf::new(), Dir::default())]),
            next_rename: 0,
            locked: BTreeSet::new(),
            fuse: None,
            dead: false,
            failures: Failures::default(),
            failed: 0,
            epoch: 0,
            now: Timestamp::default(),
        }
    }

    /// Counts a call that changes something; fails where the power is gone or goes now.
    pub(super) fn change(&mut self) -> io::Result<()> {
        if let Some(fuse) = &mut self.fuse {
            if *fuse == 0 {
                self.dead = true;
            } else {
                *fuse -= 1;
            }
        }
        self.alive()
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    /// Whether a call that fails so many times of a thousand fails now.
    pub(super) fn fails(&mut self, kind: impl Fn(&Failures) -> u64) -> bool {
        let per_mille = kind(&self.failures);
        let fails = per_mille > 0 && self.rng.below(1000) < per_mille;
        self.failed += u64::from(fails);
        fails
    }

    pub(super) fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        let path = if path == Path::new(".") { Path::new("") } else { path };
        self.dirs.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn lookup(&mut self, path: &Path) -> io::Result<Node> {
        let (dir, name) = split(path)?;
        self.dir(dir)?.live.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode(&mut self, ino: u64) -> io::Result<&mut Inode> {
        self.files.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes the names in a directory durable, and the new names of what left it.
    pub(super) fn sync_names(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        dir.durable.clone_from(&dir.live);
        let left: HashSet<u64> = std::mem::take(&mut dir.pending)
            .into_iter()
            .filter_map(|change| if let Change::Unlink { rename, .. } = change { rename } else { None })
            .collect();
        for dir in self.dirs.values_mut() {
            let mut rest: Vec<Change> = Vec::new();
            for change in std::mem::take(&mut dir.pending) {
                match change {
                    Change::Link { name, node, rename: Some(id) } if left.contains(&id) => {
                        // What happened to the name before is no longer open.
                        rest.retain(|earlier| earlier.name() != name);
                        dir.durable.insert(name, node);
                    }
                    other => rest.push(other),
                }
            }
            dir.pending = rest;
        }
        Ok(())
    }

    /// The power goes and comes back.
    pub(super) fn cut(&mut self) {
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
        self.locked.clear();
        self.fuse = None;
        self.dead = false;
        self.epoch += 1;
    }

    /// An inode without any name, now or after a power cut, can be used again.
    pub(super) fn forget_unnamed(&mut self) {
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

pub(super) fn split(path: &Path) -> io::Result<(&Path, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((path.parent().unwrap_or(Path::new("")), name.to_owned()))
}
