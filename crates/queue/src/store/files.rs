//! Messages that are files: what happens to them is done to the file.
//!
//! Writes to files are made before the loop's turn ends, so that a kill loses none; a thread syncs them.

use super::entry::{FileEntry, OpenFile, Queue, replace};
use super::moving::remove_file;
use super::recover::{suspect, suspicion};
use super::{Record, Store, spill};
use crate::disk::{DiskFile, Stat};
use crate::file::{self, OnDisk, ReadError, mode};
use crate::journal::{Event, MessageKey};
use crate::report_log;
use crate::{NewMessage, Place, Report};
use mail::{Outcome, QueueId, Status, Timestamp};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pause before a queue file in which nobody is left is looked at again.
const REMOVE_PAUSE: Duration = Duration::from_secs(60);

impl Store {
    pub(super) fn record_in_file(&mut self, key: MessageKey, record: Record) {
        let done = match record {
            Record::Attempt { .. } => {
                self.index.stop_waiting(key);
                if let Some(file) = self.index.files.get_mut(&key) {
                    file.progress.in_flight = true;
                    let at_file = MessageKey::file(file.inode);
                    self.log.record(&Event::Attempt {
                        key: at_file,
                        crashes: 0,
                        file: Some(file.queue_id.clone()),
                    });
                }
                Ok(())
            }
            Record::Outcome { outcome, .. } => self.outcome_in_file(key, outcome),
            Record::Retry { at, .. } => self.retry_file(key, at),
            Record::Hold { reason, .. } => {
                self.index.stop_waiting(key);
                self.end_attempt(key);
                self.put_into(key, Queue::Hold);
                let _ = reason;
                Ok(())
            }
            Record::Release { .. } => {
                self.put_into(key, Queue::Deferred);
                Ok(())
            }
            Record::Warned { .. } => self.warned_in_file(key),
            Record::Remove { .. } => self.finish_file(key),
        };
        if let Err(error) = done {
            let path = self.path(key).unwrap_or_default();
            self.failed("changing queue file", &path, &error);
        }
    }

    fn outcome_in_file(&mut self, key: MessageKey, outcome: Outcome) -> io::Result<()> {
        self.ensure_open(key)?;
        let Some(open) = self.index.files.get_mut(&key).and_then(|file| file.open.as_mut()) else {
            return Ok(());
        };
        if outcome.status == Status::Deferred {
            replace(&mut open.deferrals, &outcome);
            return Ok(());
        }
        let Some(mark) = open.marks.get_mut(outcome.index as usize).filter(|mark| !mark.done) else {
            return Ok(());
        };
        mark.done = true;
        let offset = mark.offset;
        if open.marks.iter().all(|mark| mark.done) {
            // What is unlinked needs no mark.
            return self.finish_file(key).inspect_err(|_| self.mark(key, offset));
        }
        #[cfg(feature = "faults")]
        if crate::faults::planted(crate::faults::Fault::OutcomeLost) {
            return Ok(());
        }
        self.mark(key, offset);
        Ok(())
    }

    /// A file in which nobody is left, and which cannot go now: it is found so again, and removed then.
    pub(super) fn look_at_later(&mut self, key: MessageKey) {
        self.index.wait(key, self.clock.after(REMOVE_PAUSE));
    }

    /// The message needs nothing more.
    fn finish_file(&mut self, key: MessageKey) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        self.end_attempt(key);
        if let Err(error) = remove_file(&*self.disk, &path) {
            self.look_at_later(key);
            return Err(error);
        }
        let Some(entry) = self.index.remove_file(key) else { return Ok(()) };
        self.marks.forget(key);
        if !self.scan.is_complete() {
            self.remove_other_names(&entry)?;
        }
        self.dirty_dirs.extend(path.parent().map(Path::to_path_buf));
        remove_file(&*self.disk, &self.hashing.path("defer", &entry.queue_id))
    }

    /// Removes the other names of a file that is done, which the first look at the directories has not met yet.
    fn remove_other_names(&mut self, entry: &FileEntry) -> io::Result<()> {
        for queue in Queue::ALL {
            if self.is_in(queue, &entry.queue_id, entry.inode) {
                let path = self.hashing.path(queue.name(), &entry.queue_id);
                remove_file(&*self.disk, &path)?;
                self.dirty_dirs.extend(path.parent().map(Path::to_path_buf));
            }
        }
        Ok(())
    }

    fn retry_file(&mut self, key: MessageKey, at: Timestamp) -> io::Result<()> {
        self.end_attempt(key);
        self.index.wait(key, at);
        let Some(entry) = self.index.files.get_mut(&key) else { return Ok(()) };
        let (id, queue) = (entry.queue_id.clone(), entry.queue);
        let open = entry.open.take();
        if matches!(queue, Queue::Incoming | Queue::Active) {
            self.put_into(key, Queue::Deferred);
        }
        let path = self.path(key).unwrap_or_default();
        match self.disk.set_modified(&path, at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        if let Some(open) = open.filter(|open| !open.deferrals.is_empty()) {
            self.put_reasons(&id, log_entries(&open));
        }
        Ok(())
    }

    /// A pass's reasons replace those of the pass before. They are shown, nothing depends on them.
    fn put_reasons(&mut self, id: &QueueId, entries: Vec<report_log::Entry>) {
        let (disk, log) = (self.disk.clone(), self.hashing.path("defer", id));
        self.syncer.submit(move || {
            let written = remove_file(&*disk, &log).and_then(|()| report_log::append(&*disk, &log, &entries));
            super::moving::Work::Logged(written.err().map(|e| (log, e)))
        });
    }

    /// Lets listings show why a message that was in flight at too many crashes is on hold.
    pub(super) fn tell_suspicion(&mut self, key: MessageKey) {
        if let Err(error) = self.ensure_open(key) {
            let path = self.path(key).unwrap_or_default();
            return self.failed("reading queue file", &path, &error);
        }
        let Some(file) = self.index.files.get_mut(&key) else { return };
        let (id, reason) = (file.queue_id.clone(), suspicion(file.progress.crashes));
        let Some(mut open) = file.open.take() else { return };
        let left = (0u32..).zip(&open.marks).filter(|(_, mark)| !mark.done);
        open.deferrals = left.map(|(index, _)| suspect(index, &reason)).collect();
        self.put_reasons(&id, log_entries(&open));
    }

    /// The attempt that was noted in the log is over; a crash from now on does not count it.
    pub(super) fn end_attempt(&mut self, key: MessageKey) {
        let Some(entry) = self.index.files.get_mut(&key) else { return };
        if std::mem::take(&mut entry.progress.in_flight) || entry.progress.crashes > 0 {
            entry.progress.crashes = 0;
            let at = entry.progress.retry_at.unwrap_or_default();
            self.log.record(&Event::Retry(MessageKey::file(entry.inode), at));
        }
    }

    fn warned_in_file(&mut self, key: MessageKey) -> io::Result<()> {
        self.ensure_open(key)?;
        let path = self.path(key).unwrap_or_default();
        let warn_offset = self.index.files.get(&key).and_then(|file| file.open.as_ref()?.warn_offset);
        let Some(offset) = warn_offset else { return Ok(()) };
        let marked = self.disk.open(&path).and_then(|file| file::mark_warned(&OnDisk(file), offset));
        if let Some(entry) = self.index.files.get_mut(&key) {
            entry.warned = marked.is_err();
        }
        self.dirty_files.insert(path);
        marked
    }

    /// Moves a file into another queue directory, where it is not there yet.
    pub(super) fn put_into(&mut self, key: MessageKey, queue: Queue) {
        let Some(entry) = self.index.files.get(&key).filter(|entry| entry.queue != queue) else { return };
        let from = self.hashing.path(entry.queue.name(), &entry.queue_id);
        let to = self.hashing.path(queue.name(), &entry.queue_id);
        let moved = self.make_safe_parents(&to).and_then(|()| self.disk.rename_new(&from, &to));
        match moved {
            Ok(()) => {
                if let Some(entry) = self.index.files.get_mut(&key) {
                    entry.queue = queue;
                }
                self.dirty_dirs
                    .extend([&to, &from].into_iter().filter_map(|path| path.parent()).map(Path::to_path_buf));
            }
            Err(error) => self.failed("moving queue file", &from, &error),
        }
    }

    /// As [`spill::make_safe_parents`]; what is known to be durable is remembered.
    pub(super) fn make_safe_parents(&mut self, path: &Path) -> io::Result<()> {
        spill::make_safe_parents(&*self.disk, path, &mut self.safe_dirs)
    }

    /// Whether this very file is in a queue directory, under this name.
    pub(super) fn is_in(&self, queue: Queue, id: &QueueId, inode: u64) -> bool {
        self.disk.stat(&self.hashing.path(queue.name(), id)).is_ok_and(|stat| stat.inode == inode)
    }

    pub(super) fn path(&self, key: MessageKey) -> Option<PathBuf> {
        let entry = self.index.files.get(&key)?;
        Some(self.hashing.path(entry.queue.name(), &entry.queue_id))
    }

    pub(super) fn ensure_open(&mut self, key: MessageKey) -> io::Result<()> {
        if self.index.files.get(&key).is_some_and(|file| file.open.is_none()) {
            self.load_file(key)?;
        }
        Ok(())
    }

    /// Reads a queue file; `None` where other hands took it away, or where it is damaged and now in `corrupt/`.
    pub(super) fn load_file(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>> {
        let Some((file, stat)) = self.find_file(key)? else {
            self.index.remove_file(key);
            return Ok(None);
        };
        let read = match file::read(Arc::new(OnDisk(file.clone()))) {
            Ok(read) => read,
            Err(ReadError::Io(error)) => return Err(error),
            Err(ReadError::Damaged(damaged)) => {
                self.move_to_corrupt(key, &damaged.to_string())?;
                return Ok(None);
            }
        };
        let mut read = read;
        read.envelope.force_expire |= stat.mode & mode::FORCE_EXPIRE != 0;
        if let Some(entry) = self.index.files.get(&key) {
            self.marks.apply(key, &entry.queue_id, &mut read.marks);
        }
        if read.marks.iter().all(|mark| mark.done) {
            // A crash came between the last mark and the removal, or the removal has to wait.
            match self.marks.are_certain(key, self.log.durable()) {
                true => self.finish_file(key)?,
                false => self.look_at_later(key),
            }
            return Ok(None);
        }
        let Some(entry) = self.index.files.get_mut(&key) else { return Ok(None) };
        if entry.warned {
            read.envelope.warn_at = None;
            if let Some(offset) = read.warn_offset {
                entry.warned = file::mark_warned(&OnDisk(file), offset).is_err();
            }
        }
        let before = entry.open.take().map(|open| open.deferrals).unwrap_or_default();
        let message = NewMessage {
            key,
            queue_id: entry.queue_id.clone(),
            done: read.marks.iter().map(|mark| mark.done).collect(),
            content: read.content,
            place: if entry.queue == Queue::Hold { Place::Hold } else { Place::Deferred },
            retry_at: entry.progress.retry_at,
            crashes: entry.progress.crashes,
            deferrals: before.clone(),
            envelope: read.envelope,
        };
        entry.open = Some(Box::new(OpenFile {
            marks: read.marks,
            recipients: message.envelope.recipients.clone(),
            warn_offset: read.warn_offset,
            deferrals: before,
        }));
        Ok(Some(message))
    }

    /// Opens a message's file, wherever it is now.
    pub(super) fn find_file(&mut self, key: MessageKey) -> io::Result<Option<(Arc<dyn DiskFile>, Stat)>> {
        let Some(entry) = self.index.files.get(&key) else { return Ok(None) };
        let (id, inode, first) = (entry.queue_id.clone(), entry.inode, entry.queue);
        for queue in std::iter::once(first).chain(Queue::ALL) {
            let path = self.hashing.path(queue.name(), &id);
            let opened = match self.disk.open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let stat = opened.stat()?;
            if stat.inode == inode {
                if let Some(entry) = self.index.files.get_mut(&key) {
                    entry.queue = queue;
                }
                return Ok(Some((opened, stat)));
            }
        }
        Ok(None)
    }

    fn move_to_corrupt(&mut self, key: MessageKey, what: &str) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let Some(entry) = self.index.remove_file(key) else { return Ok(()) };
        let to = Path::new("corrupt").join(entry.queue_id.as_str());
        self.make_safe_parents(&to)?;
        let len = self.disk.stat(&path)?.len;
        self.disk.rename_new(&path, &to)?;
        (self.settings.report)(&Report::Damaged {
            file: path.display().to_string(),
            bytes: 0..len,
            saved: to.display().to_string(),
            what: what.to_owned(),
        });
        self.dirty_dirs.insert(PathBuf::from("corrupt"));
        self.dirty_dirs.extend(path.parent().map(Path::to_path_buf));
        Ok(())
    }
}

fn log_entries(open: &OpenFile) -> Vec<report_log::Entry> {
    let entry = |outcome: &Outcome| {
        let n = outcome.index as usize;
        Some(report_log::Entry::new(open.recipients.get(n)?, outcome, open.marks.get(n)?.offset))
    };
    open.deferrals.iter().filter_map(entry).collect()
}
