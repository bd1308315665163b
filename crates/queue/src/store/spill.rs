//! Turns messages of the journal into queue files, in batches, on a thread.
//!
//! A file gets its final name at once and its mode 0700 last, as Postfix's do: until then it is no queue file. When
//! this returns, files and names are durable, and nothing in them was changed since: order as in the design.

use super::entry::{Placed, Queue};
use crate::disk::{Disk, DiskFile};
use crate::file::{self, OnDisk, RecipientMark};
use crate::journal::{MessageHead, MessageKey};
use crate::paths::Hashing;
use crate::segment::LARGE;
use crate::{record, report_log};
use bytes::Bytes;
use mail::{Content, Envelope, Outcome, QueueId, Recipient, Timestamp};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file is made of.
pub(crate) struct SpillItem {
    pub(crate) key: MessageKey,
    pub(crate) id: QueueId,
    pub(crate) queue: Queue,
    pub(crate) segment: Arc<dyn DiskFile>,
    pub(crate) payload: (u64, u32),
    pub(crate) done: Vec<bool>,
    pub(crate) warned: bool,
    /// An earlier try may have left a file in either directory.
    pub(crate) tried: bool,
    pub(crate) retry_at: Timestamp,
    pub(crate) deferrals: Vec<Outcome>,
}

/// What became of it.
pub(crate) enum Spilled {
    Placed(Placed),
    /// A file of this name is there: the message needs another id.
    Clash,
    Failed(io::Error),
}

/// From so many files on, one sync of the whole file system costs less than one of each file: every sync of a new file
/// is a commit of the file system's journal.
pub(super) const TOGETHER_FROM: usize = 4;

/// Writes a batch: all files with their reasons first, then their syncs, then those of the directories. A failure of a
/// sync fails all that it covers.
pub(crate) fn spill(disk: &dyn Disk, hashing: &Hashing, items: Vec<SpillItem>) -> Vec<(MessageKey, Spilled)> {
    let mut dirs = BTreeSet::new();
    let written: Vec<_> = items.iter().map(|item| place(disk, hashing, item, &mut dirs)).collect();
    let together = items.len() >= TOGETHER_FROM;
    let mut results = Vec::with_capacity(items.len());
    for (item, written) in items.iter().zip(written) {
        let finished = written.and_then(|(placed, file)| {
            if !together {
                sync_file(disk, hashing, item, file)?;
            }
            Ok(placed)
        });
        let spilled = match finished {
            Ok(placed) => {
                put_reasons(disk, hashing, item, &placed);
                Spilled::Placed(placed)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Spilled::Clash,
            Err(e) => Spilled::Failed(e),
        };
        results.push((item.key, spilled));
    }
    if let Err(error) = sync_batch(disk, together, &dirs) {
        for (_, spilled) in &mut results {
            if matches!(spilled, Spilled::Placed(_)) {
                *spilled = Spilled::Failed(io::Error::new(error.kind(), error.to_string()));
            }
        }
    }
    results
}

fn sync_batch(disk: &dyn Disk, together: bool, dirs: &BTreeSet<PathBuf>) -> io::Result<()> {
    #[cfg(feature = "faults")]
    let together = together && !crate::faults::planted(crate::faults::Fault::RenameBeforeSync);
    if together {
        return disk.sync_everything();
    }
    dirs.iter().try_for_each(|dir| disk.sync_dir(dir))
}

fn place(
    disk: &dyn Disk,
    hashing: &Hashing,
    item: &SpillItem,
    dirs: &mut BTreeSet<PathBuf>,
) -> io::Result<(Placed, Option<Arc<dyn DiskFile>>)> {
    let path = hashing.path(item.queue.name(), &item.id);
    let mut payload = vec![0; item.payload.1 as usize];
    item.segment.read_exact_at(&mut payload, item.payload.0)?;
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (head, at) = MessageHead::decode(&payload).map_err(|e| bad(e.0))?;
    let content_at = at + head.envelope_bytes as usize;
    let mut envelope = record::decode_envelope(&payload[at..content_at]).map_err(|e| bad(&e.to_string()))?;
    if item.warned {
        envelope.warn_at = None;
    }
    make_parents(disk, &path, dirs)?;
    if item.tried {
        fetch_leftover(disk, hashing, item, &head, &envelope)?;
    }
    if head.large {
        return move_large(disk, &head.id, item, &path, &envelope, dirs);
    }
    let content = Content::in_memory(vec![Bytes::from(payload).slice(content_at..)], head.flags);
    let (mut bytes, mut marks) = file::to_bytes(&envelope, &content)?;
    for (mark, _) in marks.iter_mut().zip(&item.done).filter(|(_, done)| **done) {
        bytes[mark.offset as usize] = record::kind::DONE;
        mark.done = true;
    }
    let file = disk.create(&path)?;
    let written = file.write_all_at(&bytes, 0).and_then(|()| file.set_modified(item.retry_at));
    let inode = written.and_then(|()| file.set_mode(0o700)).and_then(|()| Ok(file.stat()?.inode));
    let inode = inode.inspect_err(|_| drop(disk.unlink(&path)))?;
    let marked = item.done.clone();
    Ok((placed(item, inode, marked, marks, envelope.recipients), Some(file)))
}

fn placed(
    item: &SpillItem,
    inode: u64,
    marked: Vec<bool>,
    marks: Vec<RecipientMark>,
    recipients: Vec<Recipient>,
) -> Placed {
    let SpillItem { id, queue, retry_at, warned, .. } = item;
    Placed {
        id: id.clone(),
        queue: *queue,
        inode,
        marked,
        retry_at: *retry_at,
        warned: *warned,
        marks,
        recipients,
    }
}

/// Takes back what an earlier try left, in whichever directory: a small file is removed, a large one moved back.
fn fetch_leftover(
    disk: &dyn Disk,
    hashing: &Hashing,
    item: &SpillItem,
    head: &MessageHead,
    envelope: &Envelope,
) -> io::Result<()> {
    for queue in [Queue::Deferred, Queue::Hold] {
        let path = hashing.path(queue.name(), &item.id);
        match is_leftover(disk, &path, envelope) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(false) => {}
            Ok(true) if head.large => disk.rename_new(&path, &Path::new(LARGE).join(head.id.as_str()))?,
            Ok(true) => disk.unlink(&path)?,
        }
    }
    Ok(())
}

/// Whether a file is what an earlier try for this message left: of the same moment, to the microsecond, and for the
/// same recipients, or not even begun. It never counted, or the message would not lie in the journal.
fn is_leftover(disk: &dyn Disk, path: &Path, envelope: &Envelope) -> io::Result<bool> {
    let file = disk.open_read(path)?;
    if file.stat()?.len == 0 {
        return Ok(true);
    }
    match file::read(Arc::new(OnDisk(file))) {
        Ok(read) => Ok(read.envelope.arrival == envelope.arrival
            && read.envelope.recipients.len() == envelope.recipients.len()
            && read.envelope.sender == envelope.sender),
        Err(file::ReadError::Damaged(_)) => Ok(false),
        Err(file::ReadError::Io(error)) => Err(error),
    }
}

/// Makes a small message's file durable. A large one's was before it was moved, and is the only copy.
fn sync_file(
    disk: &dyn Disk,
    hashing: &Hashing,
    item: &SpillItem,
    file: Option<Arc<dyn DiskFile>>,
) -> io::Result<()> {
    #[cfg(feature = "faults")]
    if crate::faults::planted(crate::faults::Fault::RenameBeforeSync) {
        return Ok(());
    }
    let Some(file) = file else { return Ok(()) };
    // What stays after a failure is not known to be whole, and the journal's copy is.
    file.sync_all().inspect_err(|_| drop(disk.unlink(&hashing.path(item.queue.name(), &item.id))))
}

/// Writes why recipients were deferred.
fn put_reasons(disk: &dyn Disk, hashing: &Hashing, item: &SpillItem, placed: &Placed) {
    if item.deferrals.is_empty() {
        return;
    }
    let entry = |outcome: &Outcome| {
        let n = outcome.index as usize;
        Some(report_log::Entry::new(placed.recipients.get(n)?, outcome, placed.marks.get(n)?.offset))
    };
    let entries: Vec<_> = item.deferrals.iter().filter_map(entry).collect();
    // A reason that is lost does no harm to the mail: listings then show none.
    let _ = report_log::append(disk, &hashing.path("defer", &item.id), &entries);
}

/// A large message is a queue file already: it gets its place.
fn move_large(
    disk: &dyn Disk,
    id: &QueueId,
    item: &SpillItem,
    path: &Path,
    envelope: &Envelope,
    dirs: &mut BTreeSet<PathBuf>,
) -> io::Result<(Placed, Option<Arc<dyn DiskFile>>)> {
    let from = Path::new(LARGE).join(id.as_str());
    let file = disk.open(&from)?;
    let marks = file::read(Arc::new(OnDisk(file.clone())))?.marks;
    file.set_modified(item.retry_at)?;
    file.sync_all()?;
    let inode = file.stat()?.inode;
    make_safe_parents(disk, path, &mut HashSet::new())?;
    disk.rename_new(&from, path)?;
    dirs.insert(PathBuf::from(LARGE));
    let marked = marks.iter().map(|mark| mark.done).collect();
    let mut placed = placed(item, inode, marked, marks, envelope.recipients.clone());
    // Its envelope is as it came.
    placed.warned = false;
    Ok((placed, None))
}

/// Makes the directories above a place into which a message's only copy is moved: durable ones, since a power cut that took
/// such a directory away would take the message, too. `safe` are those that are known to be.
pub(crate) fn make_safe_parents(disk: &dyn Disk, path: &Path, safe: &mut HashSet<PathBuf>) -> io::Result<()> {
    make_parents(disk, path, &mut BTreeSet::new())?;
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        if !safe.contains(dir) {
            let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
            disk.sync_dir(above.unwrap_or(Path::new(".")))?;
            safe.insert(dir.to_path_buf());
        }
    }
    Ok(())
}

/// Makes the directories above a file; each of them, and the one above, is to be synced.
pub(crate) fn make_parents(disk: &dyn Disk, path: &Path, dirs: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let mut above: Vec<_> = parent.ancestors().filter(|dir| !dir.as_os_str().is_empty()).collect();
    above.reverse();
    for dir in above {
        if !dirs.contains(dir) {
            disk.make_dir(dir)?;
            dirs.insert(dir.to_path_buf());
        }
    }
    Ok(())
}
