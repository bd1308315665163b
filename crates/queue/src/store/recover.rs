//! What a start makes of the journal.
//!
//! Bounded by the journal's size. Torn ends are dropped, damaged ranges in the middle are saved; every whole record
//! counts unless a later segment says that it was refused. Of a message that became a file, the file wins.

use super::entry::{Entry, Index, Queue, Spill};
use super::log::Log;
use super::moving::remove_file;
use super::tail::{Item, Opened, Parsed, Segments, Tailed, save_damage};
use super::worker::Worker;
use super::{Fresh, Recovered, Store, StoreSettings, message_len};
use crate::Report;
use crate::disk::Disk;
use crate::file::{self, OnDisk, ReadError};
use crate::journal::{DATA_START, Event, MessageKey, RECORD_HEAD_BYTES, Role, SegmentId, SegmentState};
use crate::paths::Hashing;
use crate::segment::{Allocator, JOURNAL, LARGE, other_name, segments};
use mail::{Dsn, JobId, Outcome, QueueId, Status, Timestamp};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A message that was in flight at so many crashes is what caused them, as far as anyone can tell: it goes to hold.
pub(super) const CRASHES_MAX: u8 = 3;

/// Why a message that was in flight at so many crashes is on hold.
pub(super) fn suspicion(crashes: u8) -> String {
    format!("in delivery at {crashes} crashes in a row")
}

/// The same as what became of a recipient.
pub(super) fn suspect(index: u32, reason: &str) -> Outcome {
    Outcome::new(JobId(0), index, Status::Deferred, Dsn::new(4, 3, 0), reason)
}

/// What is known of a message beside its entry.
#[derive(Default)]
struct Fate {
    moved: bool,
    removed: bool,
    /// A later record of the same message counts.
    copied: bool,
    /// Something was recorded behind "moved": the file does not say it.
    late: bool,
}

pub(super) fn open(
    settings: StoreSettings,
    disk: Arc<dyn Disk>,
    now: Timestamp,
) -> io::Result<(Store, Recovered)> {
    let allocator = Allocator {
        disk: disk.clone(),
        role: Role::Qmgr,
        segment_bytes: settings.segment_bytes,
        journal_bytes_max: settings.journal_bytes_max,
    };
    allocator.make_directories()?;
    for queue in Queue::ALL {
        disk.make_dir(Path::new(queue.name()))?;
    }
    let log = Log::open(allocator.clone(), settings.report.clone(), settings.inline)?;
    let hashing =
        Hashing { names: settings.hash_queue_names.clone(), depth: settings.hash_queue_depth as usize };
    let mut store = Store {
        hashing,
        worker: Worker::new("spiller", settings.inline)?,
        syncer: Worker::new("queue-files", settings.inline)?,
        allocator,
        segments: Segments::default(),
        index: Index::default(),
        log,
        fresh: VecDeque::new(),
        aliases: HashMap::new(),
        file_crashes: HashMap::new(),
        content_held: Arc::new(AtomicU64::new(0)),
        spilling: false,
        spill_not_before: Timestamp::default(),
        moving: VecDeque::new(),
        freeing: false,
        scan: super::scan::Scan::new(),
        // The last step below.
        syncing: true,
        marks: super::marks::Marks::default(),
        dirty_files: BTreeSet::new(),
        dirty_dirs: BTreeSet::new(),
        safe_dirs: HashSet::new(),
        finished_large: Vec::new(),
        look_at: Timestamp::default(),
        work_due: None,
        has_reserve: false,
        stray_ids: (1 << 61) + (disk.random() >> 8),
        clock: now,
        settings,
        disk,
    };
    let mut found = Recovered::default();
    let (parsed, damaged) = store.read_segments()?;
    found.damaged = damaged;
    found.segments = parsed.len();
    let fates = store.replay(parsed);
    store.log.start(now).or_else(|error| match error {
        // Deliveries need no room, so a full disk is no reason not to start.
        crate::CommitError::NoSpace => Ok(()),
        other => Err(io::Error::other(other.to_string())),
    })?;
    store.note_log();
    store.settle(fates, now)?;
    store.drop_strangers()?;
    store.log.sync_now(now).or_else(|error| match error {
        crate::CommitError::NoSpace => Ok(()),
        other => Err(io::Error::other(other.to_string())),
    })?;
    store.note_log();
    // What a killed process had written to queue files and not synced any more becomes durable, too.
    let disk = store.disk.clone();
    store.marks.sync_begins();
    store.syncer.submit(move || {
        let failed = disk.sync_everything().err();
        super::moving::Work::Synced(failed.map(|error| (PathBuf::from("."), error)).into_iter().collect())
    });
    found.messages = store.index.journal.len();
    Ok((store, found))
}

impl Store {
    /// Opens and reads all segments.
    fn read_segments(&mut self) -> io::Result<(Vec<(SegmentId, Parsed)>, usize)> {
        let mut damaged = 0;
        for (id, state) in segments(&*self.disk)? {
            if state != SegmentState::Used {
                continue;
            }
            match Tailed::open(&*self.disk, id)? {
                Opened::Segment(segment) => drop(self.segments.by_id.insert(id, *segment)),
                Opened::Unused => self.free_unused(id)?,
                Opened::Damaged(what) => {
                    damaged += 1;
                    let file = self.disk.open(&id.path())?;
                    let len = file.stat()?.len;
                    save_damage(&*self.disk, &self.settings.report, id, &*file, 0..len, &what.to_string());
                    self.free_unused(id)?;
                }
            }
        }
        let mut parsed = self.parse_all()?;
        // Who says that another segment's end does not count may lie behind it: read those again, up to there.
        let voids: Vec<_> = parsed.iter().flat_map(|(_, p)| &p.items).filter_map(void).collect();
        for (id, from) in voids {
            self.segments.void(id, from);
            if let (Some(segment), Some(slot)) =
                (self.segments.by_id.get_mut(&id), parsed.iter_mut().find(|(known, _)| *known == id))
            {
                segment.read = DATA_START;
                slot.1 = segment.read_all()?;
                // What is missing before that is judged below, and nothing more is to come.
                segment.read = segment.read.max(from);
            }
        }
        damaged += self.judge(&parsed);
        Ok((parsed, damaged))
    }

    fn parse_all(&mut self) -> io::Result<Vec<(SegmentId, Parsed)>> {
        let mut all = Vec::new();
        for (id, segment) in &mut self.segments.by_id {
            // The lock is tried before the end is looked for: what a writer adds later is not missed.
            segment.sealed = segment.file.try_lock()?.is_some();
            let parsed = segment.read_all()?;
            // What only a killed writer's kernel knows becomes durable before anything is made of it.
            segment.make_durable(parsed.proven.max(DATA_START)..parsed.end, segment.sealed)?;
            segment.judged = segment.durable;
            all.push((*id, parsed));
        }
        Ok(all)
    }

    /// Tells damage from torn ends: what lies before something that was written later was durable.
    fn judge(&mut self, parsed: &[(SegmentId, Parsed)]) -> usize {
        let judged: HashSet<(SegmentId, u64)> = parsed
            .iter()
            .flat_map(|(_, p)| &p.items)
            .filter_map(|item| match item {
                Item::Event(Event::Judged(id, from, _)) => Some((*id, *from)),
                _ => None,
            })
            .collect();
        // A writer gives a segment up where it was durable last.
        let mut proven: HashMap<SegmentId, u64> =
            parsed.iter().flat_map(|(_, p)| &p.items).filter_map(void).collect();
        for event in parsed.iter().flat_map(|(_, p)| &p.items).filter_map(|item| match item {
            Item::Event(event) => event.key(),
            Item::Message { .. } => None,
        }) {
            // Mail of our own is worked on before it is synced, mail of others never.
            if !self.segments.by_id.get(&event.segment).is_some_and(|s| s.header.role == Role::Smtpd) {
                continue;
            }
            let behind = event.index * 8 + RECORD_HEAD_BYTES as u64;
            let known = proven.entry(event.segment).or_default();
            *known = (*known).max(behind);
        }
        let mut damaged = 0;
        for (id, found) in parsed {
            let Some(segment) = self.segments.by_id.get(id) else { continue };
            let counted = segment.header.capacity.min(segment.void_from);
            let durable = found.proven.max(proven.get(id).copied().unwrap_or(0)).min(counted);
            let mut gaps = found.gaps.clone();
            if durable > found.end {
                gaps.push(found.end..durable);
            }
            for gap in gaps {
                if judged.contains(&(*id, gap.start)) {
                    continue;
                }
                self.log.record(&Event::Judged(*id, gap.start, gap.end));
                if gap.start < durable {
                    damaged += 1;
                    let what = "expected journal records, which were acknowledged";
                    save_damage(&*self.disk, &self.settings.report, *id, &*segment.file, gap, what);
                } else {
                    let file = id.path().display().to_string();
                    (self.settings.report)(&Report::TornTail { file, bytes: gap });
                }
            }
        }
        damaged
    }

    /// Puts messages and events together.
    fn replay(&mut self, parsed: Vec<(SegmentId, Parsed)>) -> HashMap<MessageKey, Fate> {
        let mut fates: HashMap<MessageKey, Fate> = HashMap::new();
        let mut events = Vec::new();
        for (id, found) in parsed {
            for item in found.items {
                match item {
                    Item::Event(event) => {
                        self.note_about(id, event.segment());
                        events.push(event);
                    }
                    Item::Message { key, payload_offset, head, envelope, .. } => {
                        let payload = (payload_offset, message_len(&head));
                        let entry = Entry::new(head.id, payload, head.large, head.content_bytes, &envelope);
                        self.index.journal.insert(key, entry);
                    }
                }
            }
        }
        for event in events {
            self.replay_event(event, &mut fates);
        }
        fates
    }

    fn replay_event(&mut self, event: Event, fates: &mut HashMap<MessageKey, Fate>) {
        let Some(key) = event.key() else { return };
        if key.is_file() {
            self.replay_file_event(key, event);
            return;
        }
        // What is about a message whose segment is gone counts no more.
        let Some(entry) = self.index.journal.get_mut(&key) else { return };
        let fate = fates.entry(key).or_default();
        fate.late |= fate.moved;
        match event {
            Event::Outcome(_, outcome) => drop(entry.note(&outcome)),
            Event::Attempt { crashes: 0, .. } => entry.progress.in_flight = true,
            Event::Attempt { crashes, .. } => {
                entry.progress.in_flight = false;
                entry.progress.crashes = crashes;
            }
            Event::Retry(_, at) => {
                entry.progress = super::entry::Progress { in_flight: false, crashes: 0, retry_at: Some(at) };
            }
            Event::Hold(_, reason) => {
                entry.progress.in_flight = false;
                entry.held = reason;
            }
            Event::Moved(_) => (fate.moved, fate.late) = (true, false),
            Event::Renamed(_, id) => entry.queue_id = id,
            Event::Warned(_) => entry.warned = true,
            Event::Removed(_) => fate.removed = true,
            Event::Copied(_) => fate.copied = true,
            // Those about files are not here.
            Event::Void(..) | Event::Judged(..) | Event::Told { .. } => {}
        }
    }

    fn replay_file_event(&mut self, key: MessageKey, event: Event) {
        match event {
            // An attempt that nothing ended was in flight when we went down.
            Event::Attempt { crashes: 0, file: Some(id), .. } => {
                let known = self.file_crashes.entry(key.index).or_insert_with(|| (id.clone(), 0));
                if known.0 != id {
                    *known = (id, 0);
                }
                known.1 = known.1.saturating_add(1);
            }
            Event::Told { file, offsets, .. } => self.marks.recover(key, &file, offsets),
            Event::Attempt { crashes, file: Some(id), .. } => {
                self.file_crashes.insert(key.index, (id, crashes));
            }
            _ => drop(self.file_crashes.remove(&key.index)),
        }
    }

    /// A report that was written again since its segment failed may be there twice, when we went down before the
    /// first copy was void. Ids never repeat, so the later copy stands for both.
    fn drop_first_copies(&mut self, fates: &mut HashMap<MessageKey, Fate>) {
        let mut latest: HashMap<QueueId, MessageKey> = HashMap::new();
        let mut doubles = Vec::new();
        for (&key, entry) in &self.index.journal {
            if let Some(first) = latest.insert(entry.queue_id.clone(), key) {
                doubles.push((first, key));
            }
        }
        for (first, second) in doubles {
            let done = self.index.journal.get(&first).map(|entry| entry.done.clone()).unwrap_or_default();
            if let Some(entry) = self.index.journal.get_mut(&second) {
                for n in (0..entry.done.len()).filter(|&n| done.get(n) == Some(&true)) {
                    entry.left -= usize::from(!std::mem::replace(&mut entry.done[n], true));
                }
            }
            let first_fate = fates.remove(&first).unwrap_or_default();
            let second_fate = fates.entry(second).or_default();
            second_fate.moved |= first_fate.moved;
            second_fate.removed |= first_fate.removed;
            second_fate.late |= first_fate.late;
            if let Some(entry) = self.index.journal.get_mut(&first) {
                entry.left = 0;
            }
            // The later one's segment may be freed before this one's.
            self.log.record(&Event::Copied(first));
        }
    }

    /// Decides what becomes of each message.
    fn settle(&mut self, mut fates: HashMap<MessageKey, Fate>, now: Timestamp) -> io::Result<()> {
        self.drop_first_copies(&mut fates);
        let keys: Vec<_> = self.index.journal.keys().copied().collect();
        for (id, n) in keys.iter().fold(HashMap::new(), |mut live, key| {
            *live.entry(key.segment).or_insert(0) += 1;
            live
        }) {
            if let Some(segment) = self.segments.by_id.get_mut(&id) {
                segment.live = n;
            }
        }
        for key in keys {
            let fate = fates.get(&key);
            if fate.is_some_and(|fate| fate.copied) {
                // The later record says what becomes of the file, too.
                self.forget(key);
                continue;
            }
            let gone = fate.is_some_and(|fate| fate.removed);
            let moved = fate.is_some_and(|fate| fate.moved);
            let Some(entry) = self.index.journal.get(&key) else { continue };
            let done = entry.left == 0 || gone;
            let untouched = moved && !gone && !fate.is_some_and(|fate| fate.late);
            let double = entry.left == 0 && fate.is_none();
            if untouched || double || self.settle_file(key, moved, done)? {
                self.forget(key);
            } else if done || moved {
                self.finish(key);
            } else {
                self.requeue(key, now);
            }
        }
        // The counts as they are now, or the next crash would count from zero.
        let counted: Vec<_> =
            self.file_crashes.iter().map(|(inode, (id, n))| (*inode, id.clone(), *n)).collect();
        for (inode, id, crashes) in counted {
            self.log.record(&Event::Attempt { key: MessageKey::file(inode), crashes, file: Some(id) });
        }
        Ok(())
    }

    /// The message is a file, and nothing in the journal matters any more.
    fn forget(&mut self, key: MessageKey) {
        self.index.remove_entry(key);
        self.leave(key.segment, self.log.position());
    }

    /// Where a file of this message exists it is the message: brings it up to the journal's outcomes, durably.
    fn settle_file(&mut self, key: MessageKey, moved: bool, done: bool) -> io::Result<bool> {
        let Some(entry) = self.index.journal.get(&key) else { return Ok(false) };
        let (id, place) =
            (entry.queue_id.clone(), if entry.held.is_some() { Queue::Hold } else { Queue::Deferred });
        for queue in [Queue::Deferred, Queue::Hold] {
            let path = self.hashing.path(queue.name(), &entry.queue_id);
            let opened = match self.disk.open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let read = match file::read(Arc::new(OnDisk(opened.clone()))) {
                Err(ReadError::Io(error)) => return Err(error),
                Err(ReadError::Damaged(_)) if !moved => {
                    self.drop_unfinished(&path)?;
                    continue;
                }
                Err(ReadError::Damaged(_)) => return Ok(true),
                Ok(read) => read,
            };
            let ours = read.envelope.arrival == entry.arrival && read.marks.len() == entry.done.len();
            if !ours {
                continue;
            }
            if !moved && entry.large.is_none() {
                self.drop_unfinished(&path)?;
                continue;
            }
            let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
            if done {
                remove_file(&*self.disk, &path)?;
                remove_file(&*self.disk, &self.hashing.path("defer", &entry.queue_id))?;
                self.disk.sync_dir(&parent)?;
            } else {
                // Those that are there as well: an earlier sync of them may have failed.
                for (mark, _) in read.marks.iter().zip(&entry.done).filter(|(_, done)| **done) {
                    file::mark_done(&OnDisk(opened.clone()), mark.offset)?;
                }
                if let (true, Some(offset)) = (entry.warned, read.warn_offset) {
                    file::mark_warned(&OnDisk(opened.clone()), offset)?;
                }
                opened.set_modified(entry.progress.retry_at.unwrap_or(self.clock))?;
                opened.sync_all()?;
                let right = self.hashing.path(place.name(), &id);
                self.make_safe_parents(&right)?;
                if right != path {
                    self.disk.rename_new(&path, &right)?;
                }
                for dir in [right.parent(), Some(&*parent)].into_iter().flatten() {
                    self.disk.sync_dir(dir)?;
                }
            }
            self.log.record(&Event::Moved(key));
            return Ok(true);
        }
        Ok(false)
    }

    /// Removes a file that was never said to be durable: it may look whole and not be on the disk, where its sync failed.
    /// The journal has the whole message. A large message's only copy was durable before it got its place.
    fn drop_unfinished(&self, path: &Path) -> io::Result<()> {
        remove_file(&*self.disk, path)?;
        // Or it would come back when the message is done and forgotten.
        self.disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// A message that has work to do, and lies in the journal.
    fn requeue(&mut self, key: MessageKey, now: Timestamp) {
        let Some(entry) = self.index.journal.get_mut(&key) else { return };
        if entry.progress.in_flight {
            entry.progress.in_flight = false;
            entry.progress.crashes = entry.progress.crashes.saturating_add(1);
            let crashes = entry.progress.crashes;
            self.log.record(&Event::Attempt { key, crashes, file: None });
        }
        if entry.progress.crashes >= CRASHES_MAX && entry.held.is_none() {
            let crashes = entry.progress.crashes;
            let reason = suspicion(crashes);
            entry.held = Some(reason.clone());
            // Listings, and the queue file to come, show a held message's reason as they show a deferred one's.
            for index in (0u32..).zip(entry.done.clone()).filter(|(_, done)| !done).map(|(index, _)| index) {
                let outcome = suspect(index, &reason);
                entry.note(&outcome);
                self.log.record(&Event::Outcome(key, outcome));
            }
            let queue_id = entry.queue_id.clone();
            self.log.record(&Event::Hold(key, Some(reason)));
            (self.settings.report)(&Report::Suspect { queue_id, crashes });
            return;
        }
        if entry.held.is_some() {
            return;
        }
        entry.spill = Spill::No;
        match entry.progress.retry_at {
            Some(at) if at > now => self.index.wait(key, at),
            _ => {
                entry.progress.retry_at = None;
                self.fresh.push_back(Fresh::Known(key));
            }
        }
    }

    /// Files below `journal/large/` that no message names were never acknowledged, or are done.
    fn drop_strangers(&mut self) -> io::Result<()> {
        let named: HashSet<&QueueId> =
            self.index.journal.values().filter_map(|entry| entry.large.as_ref()).collect();
        let live_writer = self.segments.by_id.values().any(|segment| !segment.sealed && !segment.own);
        // A process that takes mail in may be writing one right now.
        if live_writer {
            return Ok(());
        }
        for entry in self.disk.list(Path::new(LARGE))? {
            let known = QueueId::parse(&entry.name).is_some_and(|id| named.contains(&id));
            if !known && !entry.is_dir {
                remove_file(&*self.disk, &Path::new(LARGE).join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Makes a segment that holds nothing ready to be used again, unless its writer is just beginning it.
    fn free_unused(&mut self, id: SegmentId) -> io::Result<()> {
        if self.disk.open(&id.path())?.try_lock()?.is_none() {
            return Ok(());
        }
        if other_name(&*self.disk, &segments(&*self.disk)?, &id.path())? {
            self.disk.unlink(&id.path())?;
        } else {
            self.disk.rename_new(&id.path(), &id.free_path())?;
        }
        self.disk.sync_dir(Path::new(JOURNAL))
    }
}

fn void(item: &Item) -> Option<(SegmentId, u64)> {
    match item {
        Item::Event(Event::Void(id, from)) => Some((*id, *from)),
        _ => None,
    }
}
