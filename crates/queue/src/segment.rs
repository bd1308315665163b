//! Opening segments for writing: new ones, recycled ones, and the reserve.
//!
//! Whoever writes a segment holds a lock on it, so that the queue manager knows a live writer from a dead one.

use crate::disk::{Disk, DiskFile, Lock};
use crate::journal::{
    DATA_START, Event, Header, RECORD_HEAD_BYTES, Role, Seal, SegmentId, SegmentState, encode_event,
    parse_segment_name,
};
use mail::Timestamp;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The journal's directory.
pub(crate) const JOURNAL: &str = "journal";
/// Where large messages lie.
pub(crate) const LARGE: &str = "journal/large";
/// Held while a name in the journal's directory is chosen.
const LOCK: &str = "journal/lock";

/// Room for void records behind a new header: more failed segments than this at once are not remembered, since
/// then no segment can be opened at all.
pub(crate) const VOIDS_MAX: usize = 64;

/// A segment that is being written.
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) seal: Seal,
    /// Where the next record goes.
    pub(crate) written: u64,
    /// Everything before this offset is synced.
    pub(crate) durable: u64,
    /// Whether the queue manager may write mail into it, not only what becomes of mail.
    pub(crate) takes_mail: bool,
    _lock: Option<Box<dyn Lock>>,
}

/// What a segment is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Mail, which is refused beyond a part of the journal's size.
    Mail,
    /// What becomes of mail: it frees the journal, so it is not refused for the journal's size.
    Outcomes,
}

impl Segment {
    pub(crate) fn id(&self) -> SegmentId {
        self.header.id
    }

    /// Bytes that a record may still take, with its head.
    pub(crate) fn room(&self) -> u64 {
        self.header.capacity.saturating_sub(self.written)
    }
}

/// Why there is no new segment.
#[derive(Debug)]
pub(crate) enum NoSegment {
    /// The journal has its full size, or the disk is full.
    Full(String),
    /// The operating system failed.
    Io(io::Error),
}

impl NoSegment {
    pub(crate) fn text(&self) -> String {
        match self {
            NoSegment::Full(what) => what.clone(),
            NoSegment::Io(error) => error.to_string(),
        }
    }
}

impl From<io::Error> for NoSegment {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { NoSegment::Full(error.to_string()) } else { NoSegment::Io(error) }
    }
}

/// Whether a file system said that it is full, or that our share of it is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Opens segments for one writer.
#[derive(Clone)]
pub(crate) struct Allocator {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) role: Role,
    pub(crate) segment_bytes: u64,
    pub(crate) journal_bytes_max: u64,
}

/// The files of the journal's directory.
pub(crate) fn segments(disk: &dyn Disk) -> io::Result<Vec<(SegmentId, SegmentState)>> {
    let entries = disk.list(Path::new(JOURNAL))?;
    let mut found: Vec<_> =
        entries.iter().filter(|e| !e.is_dir).filter_map(|e| parse_segment_name(&e.name)).collect();
    found.sort();
    Ok(found)
}

/// Whether a file has another name in the journal, too: a file system without a journal may keep both names of a
/// rename that was under way at a power cut, and the other name may be in use.
pub(crate) fn other_name(
    disk: &dyn Disk,
    found: &[(SegmentId, SegmentState)],
    path: &Path,
) -> io::Result<bool> {
    let inode = disk.stat(path)?.inode;
    for &(id, state) in found {
        let other = match state {
            SegmentState::Used => id.path(),
            SegmentState::Free => id.free_path(),
            SegmentState::Reserve => id.reserve_path(),
        };
        if other != path && disk.stat(&other).is_ok_and(|stat| stat.inode == inode) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Allocator {
    /// Makes the journal's directories.
    pub(crate) fn make_directories(&self) -> io::Result<()> {
        self.disk.make_dir(Path::new(JOURNAL))?;
        self.disk.make_dir(Path::new(LARGE))?;
        self.disk.sync_dir(Path::new(JOURNAL))?;
        self.disk.sync_dir(Path::new("."))
    }

    /// Opens a segment; when this returns, the file, its header, the void records and its name are durable.
    ///
    /// `written_ahead` fills a file that must be made anew with zeros, which saves a flush for each group later
    /// (docs/queue-format.md) but takes a moment: for starts and idle times.
    pub(crate) fn open(
        &self,
        need: Need,
        voids: &[(SegmentId, u64)],
        written_ahead: bool,
        now: Timestamp,
    ) -> Result<Segment, NoSegment> {
        let _chosen_alone = self.disk.lock(Path::new(LOCK))?;
        let found = segments(&*self.disk)?;
        let id = SegmentId(found.iter().map(|(id, _)| id.0).max().unwrap_or(0) + 1);
        let takes_mail = self.may_take_mail(&found);
        if need == Need::Mail && !takes_mail {
            return Err(NoSegment::Full(self.full()));
        }
        let (file, is_new) = match self.recycled(&found, id)? {
            Some(file) => (file, false),
            None => self.another(need, &found, id, written_ahead)?,
        };
        self.begin(id, file, takes_mail, voids, now).inspect_err(|_| {
            // Names keep the highest number that was ever used, so a recycled file must not vanish with its own.
            let _ = if is_new {
                self.disk.unlink(&id.path())
            } else {
                self.disk.rename_new(&id.path(), &id.free_path())
            };
        })
    }

    /// A new file, or on a full disk the reserve; whether it is new.
    fn another(
        &self,
        need: Need,
        found: &[(SegmentId, SegmentState)],
        id: SegmentId,
        written_ahead: bool,
    ) -> Result<(Arc<dyn DiskFile>, bool), NoSegment> {
        let made = match need == Need::Outcomes || self.may_grow(found) {
            true => self.create(id, written_ahead).map(|file| (file, true)),
            false => Err(NoSegment::Full(self.full())),
        };
        match made {
            Err(NoSegment::Full(why)) => match self.reserve(found, id)? {
                Some(file) => Ok((file, false)),
                None => Err(NoSegment::Full(why)),
            },
            other => other,
        }
    }

    /// Takes a freed segment of the right size.
    fn recycled(
        &self,
        found: &[(SegmentId, SegmentState)],
        id: SegmentId,
    ) -> Result<Option<Arc<dyn DiskFile>>, NoSegment> {
        for &(old, state) in found.iter().rev() {
            if state != SegmentState::Free {
                continue;
            }
            let stat = self.disk.stat(&old.free_path())?;
            let other_size = stat.len > self.segment_bytes;
            if other_size || other_name(&*self.disk, found, &old.free_path())? {
                // Of another setting's size, or in use under its other name. The highest number must stay in a name.
                if old.0 + 1 < id.0 {
                    self.disk.unlink(&old.free_path())?;
                }
                continue;
            }
            if stat.len < self.segment_bytes {
                // A crash kept the name and lost the length.
                self.disk.open(&old.free_path())?.allocate(self.segment_bytes)?;
            }
            return Ok(self.take(&old.free_path(), id)?);
        }
        Ok(None)
    }

    /// Takes the reserve, which only the queue manager may: for outcomes on a full disk.
    fn reserve(
        &self,
        found: &[(SegmentId, SegmentState)],
        id: SegmentId,
    ) -> Result<Option<Arc<dyn DiskFile>>, NoSegment> {
        let reserve = found.iter().find(|(_, state)| *state == SegmentState::Reserve);
        match reserve {
            Some((old, _)) if self.role == Role::Qmgr => Ok(self.take(&old.reserve_path(), id)?),
            _ => Ok(None),
        }
    }

    fn take(&self, from: &Path, id: SegmentId) -> io::Result<Option<Arc<dyn DiskFile>>> {
        self.disk.rename_new(from, &id.path())?;
        self.disk.open(&id.path()).map(Some)
    }

    /// Whether this writer may have one more segment for mail. Clients' mail stops at three quarters of the journal, our
    /// own reports at seven eighths: the rest is for what becomes of it.
    fn may_take_mail(&self, found: &[(SegmentId, SegmentState)]) -> bool {
        let used = found.iter().filter(|(_, state)| *state == SegmentState::Used).count() as u64 + 1;
        let (part, of) = if self.role == Role::Qmgr { (7, 8) } else { (3, 4) };
        used.saturating_mul(self.segment_bytes).saturating_mul(of)
            <= self.journal_bytes_max.saturating_mul(part)
    }

    /// Whether one more file keeps the journal within its size.
    fn may_grow(&self, found: &[(SegmentId, SegmentState)]) -> bool {
        (found.len() as u64 + 1).saturating_mul(self.segment_bytes) <= self.journal_bytes_max
    }

    fn full(&self) -> String {
        format!("the journal has the size that it may have, {} bytes", self.journal_bytes_max)
    }

    fn create(&self, id: SegmentId, written_ahead: bool) -> Result<Arc<dyn DiskFile>, NoSegment> {
        let file = self.disk.create(&id.path())?;
        let prepared = self.prepare(&*file, written_ahead);
        if let Err(error) = prepared {
            let _ = self.disk.unlink(&id.path());
            return Err(error.into());
        }
        Ok(file)
    }

    fn prepare(&self, file: &dyn DiskFile, written_ahead: bool) -> io::Result<()> {
        file.allocate(self.segment_bytes)?;
        if written_ahead {
            let zeros = vec![0; 1 << 18];
            let mut at = 0;
            while at < self.segment_bytes {
                let n = zeros.len().min(usize::try_from(self.segment_bytes - at).unwrap_or(usize::MAX));
                file.write_all_at(&zeros[..n], at)?;
                at += n as u64;
            }
        }
        Ok(())
    }

    fn begin(
        &self,
        id: SegmentId,
        file: Arc<dyn DiskFile>,
        takes_mail: bool,
        voids: &[(SegmentId, u64)],
        now: Timestamp,
    ) -> Result<Segment, NoSegment> {
        let lock = file.try_lock()?;
        if lock.is_none() {
            return Err(NoSegment::Io(io::Error::other("a free segment is locked")));
        }
        let header = Header {
            id,
            role: self.role,
            capacity: self.segment_bytes,
            secret: [self.disk.random(), self.disk.random()],
            counter_first: Header::counters(id).start,
            opened: now,
        };
        let seal = Seal::new(id, header.secret);
        let mut records = Vec::new();
        for &(segment, from) in voids.iter().rev().take(VOIDS_MAX) {
            put_event(&mut records, &seal, DATA_START, DATA_START, &Event::Void(segment, from));
        }
        if !records.is_empty() {
            file.write_all_at(&records, DATA_START)?;
        }
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        self.disk.sync_dir(Path::new(JOURNAL))?;
        let written = DATA_START + records.len() as u64;
        Ok(Segment { header, file, seal, written, durable: written, takes_mail, _lock: lock })
    }

    /// Sees to it that a reserve exists; whether one does.
    #[allow(dead_code, reason = "the store, which calls it, follows")]
    pub(crate) fn ensure_reserve(&self) -> io::Result<bool> {
        let _chosen_alone = self.disk.lock(Path::new(LOCK))?;
        let found = segments(&*self.disk)?;
        if found.iter().any(|(_, state)| *state == SegmentState::Reserve) {
            return Ok(true);
        }
        let free = found.iter().rev().find(|(_, state)| *state == SegmentState::Free);
        if let Some((id, _)) = free {
            self.disk.rename_new(&id.free_path(), &id.reserve_path())?;
        } else if (found.len() as u64 + 1).saturating_mul(self.segment_bytes) <= self.journal_bytes_max {
            let id = SegmentId(found.iter().map(|(id, _)| id.0).max().unwrap_or(0) + 1);
            let file = self.disk.create(&id.reserve_path())?;
            if let Err(error) = file.allocate(self.segment_bytes).and_then(|()| file.sync_all()) {
                let _ = self.disk.unlink(&id.reserve_path());
                return Err(error);
            }
        } else {
            return Ok(false);
        }
        self.disk.sync_dir(Path::new(JOURNAL))?;
        Ok(true)
    }
}

/// Appends a record with one event to `out`, whose first byte lies at `base` of the segment.
pub(crate) fn put_event(out: &mut Vec<u8>, seal: &Seal, base: u64, durable: u64, event: &Event) {
    put_record(out, seal, base, durable, event.kind(), |out| encode_event(event, out));
}

/// Appends a record to `out`, whose first byte lies at `base` of the segment.
pub(crate) fn put_record(
    out: &mut Vec<u8>,
    seal: &Seal,
    base: u64,
    durable: u64,
    kind: u8,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.resize(start + RECORD_HEAD_BYTES, 0);
    payload(out);
    let (before, body) = out.split_at_mut(start + RECORD_HEAD_BYTES);
    let head = seal.head(base + start as u64, kind, durable, std::iter::once(&*body));
    before[start..].copy_from_slice(&head);
    out.resize(out.len().next_multiple_of(8), 0);
}
