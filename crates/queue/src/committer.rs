//! Makes waiting messages durable in groups: the synchronous core that the commit thread calls.
//!
//! A group is one `pwritev` and one `fdatasync`. When either fails the segment is sealed where it was durable last,
//! the group is refused, and another segment is opened, which says so: nothing of the refused group ever counts.

use crate::draft::{Budget, Draft};
use crate::intake::{CommitError, Committed};
use crate::journal::{
    COUNTERS_PER_SEGMENT, DATA_START, Header, MessageHead, MessageKey, RECORD_HEAD_BYTES, Role, SegmentId,
    kind,
};
use crate::segment::{Allocator, LARGE, Need, NoSegment, Segment, VOIDS_MAX, is_full};
use crate::{Disk, Notice, Report, Reporter, SpaceRule, record};
use mail::{ContentFlags, Envelope, QueueId, QueueIdForm, Timestamp};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of a group, so that the first of a group does not wait long for the last. One message may exceed it.
const GROUP_BYTES_MAX: u64 = 4 << 20;

/// Most slices of one `pwritev` (Linux: UIO_MAXIOV).
const SLICES_MAX: usize = 1024;

/// How a process writes its part of the journal.
#[derive(Clone)]
pub struct IntakeSettings {
    /// Who writes.
    pub role: Role,
    /// Size of a new segment.
    pub segment_bytes: u64,
    /// Most bytes of the whole journal on disk; beyond it clients get 452.
    pub journal_bytes_max: u64,
    /// Content from this size on goes to a file of its own.
    pub large_message_bytes: u64,
    /// Most bytes of content that is not committed yet, over all drafts; what goes beyond it goes to files.
    pub body_memory_max: u64,
    /// Form of new queue ids.
    pub id_form: QueueIdForm,
    /// `queue_minfree` and `message_size_limit`.
    pub space: SpaceRule,
}

impl IntakeSettings {
    /// Settings with defaults for everything else.
    pub fn new(role: Role) -> Self {
        IntakeSettings {
            role,
            segment_bytes: 8 << 20,
            journal_bytes_max: 512 << 20,
            large_message_bytes: 2 << 20,
            body_memory_max: 64 << 20,
            id_form: QueueIdForm::Short,
            space: SpaceRule::default(),
        }
    }
}

/// What the commit thread does behind each sync, before it wakes the sessions: log lines out, then notice ②.
pub struct Hooks {
    /// Writes out the log lines that are buffered, so that they stand in the log before the queue manager's.
    pub flush_log: Box<dyn FnMut() + Send>,
    /// Tells the queue manager, as [`crate::NoticeSender::send`] does.
    pub notice: Box<dyn FnMut(Notice) + Send>,
    /// Takes what an administrator should read.
    pub report: Reporter,
}

impl Hooks {
    /// Hooks that do nothing; for tests.
    pub fn none() -> Self {
        Hooks { flush_log: Box::new(|| ()), notice: Box::new(|_| ()), report: Arc::new(|_| ()) }
    }
}

/// A message and what became of it.
pub type Answered = (Waiting, Result<Committed, CommitError>);

/// The numbers that make queue ids unlike each other.
#[derive(Debug)]
pub(crate) struct Counter {
    next: u64,
    end: u64,
    /// Used where the block is empty and no segment could be opened: no block ever reaches these.
    stray: u64,
}

/// Where numbers begin that belong to no segment.
const STRAY: u64 = 1 << 60;

/// A message on its way to the commit.
pub struct Waiting {
    draft: Draft,
    envelope: Envelope,
    flags: ContentFlags,
    /// Record head (filled in at commit), message head, envelope, padding; the content follows.
    front: Vec<u8>,
    bytes: u64,
    pub(crate) back: crate::intake::Back,
}

impl Waiting {
    pub(crate) fn new(
        mut draft: Draft,
        envelope: Envelope,
        flags: ContentFlags,
        back: crate::intake::Back,
    ) -> Self {
        draft.close_gathered();
        let mut waiting = Waiting { draft, envelope, flags, front: Vec::new(), bytes: 0, back };
        waiting.encode();
        waiting
    }

    fn encode(&mut self) {
        let large = self.draft.large.is_some();
        let mut envelope = Vec::with_capacity(512);
        record::encode_envelope(&self.envelope, &mut envelope);
        let id = self.draft.queue_id();
        let inline = if large { 0 } else { self.draft.size() };
        let fixed = RECORD_HEAD_BYTES + crate::journal::MESSAGE_HEAD_BYTES + id.as_str().len();
        let head = MessageHead {
            id: id.clone(),
            flags: self.flags,
            large,
            envelope_bytes: u32::try_from(envelope.len()).unwrap_or(u32::MAX),
            content_bytes: self.draft.size(),
        };
        self.front = Vec::with_capacity(fixed + envelope.len());
        self.front.resize(RECORD_HEAD_BYTES, 0);
        head.encode(&mut self.front);
        self.front.extend_from_slice(&envelope);
        self.bytes = (self.front.len() as u64 + inline).next_multiple_of(8);
    }

    fn slices(&self) -> usize {
        2 + self.draft.pieces.len()
    }

    fn payload(&self) -> impl Iterator<Item = &[u8]> + Clone {
        std::iter::once(&self.front[RECORD_HEAD_BYTES..])
            .chain(self.draft.pieces.iter().map(|piece| &piece[..]))
    }

    fn padding(&self) -> usize {
        let unpadded: u64 =
            self.front.len() as u64 + self.draft.pieces.iter().map(|p| p.len() as u64).sum::<u64>();
        (self.bytes - unpadded) as usize
    }
}

/// The synchronous core of a group commit. [`crate::Intake`] runs it on its thread, the simulator by hand.
pub struct Committer {
    allocator: Allocator,
    hooks: Hooks,
    current: Option<Segment>,
    /// Segments that failed, and from where on nothing in them counts; the next segment begins with these.
    voids: Vec<(SegmentId, u64)>,
    counter: Arc<Mutex<Counter>>,
    budget: Arc<Budget>,
    id_form: QueueIdForm,
}

impl Committer {
    /// Opens a fresh segment; a restarted process never writes to an older one.
    pub fn open(
        settings: &IntakeSettings,
        disk: Arc<dyn Disk>,
        mut hooks: Hooks,
        now: Timestamp,
    ) -> io::Result<Self> {
        let allocator = Allocator {
            disk: disk.clone(),
            role: settings.role,
            segment_bytes: settings.segment_bytes,
            journal_bytes_max: settings.journal_bytes_max,
        };
        allocator.make_directories()?;
        // A full disk is no reason not to start: what is queued must go out. The first commit tries again.
        let current = match allocator.open(Need::Mail, &[], true, now) {
            Ok(segment) => Some(segment),
            Err(NoSegment::Full(error)) => {
                (hooks.report)(&Report::NoSegment { error });
                None
            }
            Err(NoSegment::Io(error)) => return Err(error),
        };
        let block = current.as_ref().map(|segment| Header::counters(segment.id())).unwrap_or(0..0);
        if let Some(segment) = &current {
            (hooks.notice)(Notice { segment: segment.id(), durable: segment.durable, sealed: false });
        }
        let stray = STRAY + (disk.random() >> 8);
        Ok(Committer {
            allocator,
            hooks,
            current,
            voids: Vec::new(),
            counter: Arc::new(Mutex::new(Counter { next: block.start, end: block.end, stray })),
            budget: Arc::new(Budget {
                disk,
                large_message_bytes: settings.large_message_bytes.min(settings.segment_bytes / 4),
                body_memory_max: settings.body_memory_max,
                journal_bytes_max: settings.journal_bytes_max,
                segment_bytes: settings.segment_bytes,
                used: AtomicU64::new(0),
            }),
            id_form: settings.id_form,
        })
    }

    pub(crate) fn counter(&self) -> Arc<Mutex<Counter>> {
        self.counter.clone()
    }

    pub(crate) fn budget(&self) -> Arc<Budget> {
        self.budget.clone()
    }

    /// Whether every refusal so far would survive a power cut. Where a write or sync failed and then no segment could
    /// be opened to say so, a refused message may come back, beside the copy that its client sends again.
    pub fn refusals_are_durable(&self) -> bool {
        self.voids.is_empty()
    }

    /// A new queue id.
    pub fn new_id(&self, now: Timestamp) -> QueueId {
        next_id(&self.counter, self.id_form, now)
    }

    /// An empty draft.
    pub fn draft(&self, id: QueueId) -> Draft {
        Draft::new(id, self.budget.clone())
    }

    /// A message that waits; what becomes of it comes from [`Committer::commit`].
    pub fn waiting(&self, draft: Draft, envelope: Envelope, flags: ContentFlags) -> Waiting {
        Waiting::new(draft, envelope, flags, crate::intake::Back::Nobody)
    }

    /// Makes all that wait durable, in as few groups as their size allows. `done` gets each with its outcome, a group
    /// at a time, behind the group's sync.
    pub fn commit(&mut self, mut waiting: Vec<Waiting>, now: Timestamp, done: &mut dyn FnMut(Vec<Answered>)) {
        while !waiting.is_empty() {
            let rest = waiting.split_off(self.group_len(&waiting));
            let group = std::mem::replace(&mut waiting, rest);
            self.commit_group(group, now, done);
        }
    }

    /// How many of those that wait make up the next group; at least one.
    fn group_len(&self, waiting: &[Waiting]) -> usize {
        let room = self.current.as_ref().map_or(0, Segment::room);
        let fresh = self.fresh_room();
        // The first one opens another segment where it must; the others follow as far as there is room.
        let room = if waiting[0].bytes <= room { room } else { fresh };
        let (mut bytes, mut slices) = (0, 0);
        let fits = |w: &&Waiting| {
            bytes += w.bytes;
            slices += w.slices();
            bytes <= room.min(GROUP_BYTES_MAX) && slices <= SLICES_MAX
        };
        waiting.iter().take_while(fits).count().max(1)
    }

    /// What a new segment takes, behind its header and the void records that it may begin with.
    fn fresh_room(&self) -> u64 {
        self.allocator.segment_bytes.saturating_sub(2 * DATA_START)
    }

    fn commit_group(&mut self, mut group: Vec<Waiting>, now: Timestamp, done: &mut dyn FnMut(Vec<Answered>)) {
        #[cfg(feature = "faults")]
        let early = crate::faults::planted(crate::faults::Fault::AckBeforeSync);
        #[cfg(not(feature = "faults"))]
        let early = false;
        let mut refused = self.finish_large(&mut group);
        let bytes = group.iter().map(|w| w.bytes).sum();
        let written = self.make_room(bytes, now).and_then(|()| self.write(&mut group, now));
        let group: Vec<_> = match written {
            Err(error) => group.into_iter().map(|w| (w, Err(error.clone()))).collect(),
            Ok(keys) => {
                if early {
                    let acked = group.drain(..).zip(&keys).map(|(w, &key)| {
                        let committed = w.committed(key);
                        (w, Ok(committed))
                    });
                    done(acked.collect());
                }
                let synced = self.sync(now);
                let finish = |(mut w, key): (Waiting, MessageKey)| match &synced {
                    Ok(()) => {
                        let committed = w.committed(key);
                        if let Some(large) = &mut w.draft.large {
                            large.kept = true;
                        }
                        (w, Ok(committed))
                    }
                    Err(error) => (w, Err(error.clone())),
                };
                group.into_iter().zip(keys).map(finish).collect()
            }
        };
        refused.extend(group);
        (self.hooks.flush_log)();
        if let Some(segment) = &self.current {
            (self.hooks.notice)(Notice { segment: segment.id(), durable: segment.durable, sealed: false });
        }
        done(refused);
    }

    /// Makes the files of large messages whole and durable, with their names; takes those out that fail.
    fn finish_large(&mut self, group: &mut Vec<Waiting>) -> Vec<Answered> {
        let mut refused = Vec::new();
        let mut names = false;
        for n in (0..group.len()).rev() {
            let finished = if group[n].front.len() as u64 > self.fresh_room() / 2 {
                Err(CommitError::Io("the envelope is larger than half of a journal segment".into()))
            } else {
                group[n].finish_large(self.fresh_room() / 2).map_err(|e| commit_error(&e))
            };
            match finished {
                Ok(large) => names |= large,
                Err(error) => refused.push((group.remove(n), Err(error))),
            }
        }
        if names && let Err(error) = self.allocator.disk.sync_dir(Path::new(LARGE)) {
            let error = commit_error(&error);
            let (large, small) = std::mem::take(group).into_iter().partition(|w| w.draft.large.is_some());
            *group = small;
            let large: Vec<Waiting> = large;
            refused.extend(large.into_iter().map(|w| (w, Err(error.clone()))));
        }
        refused
    }

    /// Sees to it that the current segment takes a record of `bytes`, and that ids are left.
    fn make_room(&mut self, bytes: u64, now: Timestamp) -> Result<(), CommitError> {
        let ids_low = {
            let counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
            counter.end.saturating_sub(counter.next) < COUNTERS_PER_SEGMENT / 4
        };
        let fits = self.current.as_ref().is_some_and(|segment| segment.room() >= bytes);
        if fits && !ids_low {
            return Ok(());
        }
        match self.open_next(now) {
            Err(_) if fits => Ok(()),
            other => other,
        }
    }

    /// Goes on in another segment.
    fn open_next(&mut self, now: Timestamp) -> Result<(), CommitError> {
        match self.allocator.open(Need::Mail, &self.voids, false, now) {
            Ok(next) => {
                let block = Header::counters(next.id());
                let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
                (counter.next, counter.end) = (block.start, block.end);
                drop(counter);
                self.voids.clear();
                if let Some(full) = self.current.replace(next) {
                    (self.hooks.notice)(Notice { segment: full.id(), durable: full.durable, sealed: true });
                }
                Ok(())
            }
            Err(error) => {
                (self.hooks.report)(&Report::NoSegment { error: error.text() });
                Err(match error {
                    NoSegment::Full(_) => CommitError::NoSpace,
                    NoSegment::Io(error) => CommitError::Io(error.to_string()),
                })
            }
        }
    }

    /// Writes the group with one call.
    fn write(&mut self, group: &mut [Waiting], now: Timestamp) -> Result<Vec<MessageKey>, CommitError> {
        let Some(segment) = &mut self.current else { return Err(CommitError::NoSpace) };
        let mut at = segment.written;
        let mut keys = Vec::with_capacity(group.len());
        for waiting in group.iter_mut() {
            let head = segment.seal.head(at, kind::MESSAGE, segment.durable, waiting.payload());
            waiting.front[..RECORD_HEAD_BYTES].copy_from_slice(&head);
            keys.push(MessageKey { segment: segment.id(), index: at / 8 });
            at += waiting.bytes;
        }
        let mut slices = Vec::with_capacity(group.iter().map(Waiting::slices).sum());
        for waiting in group.iter() {
            slices.push(IoSlice::new(&waiting.front));
            slices.extend(waiting.draft.pieces.iter().map(|piece| IoSlice::new(piece)));
            let padding = waiting.padding();
            if padding > 0 {
                slices.push(IoSlice::new(&[0; 8][..padding]));
            }
        }
        if slices.is_empty() {
            return Ok(keys);
        }
        let expected = at - segment.written;
        let written = match segment.file.write_at(&slices, segment.written) {
            Ok(n) if n as u64 == expected => Ok(()),
            Ok(n) => Err(CommitError::Io(format!("short write: {n} of {expected} bytes"))),
            Err(error) => Err(commit_error(&error)),
        };
        drop(slices);
        match written {
            Ok(()) => {
                segment.written = at;
                Ok(keys)
            }
            Err(error) => {
                self.give_up(&error, now);
                Err(error)
            }
        }
    }

    fn sync(&mut self, now: Timestamp) -> Result<(), CommitError> {
        let Some(segment) = &mut self.current else { return Ok(()) };
        #[cfg(feature = "faults")]
        if crate::faults::planted(crate::faults::Fault::NoSync) {
            segment.durable = segment.written;
            return Ok(());
        }
        if segment.durable == segment.written {
            return Ok(());
        }
        match segment.file.sync_data() {
            Ok(()) => {
                segment.durable = segment.written;
                Ok(())
            }
            Err(error) => {
                let error = commit_error(&error);
                self.give_up(&error, now);
                Err(error)
            }
        }
    }

    /// Goes on in another segment, which says that nothing of the refused group counts: that is durable before the
    /// client hears of the refusal, or a crash could bring the message back. Where no other can be opened the group's
    /// bytes are overwritten, as well as the failed disk allows.
    fn give_up(&mut self, error: &CommitError, now: Timestamp) {
        let Some(failed) = self.seal(error) else { return };
        if self.open_next(now).is_err() {
            let zeros = vec![0; usize::try_from(failed.room().min(GROUP_BYTES_MAX)).unwrap_or(0)];
            let _ = failed.file.write_all_at(&zeros, failed.durable).and_then(|()| failed.file.sync_data());
        }
    }

    /// Gives the current segment up where it was durable last.
    fn seal(&mut self, error: &CommitError) -> Option<Segment> {
        let mut segment = self.current.take()?;
        segment.written = segment.durable;
        let durable = segment.durable;
        (self.hooks.report)(&Report::Sealed { segment: segment.id(), durable, error: error.to_string() });
        (self.hooks.notice)(Notice { segment: segment.id(), durable, sealed: true });
        self.voids.push((segment.id(), durable));
        if self.voids.len() > VOIDS_MAX {
            self.voids.remove(0);
        }
        Some(segment)
    }
}

impl Waiting {
    fn committed(&self, key: MessageKey) -> Committed {
        Committed::new(self.draft.queue_id().clone(), key, self.draft.size())
    }

    /// Finishes the file of a large message and syncs it; whether there is one.
    fn finish_large(&mut self, inline_max: u64) -> io::Result<bool> {
        // An envelope that leaves no room for the content beside it sends the content to a file, too.
        if self.draft.large.is_none() && self.bytes > inline_max {
            self.draft.become_large().map_err(|e| match e {
                crate::DraftError::NoRoom => io::ErrorKind::StorageFull.into(),
                crate::DraftError::Io(error) => error,
            })?;
            self.encode();
        }
        let Some(large) = &mut self.draft.large else { return Ok(false) };
        let Some(writer) = large.writer.take() else { return Ok(false) };
        let finished = writer.finish(&self.envelope)?;
        finished.out.file.write_all_at(&finished.head, 0)?;
        finished.out.file.set_mode(0o700)?;
        finished.out.file.sync_all()?;
        Ok(true)
    }
}

pub(crate) fn commit_error(error: &io::Error) -> CommitError {
    if is_full(error) { CommitError::NoSpace } else { CommitError::Io(error.to_string()) }
}

pub(crate) fn next_id(counter: &Mutex<Counter>, form: QueueIdForm, now: Timestamp) -> QueueId {
    let mut counter = counter.lock().unwrap_or_else(PoisonError::into_inner);
    let number = if counter.next < counter.end {
        counter.next += 1;
        counter.next - 1
    } else {
        counter.stray += 1;
        counter.stray
    };
    QueueId::make(form, now, number)
}
