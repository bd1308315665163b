//! Queue directories against the index: at the start all of them, then slowly again and again.
//!
//! Other hands on a live spool (mv, rm, touch, postsuper) are normal, and what lies in the directories wins.

use super::entry::{FileEntry, Progress, Queue};
use super::moving::Work;
use super::{FLUSHED, Store};
use crate::disk::Disk;
use crate::file::mode;
use crate::journal::MessageKey;
use mail::{QueueId, Timestamp};
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks at all directories.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Levels of hash directories that Postfix knows.
const DEPTH_MAX: usize = 2;

/// Where the look at the directories is.
pub(super) struct Scan {
    /// Directories that are still to be read in this pass.
    todo: VecDeque<(Queue, PathBuf, usize)>,
    running: bool,
    passes: u64,
    next_at: Timestamp,
    /// Inodes that this pass met.
    seen: HashSet<u64>,
    /// Keys that were there when the pass began: what is not met by its end is looked for.
    expected: Vec<MessageKey>,
}

/// A queue file in a directory.
struct Found {
    id: QueueId,
    inode: u64,
    modified: Timestamp,
    mode: u32,
}

/// What is in a directory.
pub(super) struct Listing {
    queue: Queue,
    dir: PathBuf,
    depth: usize,
    sub_directories: Vec<String>,
    files: Vec<Found>,
    error: Option<std::io::Error>,
}

impl Scan {
    pub(super) fn new() -> Self {
        Scan {
            todo: VecDeque::new(),
            running: false,
            passes: 0,
            next_at: Timestamp::default(),
            seen: HashSet::new(),
            expected: Vec::new(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.passes > 0
    }
}

impl Store {
    /// Reads the next directory; behind the last one, sees what is gone.
    pub(super) fn scan_some(&mut self, now: Timestamp) {
        if self.scan.running {
            return;
        }
        if self.scan.todo.is_empty() {
            if now < self.scan.next_at {
                return;
            }
            self.scan.next_at = now.after(AGAIN_AFTER);
            self.scan.seen.clear();
            self.scan.expected = self.index.files.keys().copied().collect();
            self.scan.todo =
                Queue::ALL.iter().map(|&queue| (queue, PathBuf::from(queue.name()), 0)).collect();
        }
        let Some((queue, dir, depth)) = self.scan.todo.pop_front() else { return };
        self.scan.running = true;
        let disk = self.disk.clone();
        self.syncer.submit(move || Work::Listed(list(&*disk, queue, dir, depth)));
    }

    pub(super) fn take_listing(&mut self, listing: Listing, now: Timestamp) {
        self.scan.running = false;
        if let Some(error) = &listing.error {
            self.failed("reading directory", &listing.dir, error);
        }
        for name in listing.sub_directories {
            self.scan.todo.push_back((listing.queue, listing.dir.join(name), listing.depth + 1));
        }
        // A file that is being written for a message of the journal is not known by its inode yet.
        let in_journal: HashSet<QueueId> =
            self.index.journal.values().map(|entry| entry.queue_id.clone()).collect();
        for found in listing.files {
            self.scan.seen.insert(found.inode);
            let (inode, bits) = (found.inode, found.mode);
            self.take_found(listing.queue, found, &in_journal);
            if bits & mode::FLUSH != 0 {
                self.flush_found(inode, bits);
            }
        }
        if self.scan.todo.is_empty() {
            self.end_pass();
        } else {
            self.scan_some(now);
        }
    }

    fn take_found(
        &mut self,
        queue: Queue,
        Found { id, inode, modified, .. }: Found,
        in_journal: &HashSet<QueueId>,
    ) {
        if let Some(&key) = self.index.by_inode.get(&inode) {
            let Some(file) = self.index.files.get_mut(&key) else { return };
            if file.queue_id == id {
                let before = std::mem::replace(&mut file.queue, queue);
                let moved = before != queue;
                let retry_at = file.progress.retry_at;
                if moved && self.drop_second_name(key, before, queue) {
                    return;
                }
                let Some(file) = self.index.files.get_mut(&key) else { return };
                if queue == Queue::Hold {
                    self.index.stop_waiting(key);
                } else if !file.progress.in_flight
                    && file.open.is_none()
                    && (moved || retry_at.is_some_and(|at| at != modified))
                {
                    // We may have set the time since the directory was read: other hands did where it is still so.
                    let path = self.hashing.path(queue.name(), &id);
                    if let Ok(stat) = self.disk.stat(&path) {
                        self.index.wait(key, stat.modified);
                    }
                }
                return;
            }
            self.index.remove_file(key);
        }
        if in_journal.contains(&id) {
            return;
        }
        let key = MessageKey::file(inode);
        let mut progress = Progress::default();
        if self.file_crashes.get(&inode).is_some_and(|(known, _)| *known == id)
            && let Some((_, crashes)) = self.file_crashes.remove(&inode)
        {
            progress.crashes = crashes;
        }
        let suspect = progress.crashes >= super::recover::CRASHES_MAX;
        self.index.add_file(
            key,
            FileEntry { queue_id: id.clone(), queue, inode, progress, warned: false, open: None },
        );
        if suspect {
            (self.settings.report)(&crate::Report::Suspect {
                queue_id: id,
                crashes: super::recover::CRASHES_MAX,
            });
            self.put_into(key, Queue::Hold);
            self.tell_suspicion(key);
        } else if queue != Queue::Hold {
            self.index.wait(key, modified);
        }
    }

    /// Does what the mode of a file asks for, once.
    fn flush_found(&mut self, inode: u64, bits: u32) {
        let Some(&key) = self.index.by_inode.get(&inode) else { return };
        let idle = |file: &&FileEntry| file.queue != Queue::Hold && !file.progress.in_flight;
        let Some(path) = self.index.files.get(&key).filter(idle).and_then(|_| self.path(key)) else { return };
        match self.disk.open(&path).and_then(|file| file.set_mode(bits & 0o777 & !mode::FLUSH)) {
            Ok(()) => self.index.wait(key, FLUSHED),
            Err(error) => self.failed("changing the mode of", &path, &error),
        }
    }

    /// Where a file is in both directories, since a power cut kept both names of a rename, takes one of them away: what was
    /// on its way into or out of `hold/` stays on hold. Whether it was so.
    fn drop_second_name(&mut self, key: MessageKey, one: Queue, other: Queue) -> bool {
        let (keep, drop) = if one == Queue::Hold { (one, other) } else { (other, one) };
        let Some(file) = self.index.files.get(&key) else { return false };
        let (id, inode) = (file.queue_id.clone(), file.inode);
        // The one that stays is looked at last: other hands may be moving it right now.
        if !self.is_in(drop, &id, inode) || !self.is_in(keep, &id, inode) {
            return false;
        }
        if let Some(file) = self.index.files.get_mut(&key) {
            file.queue = keep;
        }
        if keep == Queue::Hold {
            self.index.stop_waiting(key);
        }
        let path = self.hashing.path(drop.name(), &id);
        match super::moving::remove_file(&*self.disk, &path) {
            Ok(()) => self.dirty_dirs.extend(path.parent().map(Path::to_path_buf)),
            Err(error) => self.failed("removing the second name", &path, &error),
        }
        true
    }

    /// What was known and not met is gone, unless it moved behind our back while we looked.
    fn end_pass(&mut self) {
        self.scan.passes += 1;
        for key in std::mem::take(&mut self.scan.expected) {
            let Some(file) = self.index.files.get(&key) else { continue };
            if self.scan.seen.contains(&file.inode) || file.progress.in_flight {
                continue;
            }
            if !Queue::ALL.into_iter().any(|queue| self.is_in(queue, &file.queue_id, file.inode)) {
                self.index.remove_file(key);
            }
        }
    }
}

fn list(disk: &dyn Disk, queue: Queue, dir: PathBuf, depth: usize) -> Listing {
    let mut listing =
        Listing { queue, depth, sub_directories: Vec::new(), files: Vec::new(), error: None, dir };
    let entries = match disk.list(&listing.dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return listing,
        Err(e) => {
            listing.error = Some(e);
            return listing;
        }
    };
    for entry in entries {
        if entry.is_dir {
            if depth < DEPTH_MAX && entry.name.len() == 1 {
                listing.sub_directories.push(entry.name);
            }
            continue;
        }
        let Some(id) = QueueId::parse(&entry.name) else { continue };
        // A file that went away, or that is not complete, is none.
        let Ok(stat) = disk.stat(Path::new(&listing.dir).join(&entry.name).as_path()) else { continue };
        if stat.mode & mode::COMPLETE != 0 {
            listing.files.push(Found { id, inode: stat.inode, modified: stat.modified, mode: stat.mode });
        }
    }
    listing
}
