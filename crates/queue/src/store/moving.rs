//! What goes on beside the deliveries: syncs, spills, and the freeing of segments.
//!
//! Order, always: file durable, "moved" synced, first change to the file, segment freed, journal directory synced.

use super::entry::{Entry, FileEntry, Index, Placed, Queue, Spill};
use super::spill::{SpillItem, Spilled, TOGETHER_FROM, spill};
use super::tail::Tailed;
use super::{BUSY_LOOK, LOOK_EVERY, Store};
use crate::Report;
use crate::disk::Disk;
use crate::file;
use crate::journal::{Event, MessageKey, SegmentId, SegmentState};
use crate::segment::{JOURNAL, segments};
use mail::{Dsn, JobId, Outcome, Status, Timestamp};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Messages of one batch of files while the journal has room: few, since a client that waits for its 250 meanwhile
/// waits for the batch's sync as well.
const SPILL_BATCH: usize = 4;

/// Messages of one batch where room matters more than a client's delay: a crowded journal, an orderly stop.
const SPILL_BATCH_CROWDED: usize = 512;

/// Pause after a spill that failed (a full disk).
const SPILL_PAUSE: Duration = Duration::from_secs(2);

/// Rounds without any progress after which an orderly stop gives up; the journal keeps what could not be written.
const STOP_TRIES: usize = 16;

/// Segments that are kept for use again; more are removed.
const FREE_MAX: usize = 16;

/// Part of the journal's size from which on messages become files however young they are: half, since mail stops at
/// three quarters.
const CROWDED: (u64, u64) = (1, 2);

/// What a thread did.
pub(super) enum Work {
    Spilled(Vec<(MessageKey, Spilled)>),
    Freed(Vec<SegmentId>, io::Result<()>),
    /// Files and directories were synced, or these were not.
    Synced(Vec<(PathBuf, io::Error)>),
    /// A log of reasons was written, or was not.
    Logged(Option<(PathBuf, io::Error)>),
    Removed,
    Listed(super::scan::Listing),
    Reserve(bool),
}

impl Store {
    /// Collects what the threads did, starts spills, frees segments, reconciles directories with the index.
    pub fn turn(&mut self, now: Timestamp) {
        if let Err(error) = self.log.turn(now) {
            self.failed("syncing outcomes in", Path::new(JOURNAL), &io::Error::other(error.to_string()));
        }
        self.note_log();
        let mut work = self.worker.collect();
        work.extend(self.syncer.collect());
        for done in work {
            self.take_work(done, now);
        }
        self.finish_moves(now);
        if now >= self.look_at {
            self.look_at = now.after(LOOK_EVERY);
            self.look_for_segments();
            self.keep_reserve();
            self.mark_again();
            self.scan_some(now);
        }
        self.start_spill(now, false);
        self.start_freeing();
        self.start_sync();
        let busy = self.worker.is_busy() || self.syncer.is_busy() || !self.moving.is_empty();
        self.work_due = busy.then(|| now.after(BUSY_LOOK));
    }

    fn take_work(&mut self, work: Work, now: Timestamp) {
        match work {
            Work::Spilled(results) => {
                self.spilling = false;
                for (key, spilled) in results {
                    self.take_spilled(key, spilled, now);
                }
                if let Err(error) = self.write_out(now) {
                    self.failed("writing", Path::new(JOURNAL), &error);
                }
            }
            Work::Freed(ids, result) => {
                self.freeing = false;
                match result {
                    Ok(()) => ids.iter().for_each(|id| drop(self.segments.by_id.remove(id))),
                    Err(error) => {
                        self.failed("freeing segments in", Path::new(JOURNAL), &error);
                        for id in ids {
                            if let Some(segment) = self.segments.by_id.get_mut(&id) {
                                segment.freeing = false;
                            }
                        }
                    }
                }
            }
            Work::Synced(failures) => {
                self.syncing = false;
                self.marks.sync_ended(failures.is_empty());
                for (path, error) in failures {
                    self.failed("syncing", &path, &error);
                }
            }
            Work::Logged(None) => {}
            Work::Logged(Some((path, error))) => self.failed("writing", &path, &error),
            Work::Removed => {}
            Work::Listed(listing) => self.take_listing(listing, now),
            Work::Reserve(there) => self.has_reserve = there,
        }
    }

    fn take_spilled(&mut self, key: MessageKey, spilled: Spilled, now: Timestamp) {
        match spilled {
            Spilled::Placed(file) => {
                let recorded = self.index.journal.get(&key).map_or(0, |entry| entry.recorded);
                // What is said again below must not be durable before the group that says it first: a report may be in it.
                if recorded > self.log.durable()
                    && let Err(error) = self.log.sync_now(now)
                {
                    return self.take_spilled(key, Spilled::Failed(io::Error::other(error.to_string())), now);
                }
                self.log.record(&Event::Moved(key));
                let position = self.log.position();
                if let Some(entry) = self.index.journal.get_mut(&key) {
                    for event in late(key, entry, &file) {
                        self.log.record(&event);
                        entry.recorded = self.log.position();
                    }
                    entry.spill = Spill::Moving { position, file };
                }
                self.moving.push_back((position, key));
            }
            Spilled::Clash => {
                let new = self.new_id(now);
                if let Some(entry) = self.index.journal.get_mut(&key) {
                    let old = std::mem::replace(&mut entry.queue_id, new.clone());
                    entry.spill = Spill::No;
                    (self.settings.report)(&Report::Renamed { old, new: new.clone() });
                    self.log.record(&Event::Renamed(key, new));
                    // Before a file of this name exists.
                    let _ = self.log.sync_now(now);
                }
                self.give_up_if_done(key);
            }
            Spilled::Failed(error) => {
                self.failed("writing the queue file of a message of segment", &key.segment.path(), &error);
                self.spill_not_before = now.after(SPILL_PAUSE);
                if let Some(entry) = self.index.journal.get_mut(&key) {
                    entry.spill = Spill::No;
                    entry.tried = true;
                }
                self.give_up_if_done(key);
            }
        }
    }

    /// A message that was finished while a file of it was to be written, and was not.
    fn give_up_if_done(&mut self, key: MessageKey) {
        if self.index.journal.get(&key).is_some_and(|entry| entry.left == 0) {
            self.finish(key);
        }
    }

    /// A file that was begun for a message and never counted goes before the message is forgotten, or the next look
    /// at the directory would take it for a message of its own.
    pub(super) fn remove_leftovers(&mut self, key: MessageKey) {
        let Some(entry) = self.index.journal.get(&key) else { return };
        for queue in [Queue::Deferred, Queue::Hold] {
            let path = self.hashing.path(queue.name(), &entry.queue_id);
            let Ok(opened) = self.disk.open(&path) else { continue };
            let ours = file::read(std::sync::Arc::new(file::OnDisk(opened)))
                .is_ok_and(|read| read.envelope.arrival == entry.arrival);
            let parent = path.parent().unwrap_or(Path::new("."));
            if ours
                && let Err(error) = remove_file(&*self.disk, &path).and_then(|()| self.disk.sync_dir(parent))
            {
                self.failed("removing", &path, &error);
            }
        }
    }

    /// Messages whose "moved" is durable are files from now on: what happened in between is done to the file.
    pub(super) fn finish_moves(&mut self, now: Timestamp) {
        while let Some(&(position, key)) = self.moving.front() {
            if position > self.log.durable() {
                break;
            }
            self.moving.pop_front();
            let Some(entry) = self.index.journal.get(&key) else { continue };
            let Spill::Moving { position: moved, file } = entry.spill.clone() else { continue };
            if entry.recorded > self.log.durable() {
                self.moving.push_back((entry.recorded, key));
                continue;
            }
            if let Err(error) = self.catch_up(key, &file) {
                self.failed("marking recipients in", &self.hashing.path(file.queue.name(), &file.id), &error);
                self.moving.push_back((position, key));
                self.spill_not_before = now.after(SPILL_PAUSE);
                return;
            }
            let Some(entry) = self.index.journal.get(&key) else { continue };
            let waits = entry.progress.retry_at;
            if entry.recorded > moved {
                // From here on the file knows better than what was recorded.
                self.log.record(&Event::Moved(key));
            }
            let Some(entry) = self.index.remove_entry(key) else { continue };
            self.leave(key.segment, entry.recorded.max(moved));
            if entry.left == 0 {
                continue;
            }
            let held = entry.held.is_some();
            let mut progress = entry.progress;
            progress.retry_at = None;
            let moved = FileEntry {
                queue_id: file.id,
                queue: file.queue,
                inode: file.inode,
                progress,
                warned: false,
                open: None,
            };
            self.index.add_file(key, moved);
            if let (Some(at), false) = (waits, held) {
                self.index.wait(key, at);
            }
            // Held or released while the file was written for the other directory.
            self.put_into(key, if held { Queue::Hold } else { Queue::Deferred });
        }
    }

    /// Brings a new file up to what happened since it was begun, durably; a message that is done loses its file.
    fn catch_up(&mut self, key: MessageKey, placed: &Placed) -> io::Result<()> {
        let Some(entry) = self.index.journal.get(&key) else { return Ok(()) };
        let path = self.hashing.path(placed.queue.name(), &placed.id);
        if entry.left == 0 {
            remove_file(&*self.disk, &path)?;
            remove_file(&*self.disk, &self.hashing.path("defer", &placed.id))?;
            let parent = path.parent().unwrap_or(Path::new("."));
            return self.disk.sync_dir(parent);
        }
        let late = placed.unmarked(&entry.done);
        let retry_at = entry.progress.retry_at.unwrap_or(placed.retry_at);
        let warned = entry.warned && !placed.warned;
        if late.is_empty() && !warned && retry_at == placed.retry_at {
            return Ok(());
        }
        let opened = match self.disk.open(&path) {
            // Other hands moved or removed it: it is a file like any other.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for n in &late {
            if let Some(mark) = placed.marks.get(*n) {
                file::mark_done(&file::OnDisk(opened.clone()), mark.offset)?;
            }
        }
        if warned {
            mark_warned(&opened)?;
        }
        // Writing set the file's time.
        opened.set_modified(retry_at)?;
        opened.sync_all()?;
        Ok(())
    }

    /// Gives the thread a batch of messages that are to become files.
    pub(super) fn start_spill(&mut self, now: Timestamp, all: bool) {
        if self.spilling || (now < self.spill_not_before && !all) {
            return;
        }
        let total = self.segments.by_id.len() as u64 * self.settings.segment_bytes;
        let crowded =
            total.saturating_mul(CROWDED.1) > self.settings.journal_bytes_max.saturating_mul(CROWDED.0);
        let max = if all || crowded { SPILL_BATCH_CROWDED } else { SPILL_BATCH };
        let mut items = Vec::new();
        for segment in self.segments.by_id.values().filter(|segment| segment.live > 0) {
            let old = now.since(segment.header.opened) >= self.settings.spill_after;
            if !(all || old || (crowded && segment.sealed)) || items.len() >= max {
                continue;
            }
            collect(&self.index, segment, self.log.durable(), now, max, &mut items);
        }
        if items.is_empty() {
            return;
        }
        for item in &items {
            if let Some(entry) = self.index.journal.get_mut(&item.key) {
                entry.spill = Spill::Copying;
            }
        }
        self.spilling = true;
        let (disk, hashing) = (self.disk.clone(), self.hashing.clone());
        self.worker.submit(move || Work::Spilled(spill(&*disk, &hashing, items)));
    }

    /// Frees segments in which nothing counts, and the files of large messages that are done.
    pub(super) fn start_freeing(&mut self) {
        let Some(durable) = self.marks.durable(self.log.durable()) else { return };
        let (gone, kept) =
            std::mem::take(&mut self.finished_large).into_iter().partition(|(at, _)| *at <= durable);
        self.finished_large = kept;
        let gone: Vec<(u64, PathBuf)> = gone;
        if !gone.is_empty() {
            let disk = self.disk.clone();
            self.worker.submit(move || {
                gone.iter().for_each(|(_, path)| drop(disk.unlink(path)));
                Work::Removed
            });
        }
        if self.freeing {
            return;
        }
        #[allow(unused_mut, reason = "changed by a planted fault")]
        let Ok(mut ids) = self.segments.to_free(&*self.disk, durable) else { return };
        #[cfg(feature = "faults")]
        if crate::faults::planted(crate::faults::Fault::SegmentFreedEarly) {
            let sealed =
                self.segments.by_id.values().filter(|s| s.sealed && !s.own && !s.freeing && !s.has_news());
            ids = sealed.map(Tailed::id).collect();
        }
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            if let Some(segment) = self.segments.by_id.get_mut(id) {
                segment.freeing = true;
            }
        }
        self.freeing = true;
        let disk = self.disk.clone();
        self.worker.submit(move || {
            let result = free(&*disk, &ids);
            Work::Freed(ids, result)
        });
    }

    fn start_sync(&mut self) {
        if self.syncing || (self.dirty_files.is_empty() && self.dirty_dirs.is_empty()) {
            return;
        }
        self.syncing = true;
        self.marks.sync_begins();
        let files = std::mem::take(&mut self.dirty_files);
        let dirs = std::mem::take(&mut self.dirty_dirs);
        let disk = self.disk.clone();
        self.syncer.submit(move || Work::Synced(sync_paths(&*disk, files, dirs)));
    }

    fn keep_reserve(&mut self) {
        if self.has_reserve {
            return;
        }
        self.has_reserve = true;
        let allocator = self.allocator.clone();
        // A disk that is full now will have room later: the next look tries again.
        self.worker.submit(move || Work::Reserve(allocator.ensure_reserve().unwrap_or(false)));
    }

    /// Orderly stop: all of the journal becomes files, so that Postfix may start next. The processes that take mail
    /// in must have ended.
    pub fn stop(mut self, now: Timestamp) -> io::Result<()> {
        let durably = |error: crate::CommitError| io::Error::other(error.to_string());
        self.try_look()?;
        self.read_news()?;
        self.log.sync_now(now).map_err(durably)?;
        let mut failures = 0;
        while !self.index.journal.is_empty() {
            let before = self.index.journal.len();
            self.start_spill(now, true);
            if let Some(work) = self.worker.wait() {
                self.take_work(work, now);
            }
            self.log.sync_now(now).map_err(durably)?;
            self.note_log();
            self.finish_moves(now);
            failures = if self.index.journal.len() < before { 0 } else { failures + 1 };
            if failures > STOP_TRIES {
                return Err(io::Error::other("some of the journal could not be written into queue files"));
            }
        }
        self.mark_again();
        loop {
            while let Some(work) = self.syncer.wait() {
                self.take_work(work, now);
            }
            if self.dirty_files.is_empty() && self.dirty_dirs.is_empty() {
                break;
            }
            self.start_sync();
        }
        if !self.marks.is_empty() {
            return Err(io::Error::other("some recipients could not be marked in their queue files"));
        }
        self.log.close();
        self.note_log();
        // Each pass frees segments that only kept others' records alive.
        for _ in 0..self.segments.by_id.len() + 1 {
            self.start_freeing();
            while let Some(work) = self.worker.wait() {
                self.take_work(work, now);
            }
        }
        Ok(())
    }
}

/// Adds a segment's messages that can become files, up to `max` in all.
fn collect(
    index: &Index,
    segment: &Tailed,
    durable: u64,
    now: Timestamp,
    max: usize,
    items: &mut Vec<SpillItem>,
) {
    let id = segment.id();
    let first = MessageKey { segment: id, index: 0 };
    let last = MessageKey { segment: id, index: u64::MAX };
    for (&key, entry) in index.journal.range(first..=last) {
        if items.len() >= max {
            return;
        }
        if entry.spill != Spill::No || entry.left == 0 || entry.recorded > durable {
            continue;
        }
        items.push(SpillItem {
            key,
            id: entry.queue_id.clone(),
            queue: if entry.held.is_some() { Queue::Hold } else { Queue::Deferred },
            segment: segment.file.clone(),
            payload: entry.payload,
            done: entry.done.clone(),
            tried: entry.tried,
            warned: entry.warned,
            retry_at: entry.progress.retry_at.unwrap_or(now),
            deferrals: entry.deferrals.clone(),
        });
    }
}

/// Gives segments back for use again; a handful is kept, and always the highest number.
fn free(disk: &dyn Disk, ids: &[SegmentId]) -> io::Result<()> {
    let mut kept = segments(disk)?.iter().filter(|(_, state)| *state == SegmentState::Free).count();
    let highest = segments(disk)?.iter().map(|(id, _)| *id).max();
    for &id in ids {
        let result = if kept < FREE_MAX || Some(id) == highest {
            kept += 1;
            disk.rename_new(&id.path(), &id.free_path())
        } else {
            disk.unlink(&id.path())
        };
        match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // A power cut kept both names of an earlier rename; the number stays in the other one.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => remove_file(disk, &id.path())?,
            other => other?,
        }
    }
    disk.sync_dir(Path::new(JOURNAL))
}

fn sync_paths(
    disk: &dyn Disk,
    files: BTreeSet<PathBuf>,
    dirs: BTreeSet<PathBuf>,
) -> Vec<(PathBuf, io::Error)> {
    let mut failures = Vec::new();
    if files.len() + dirs.len() >= TOGETHER_FROM {
        let synced = disk.sync_everything();
        return synced.err().map(|error| (PathBuf::from("."), error)).into_iter().collect();
    }
    for path in files {
        match disk.open(&path).and_then(|file| file.sync_data()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => failures.push((path, e)),
            Ok(()) => {}
        }
    }
    for dir in dirs {
        if let Err(e) = disk.sync_dir(&dir) {
            failures.push((dir, e));
        }
    }
    failures
}

/// What happened to a message while its file was written, and the file does not say.
fn late(key: MessageKey, entry: &Entry, file: &Placed) -> Vec<Event> {
    let unmarked = file.unmarked(&entry.done);
    let mut late: Vec<_> = unmarked.into_iter().map(|n| Event::Outcome(key, done(n))).collect();
    if let Some(at) = entry.progress.retry_at.filter(|at| *at != file.retry_at) {
        late.push(Event::Retry(key, at));
    }
    if entry.held.is_some() != (file.queue == Queue::Hold) {
        late.push(Event::Hold(key, entry.held.clone()));
    }
    if entry.warned && !file.warned {
        late.push(Event::Warned(key));
    }
    late
}

/// An outcome that says no more than that a recipient is done.
fn done(n: usize) -> Outcome {
    let index = u32::try_from(n).unwrap_or(u32::MAX);
    Outcome::new(JobId(0), index, Status::Sent, Dsn::new(2, 0, 0), "")
}

/// Notes in a queue file that no delay warning is due any more.
fn mark_warned(opened: &std::sync::Arc<dyn crate::DiskFile>) -> io::Result<()> {
    let read = file::read(std::sync::Arc::new(file::OnDisk(opened.clone())))?;
    if let Some(offset) = read.warn_offset {
        file::mark_warned(&file::OnDisk(opened.clone()), offset)?;
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(super) fn remove_file(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.unlink(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
