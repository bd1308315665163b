//! Marks in queue files: which recipients are done.
//!
//! A mark is one byte, written before the loop's turn ends and synced by a thread. One that could not be written, or not be
//! synced, is written again each second; until then the message is given out as if it were there. A report on a queue
//! file is recorded in one group with the recipients that it tells of, so that no crash repeats it.

use super::Store;
use super::entry::Queue;
use crate::disk::DiskFile;
use crate::file::{self, OnDisk, ReadError, RecipientMark};
use crate::journal::{Event, MessageKey};
use mail::{Outcome, QueueId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// Marks that are not known to be durable.
#[derive(Default)]
pub(super) struct Marks {
    /// To be written again, or for the first time since the start.
    todo: BTreeMap<MessageKey, Todo>,
    /// Written since the last sync began.
    written: Vec<(MessageKey, QueueId, u64)>,
    /// Covered by the sync that is under way.
    syncing: Vec<(MessageKey, QueueId, u64)>,
    /// What happened behind this position of the log may have marks that are not durable.
    since: Option<u64>,
    /// The same for those covered by the sync that is under way.
    syncing_since: Option<u64>,
    /// Some of them are told by reports that were recovered.
    recovered: bool,
}

struct Todo {
    queue_id: QueueId,
    offsets: BTreeSet<u64>,
    /// Not before the log is durable up to this position: a mark that outlived its report would lose a recipient.
    after: u64,
}

impl Marks {
    fn add(&mut self, key: MessageKey, queue_id: &QueueId, offsets: impl IntoIterator<Item = u64>) {
        let fresh = || Todo { queue_id: queue_id.clone(), offsets: BTreeSet::new(), after: 0 };
        let todo = self.todo.entry(key).or_insert_with(fresh);
        if todo.queue_id != *queue_id {
            *todo = fresh();
        }
        todo.offsets.extend(offsets);
    }

    /// Whether the recipients of a file that are done are so for sure, if the log is durable up to `log`.
    pub(super) fn are_certain(&self, key: MessageKey, log: u64) -> bool {
        self.todo.get(&key).is_none_or(|todo| todo.after <= log)
    }

    /// Remembers what a recovered report says of a queue file.
    pub(super) fn recover(&mut self, key: MessageKey, queue_id: &QueueId, offsets: Vec<u64>) {
        self.recovered = true;
        self.add(key, queue_id, offsets);
    }

    /// A sync of all files begins.
    pub(super) fn sync_begins(&mut self) {
        self.syncing.append(&mut self.written);
        self.syncing_since = self.since.take();
        if !self.todo.is_empty() {
            self.since = self.syncing_since;
        }
    }

    /// It ended: what a failed one covered is written again, since the kernel may have dropped it.
    pub(super) fn sync_ended(&mut self, durable: bool) {
        let (syncing, since) = (std::mem::take(&mut self.syncing), self.syncing_since.take());
        if durable {
            self.recovered &= !(self.todo.is_empty() && self.written.is_empty());
            return;
        }
        for (key, queue_id, offset) in syncing {
            self.add(key, &queue_id, [offset]);
        }
        self.since = since.or(self.since);
    }

    /// Up to where the log's records need no marks any more, if it is durable up to `log`: a segment in which a report
    /// tells of recipients stays until they are marked for sure. `None`: nothing may be freed yet.
    pub(super) fn durable(&self, log: u64) -> Option<u64> {
        let marked = [self.since, self.syncing_since].into_iter().flatten().min();
        (!self.recovered).then(|| marked.map_or(log, |marked| log.min(marked)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.todo.is_empty()
    }

    /// Adds to what a file says what it should say.
    pub(super) fn apply(&self, key: MessageKey, queue_id: &QueueId, marks: &mut [RecipientMark]) {
        let Some(todo) = self.todo.get(&key).filter(|todo| todo.queue_id == *queue_id) else { return };
        for mark in marks {
            mark.done |= todo.offsets.contains(&mark.offset);
        }
    }

    /// The file is gone, and with it what was to be marked.
    pub(super) fn forget(&mut self, key: MessageKey) {
        self.todo.remove(&key);
    }
}

impl Store {
    /// Marks of what is recorded behind this position are to come.
    pub(super) fn marks_wait_from(&mut self, position: u64) {
        self.marks.since.get_or_insert(position);
    }

    /// Marks a recipient as done in its queue file.
    pub(super) fn mark(&mut self, key: MessageKey, offset: u64) {
        self.marks_wait_from(self.log.position());
        if let Err(error) = self.write_mark(key, offset)
            && let Some(entry) = self.index.files.get(&key)
        {
            let path = self.hashing.path(entry.queue.name(), &entry.queue_id);
            self.marks.add(key, &entry.queue_id, [offset]);
            self.failed("marking a recipient in queue file", &path, &error);
        }
    }

    /// Remembers that recipients are done, for a time when the log is durable up to `position`.
    pub(super) fn mark_behind(&mut self, key: MessageKey, outcomes: &[Outcome], position: u64) {
        let Some(entry) = self.index.files.get_mut(&key) else { return };
        let Some(open) = entry.open.as_mut() else { return };
        let mut offsets = Vec::new();
        for outcome in outcomes {
            if let Some(mark) = open.marks.get_mut(outcome.index as usize) {
                mark.done = true;
                offsets.push(mark.offset);
            }
        }
        let all_done = open.marks.iter().all(|mark| mark.done);
        let id = entry.queue_id.clone();
        self.marks.add(key, &id, offsets);
        if let Some(todo) = self.marks.todo.get_mut(&key) {
            todo.after = todo.after.max(position);
        }
        if all_done {
            self.end_attempt(key);
            self.look_at_later(key);
        }
    }

    fn write_mark(&mut self, key: MessageKey, offset: u64) -> io::Result<()> {
        let Some((file, _)) = self.find_file(key)? else { return Ok(()) };
        let Some(entry) = self.index.files.get(&key) else { return Ok(()) };
        let (queue, id, retry_at) = (entry.queue, entry.queue_id.clone(), entry.progress.retry_at);
        self.write_mark_in(&file, (key, id, offset), queue, retry_at)
    }

    fn write_mark_in(
        &mut self,
        file: &Arc<dyn DiskFile>,
        mark: (MessageKey, QueueId, u64),
        queue: Queue,
        retry_at: Option<Timestamp>,
    ) -> io::Result<()> {
        let marked = file::mark_done(&OnDisk(file.clone()), mark.2);
        // Writing set the file's time, which is that of the next attempt, even where it failed.
        if let Some(at) = retry_at {
            file.set_modified(at)?;
        }
        match marked {
            Err(ReadError::Io(error)) => return Err(error),
            // Other hands changed the file: its next reader tells what is wrong with it.
            Err(ReadError::Damaged(_)) => return Ok(()),
            Ok(()) => {}
        }
        self.dirty_files.insert(self.hashing.path(queue.name(), &mark.1));
        self.marks.written.push(mark);
        Ok(())
    }

    /// Marks recipients in a file that the look at the directories has not met yet.
    fn write_marks_by_name(&mut self, key: MessageKey, todo: &Todo) -> io::Result<()> {
        for queue in Queue::ALL {
            let file = match self.disk.open(&self.hashing.path(queue.name(), &todo.queue_id)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let stat = file.stat()?;
            if stat.inode != key.index {
                continue;
            }
            for &offset in &todo.offsets {
                self.write_mark_in(&file, (key, todo.queue_id.clone(), offset), queue, Some(stat.modified))?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Writes what could not be written before, and what recovered reports tell of.
    pub(super) fn mark_again(&mut self) {
        let durable = self.log.durable();
        for (key, todo) in std::mem::take(&mut self.marks.todo) {
            if todo.after > durable {
                self.marks.todo.insert(key, todo);
                continue;
            }
            let known = self.index.files.get(&key).is_some_and(|file| file.queue_id == todo.queue_id);
            if !known {
                if self.write_marks_by_name(key, &todo).is_err() {
                    self.marks.add(key, &todo.queue_id, todo.offsets);
                }
                continue;
            }
            for offset in todo.offsets {
                if self.write_mark(key, offset).is_err() {
                    self.marks.add(key, &todo.queue_id, [offset]);
                }
            }
        }
        let idle = !self.syncing && self.dirty_files.is_empty() && self.dirty_dirs.is_empty();
        if idle && self.marks.todo.is_empty() {
            self.marks.recovered = false;
            self.marks.since = None;
        }
    }

    /// What goes into one group with a report on a queue file.
    pub(super) fn told(&mut self, key: MessageKey, outcomes: &[Outcome]) -> io::Result<Option<Event>> {
        self.ensure_open(key)?;
        let Some(file) = self.index.files.get(&key) else { return Ok(None) };
        let Some(open) = &file.open else { return Ok(None) };
        let offset = |outcome: &Outcome| open.marks.get(outcome.index as usize).map(|mark| mark.offset);
        let offsets = outcomes.iter().filter_map(offset).collect();
        Ok(Some(Event::Told { key: MessageKey::file(file.inode), file: file.queue_id.clone(), offsets }))
    }
}
