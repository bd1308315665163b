//! The queue manager's own segments: what happened to messages, and the mail that it writes itself.
//!
//! What is recorded in one turn of the event loop becomes one record of kind group, written with one call. A thread
//! syncs it within 50 ms. What is not known to be durable is kept, so that it can be written again to another
//! segment when this one fails.

use super::tail::Tailed;
use crate::Report;
use crate::journal::{
    DATA_START, Event, Header, MessageKey, RECORD_HEAD_BYTES, SegmentId, encode_event, kind, put_sub,
};
use crate::segment::{Allocator, Need, NoSegment, Segment, put_record};
use crate::{CommitError, Reporter};
use mail::Timestamp;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time between a write and its sync; the thread sleeps a little less.
pub(crate) const SYNC_WITHIN: Duration = Duration::from_millis(50);
const SYNC_SLEEP: Duration = Duration::from_millis(40);

/// Most bytes of one group of events, and never more than an eighth of a segment; what is more is another group.
const GROUP_BYTES_MAX: u64 = 1 << 20;

/// Writes what the queue manager has to remember.
pub(crate) struct Log {
    allocator: Allocator,
    report: Reporter,
    current: Option<Segment>,
    voids: Vec<(SegmentId, u64)>,
    /// Sub-records of this turn. They grow as long as nothing can be written, for which the driver stalls.
    buffer: VecDeque<Group>,
    /// Groups that are written and perhaps not durable.
    unsynced: VecDeque<Unsynced>,
    /// Segments that records of the current segment are about, not collected yet.
    new_refs: Vec<(SegmentId, SegmentId)>,
    /// Bytes recorded, written and durable since the start: positions grow over all segments.
    recorded: u64,
    durable: u64,
    next_id: (u64, u64),
    sync: Arc<Sync>,
    thread: Option<JoinHandle<()>>,
    inline: bool,
    sync_due: Option<Timestamp>,
    /// Segments that were opened, as their owner is to know them.
    pub(crate) opened: Vec<Tailed>,
    /// Segments that are full and synced, or failed, for their owner to treat like others.
    pub(crate) retired: Vec<SegmentId>,
    /// Messages that have another key now.
    pub(crate) rekeyed: Vec<Rekeyed>,
}

/// Sub-records that are written as one record.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    /// Which segments they are about.
    about: Vec<SegmentId>,
    /// The log's position behind it.
    position: u64,
}

/// A group that is written and perhaps not durable.
struct Unsynced {
    group: Group,
    /// The segment's offset behind it.
    end: u64,
    /// A message in it: its key and where its sub-record begins in the group.
    message: Option<(MessageKey, usize)>,
}

/// A message that was written again to another segment, since the first failed.
pub(crate) struct Rekeyed {
    pub(crate) old: MessageKey,
    pub(crate) new: MessageKey,
    /// Where its payload lies now.
    pub(crate) payload_offset: u64,
}

/// What the log and its sync thread share.
#[derive(Default)]
struct Sync {
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Default)]
struct SyncState {
    file: Option<Arc<dyn crate::DiskFile>>,
    written: u64,
    durable: u64,
    error: Option<io::Error>,
    idle: bool,
    closing: bool,
}

impl Log {
    pub(crate) fn open(allocator: Allocator, report: Reporter, inline: bool) -> io::Result<Self> {
        let sync = Arc::new(Sync::default());
        let for_thread = sync.clone();
        let spawn =
            || std::thread::Builder::new().name("journal-sync".into()).spawn(move || for_thread.run());
        let thread = if inline { None } else { Some(spawn()?) };
        Ok(Log {
            allocator,
            report,
            current: None,
            voids: Vec::new(),
            buffer: VecDeque::new(),
            unsynced: VecDeque::new(),
            new_refs: Vec::new(),
            recorded: 0,
            durable: 0,
            next_id: (0, 0),
            sync,
            thread,
            inline,
            sync_due: None,
            opened: Vec::new(),
            retired: Vec::new(),
            rekeyed: Vec::new(),
        })
    }

    /// Opens the first segment.
    pub(crate) fn start(&mut self, now: Timestamp) -> Result<(), CommitError> {
        self.roll(Need::Outcomes, true, now)
    }

    pub(crate) fn next_number(&mut self) -> Option<u64> {
        (self.next_id.0 < self.next_id.1).then(|| {
            self.next_id.0 += 1;
            self.next_id.0 - 1
        })
    }

    /// Behind everything recorded so far.
    pub(crate) fn position(&self) -> u64 {
        self.recorded
    }

    /// Everything recorded before this position is on stable storage.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Buffers an event.
    pub(crate) fn record(&mut self, event: &Event) {
        let group_max = GROUP_BYTES_MAX.min(self.allocator.segment_bytes / 8);
        if self.buffer.back().is_none_or(|group| group.bytes.len() as u64 >= group_max) {
            self.buffer.push_back(Group::default());
        }
        if let Some(group) = self.buffer.back_mut() {
            self.recorded += group.add(event);
            group.position = self.recorded;
        }
    }

    /// Whether the buffer is to be written before the turn ends.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() > 1
    }

    /// Which segments hold records about which others, since the last call.
    pub(crate) fn take_refs(&mut self) -> Vec<(SegmentId, SegmentId)> {
        std::mem::take(&mut self.new_refs)
    }

    /// Writes what is buffered.
    pub(crate) fn write_out(&mut self, now: Timestamp) -> Result<(), CommitError> {
        while let Some(group) = self.buffer.pop_front() {
            if let Err((error, group)) = self.write_group(Need::Outcomes, group, now) {
                self.buffer.push_front(group);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes a group that holds a message, with what is buffered in front; gives the message's key and the offset
    /// of its payload in the segment. `outcomes` and `message` count together or not at all.
    pub(crate) fn write_message(
        &mut self,
        outcomes: &[Event],
        message: impl FnOnce(&mut Vec<u8>),
        now: Timestamp,
    ) -> Result<(MessageKey, u64), CommitError> {
        self.write_out(now)?;
        if self.current.as_ref().is_some_and(|segment| !segment.takes_mail) {
            // It was opened for outcomes when the journal was full; perhaps there is room again.
            self.roll(Need::Mail, false, now)?;
        }
        let mut group = Group::default();
        for event in outcomes {
            group.add(event);
        }
        let sub = group.bytes.len();
        put_sub(&mut group.bytes, kind::MESSAGE, message);
        self.recorded += group.bytes.len() as u64;
        group.position = self.recorded;
        match self.write_group(Need::Mail, group, now) {
            Ok((segment, offset)) => {
                let (key, payload) = place(segment, offset, sub);
                if let Some(newest) = self.unsynced.back_mut() {
                    newest.message = Some((key, sub));
                }
                Ok((key, payload))
            }
            Err((error, group)) => {
                // Nothing of it counts: the caller keeps the outcomes and tries again.
                self.recorded -= group.bytes.len() as u64;
                Err(error)
            }
        }
    }

    /// Writes one group to the current segment or the next; gives where, or the group back.
    fn write_group(
        &mut self,
        need: Need,
        group: Group,
        now: Timestamp,
    ) -> Result<(SegmentId, u64), (CommitError, Group)> {
        let bytes = (RECORD_HEAD_BYTES + group.bytes.len()).next_multiple_of(8) as u64;
        if bytes > self.allocator.segment_bytes.saturating_sub(2 * DATA_START) {
            return Err((CommitError::Io("larger than a journal segment".into()), group));
        }
        if self.current.as_ref().is_none_or(|segment| segment.room() < bytes)
            && let Err(error) = self.roll(need, false, now)
        {
            return Err((error, group));
        }
        let at = match self.try_write(&group) {
            Ok(at) => at,
            Err(error) => {
                self.seal(&error);
                let again = self
                    .roll(need, false, now)
                    .and_then(|()| self.try_write(&group).map_err(|e| crate::committer::commit_error(&e)));
                match again {
                    Ok(at) => at,
                    Err(error) => return Err((error, group)),
                }
            }
        };
        self.note_written(group, now);
        Ok(at)
    }

    fn try_write(&mut self, group: &Group) -> io::Result<(SegmentId, u64)> {
        let Some(segment) = &mut self.current else { return Err(io::ErrorKind::StorageFull.into()) };
        let mut record = Vec::with_capacity(group.bytes.len() + RECORD_HEAD_BYTES);
        let durable = lock(&self.sync.state).durable.max(segment.durable);
        put_record(&mut record, &segment.seal, segment.written, durable, kind::GROUP, |out| {
            out.extend_from_slice(&group.bytes);
        });
        if record.len() as u64 > segment.room() {
            return Err(io::Error::other("a group is larger than a segment"));
        }
        let at = segment.written;
        let n = segment.file.write_at(&[io::IoSlice::new(&record)], at)?;
        if n != record.len() {
            return Err(io::Error::other(format!("short write: {n} of {} bytes", record.len())));
        }
        segment.written += n as u64;
        let id = segment.id();
        self.new_refs.extend(group.about.iter().map(|about| (id, *about)));
        Ok((id, at))
    }

    /// Tells the thread that there is something to sync, and keeps it until it is.
    fn note_written(&mut self, group: Group, now: Timestamp) {
        let Some(segment) = &self.current else { return };
        self.unsynced.push_back(Unsynced { end: segment.written, group, message: None });
        self.sync_due.get_or_insert(now.after(SYNC_WITHIN));
        let mut state = lock(&self.sync.state);
        state.written = segment.written;
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.sync.changed.notify_one();
        }
    }

    /// Goes on in another segment: the old one is synced, or, where that fails, what it was to hold is written again.
    fn roll(&mut self, need: Need, written_ahead: bool, now: Timestamp) -> Result<(), CommitError> {
        if self.current.as_ref().is_some_and(|segment| segment.durable < segment.written) {
            // One that fails is given up, and what it held is written again below.
            let _ = self.sync_current();
        }
        let opened = self.allocator.open(need, &[], written_ahead, now);
        let next = opened.map_err(|error| {
            (self.report)(&Report::NoSegment { error: error.text() });
            match error {
                NoSegment::Full(_) => CommitError::NoSpace,
                NoSegment::Io(error) => CommitError::Io(error.to_string()),
            }
        })?;
        let block = Header::counters(next.id());
        self.next_id = (block.start, block.end);
        {
            let mut state = lock(&self.sync.state);
            state.file = Some(next.file.clone());
            (state.written, state.durable) = (next.written, next.durable);
            state.error = None;
        }
        self.opened.push(Tailed::own(&next));
        if let Some(old) = self.current.replace(next) {
            self.retired.push(old.id());
        }
        // What the failed segment was to hold is written again. Where this one fails, too, another has to hold all of it.
        for n in 0..self.unsynced.len() {
            let group = std::mem::take(&mut self.unsynced[n].group);
            let written = self.try_write(&group);
            self.unsynced[n].group = group;
            let (segment, offset) = written.map_err(|error| {
                self.seal(&error);
                crate::committer::commit_error(&error)
            })?;
            if let Some((old, sub)) = self.unsynced[n].message {
                let (new, payload_offset) = place(segment, offset, sub);
                self.unsynced[n].message = Some((new, sub));
                self.rekeyed.push(Rekeyed { old, new, payload_offset });
            }
            self.unsynced[n].end = self.current.as_ref().map_or(0, |segment| segment.written);
        }
        // Only now does the failed segment's end not count any more: until here it was the only copy.
        let mut voids = Group::default();
        for (segment, from) in &self.voids {
            voids.add(&Event::Void(*segment, *from));
        }
        if !voids.bytes.is_empty() && self.try_write(&voids).is_ok() {
            self.voids.clear();
        }
        if let (false, Some(segment)) = (self.unsynced.is_empty(), &self.current) {
            self.sync_due.get_or_insert(now.after(SYNC_WITHIN));
            lock(&self.sync.state).written = segment.written;
            self.sync.changed.notify_one();
        }
        Ok(())
    }

    /// The current segment is on stable storage up to this offset.
    fn durable_to(&mut self, offset: u64) {
        while self.unsynced.front().is_some_and(|oldest| oldest.end <= offset) {
            if let Some(oldest) = self.unsynced.pop_front() {
                self.durable = oldest.group.position;
            }
        }
        if self.unsynced.is_empty() {
            self.sync_due = None;
        }
        if let Some(segment) = &mut self.current {
            segment.durable = segment.durable.max(offset);
            let mut state = lock(&self.sync.state);
            state.durable = state.durable.max(offset);
        }
    }

    fn seal(&mut self, error: &io::Error) {
        let Some(segment) = self.current.take() else { return };
        (self.report)(&Report::Sealed {
            segment: segment.id(),
            durable: segment.durable,
            error: error.to_string(),
        });
        self.voids.push((segment.id(), segment.durable));
        self.retired.push(segment.id());
    }

    /// Takes note of what the thread synced, or syncs where there is no thread and it is time.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Result<(), CommitError> {
        if self.inline {
            if self.sync_due.is_some_and(|due| due <= now) {
                return self.sync_now(now);
            }
            return Ok(());
        }
        let (durable, error) = {
            let mut state = lock(&self.sync.state);
            (state.durable, state.error.take())
        };
        if let Some(error) = error {
            self.seal(&error);
        }
        if self.current.is_none() {
            return self.roll(Need::Outcomes, false, now);
        }
        self.durable_to(durable);
        Ok(())
    }

    /// Syncs at once: before something that must not happen unless it is remembered.
    pub(crate) fn sync_now(&mut self, now: Timestamp) -> Result<(), CommitError> {
        self.write_out(now)?;
        if self.unsynced.is_empty() {
            return if self.current.is_some() { Ok(()) } else { Err(CommitError::NoSpace) };
        }
        if self.current.is_none() {
            self.roll(Need::Outcomes, false, now)?;
        }
        if self.sync_current().is_ok() {
            return Ok(());
        }
        self.roll(Need::Outcomes, false, now)?;
        self.sync_current()
    }

    /// Syncs the current segment, or gives it up: once a sync failed, a later one that succeeds proves nothing.
    fn sync_current(&mut self) -> Result<(), CommitError> {
        let Some(segment) = &self.current else { return Err(CommitError::NoSpace) };
        let written = segment.written;
        match segment.file.sync_data() {
            Ok(()) => {
                self.durable_to(written);
                Ok(())
            }
            Err(error) => {
                self.seal(&error);
                Err(crate::committer::commit_error(&error))
            }
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.sync_due
    }

    /// Ends the thread; the segment is given back for the owner to free.
    pub(crate) fn close(&mut self) {
        lock(&self.sync.state).closing = true;
        self.sync.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(segment) = self.current.take() {
            self.retired.push(segment.id());
        }
    }
}

impl Group {
    /// Appends an event; gives how many bytes it takes.
    fn add(&mut self, event: &Event) -> u64 {
        let before = self.bytes.len();
        put_sub(&mut self.bytes, event.kind(), |out| encode_event(event, out));
        let about = event.segment();
        if about != SegmentId::FILES && !self.about.contains(&about) {
            self.about.push(about);
        }
        (self.bytes.len() - before) as u64
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sync {
    /// The sync thread: sleeps while nothing is written; then gathers for 40 ms and syncs once.
    fn run(&self) {
        loop {
            let mut state = lock(&self.state);
            while !state.closing && (state.durable >= state.written || state.error.is_some()) {
                state.idle = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closing {
                return;
            }
            drop(state);
            std::thread::sleep(SYNC_SLEEP);
            let (file, written) = {
                let state = lock(&self.state);
                (state.file.clone(), state.written)
            };
            let Some(file) = file else { continue };
            let synced = file.sync_data();
            let mut state = lock(&self.state);
            if !state.file.as_ref().is_some_and(|now| Arc::ptr_eq(now, &file)) {
                continue;
            }
            match synced {
                Ok(()) => state.durable = state.durable.max(written),
                Err(error) => state.error = Some(error),
            }
        }
    }
}

/// Key of the message whose sub-record begins at `sub` of a group, and where its payload lies.
fn place(segment: SegmentId, group_offset: u64, sub: usize) -> (MessageKey, u64) {
    let at = group_offset + (RECORD_HEAD_BYTES + sub) as u64;
    (MessageKey { segment, index: at / 8 }, at + 8)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
