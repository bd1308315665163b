//! The queue manager's side: the journal's tail, the index, outcomes, and the files of what stays.

mod entry;
mod files;
mod log;
mod look;
mod marks;
mod moving;
mod read;
mod recover;
mod scan;
mod spill;
mod tail;
mod types;
mod worker;

pub use types::{Due, Listed, NewMessage, Place, Record, Recovered, StoreSettings};

use crate::disk::Disk;
use crate::journal::{Event, MessageHead, MessageKey, SegmentId};
use crate::paths::Hashing;
use crate::segment::{Allocator, LARGE};
use crate::{CommitError, Notice, Report, record};
use bytes::Bytes;
use entry::{Entry, Index, Spill};
use log::Log;
use mail::{Content, ContentFlags, Envelope, Outcome, QueueId, Timestamp};
use moving::Work;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tail::{Item, Segments};
use worker::Worker;

/// New messages that one call gives.
const NEW_MAX: usize = 256;

/// Time between two looks for segments whose notices were lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time of what is to be delivered now, dead destination or not: no message waits for it by itself.
pub const FLUSHED: Timestamp = Timestamp::from_secs(0);

/// Time between two looks at what a thread is doing.
const BUSY_LOOK: Duration = Duration::from_millis(20);

/// The queue, as its one owner sees it.
///
/// One event loop calls it; what blocks for long (syncs, queue files, freeing) goes to its own named threads, and
/// [`Store::turn`] collects what they did. Every loop's turn: take notices, `poll_new`, deliveries, `record`…,
/// `write_out`, and `turn` at least whenever [`Store::next_due`] has come.
pub struct Store {
    settings: StoreSettings,
    hashing: Hashing,
    disk: Arc<dyn Disk>,
    allocator: Allocator,
    segments: Segments,
    index: Index,
    log: Log,
    fresh: VecDeque<Fresh>,
    /// Messages that had to be written again have another key than the one that was given out.
    aliases: HashMap<MessageKey, MessageKey>,
    /// What file messages were in flight when we started, by inode, until the scan finds them.
    file_crashes: HashMap<u64, (QueueId, u8)>,
    /// Bytes of content in memory that messages given out still hold.
    content_held: Arc<AtomicU64>,
    worker: Worker<Work>,
    syncer: Worker<Work>,
    spilling: bool,
    spill_not_before: Timestamp,
    /// Messages whose files are durable, with the log's position behind the records that say so.
    moving: VecDeque<(u64, MessageKey)>,
    freeing: bool,
    scan: scan::Scan,
    syncing: bool,
    marks: marks::Marks,
    dirty_files: BTreeSet<PathBuf>,
    dirty_dirs: BTreeSet<PathBuf>,
    /// Directories whose names are durable, as far as we had to know.
    safe_dirs: HashSet<PathBuf>,
    /// Large files of finished messages, and the log's position from which on they may go.
    finished_large: Vec<(u64, PathBuf)>,
    look_at: Timestamp,
    work_due: Option<Timestamp>,
    has_reserve: bool,
    stray_ids: u64,
    /// The time of the last call that told it.
    clock: Timestamp,
}

/// A message that was not given out yet.
enum Fresh {
    Read(Box<NewMessage>),
    /// To be read when its turn comes.
    Known(MessageKey),
}

impl Store {
    /// Recovers the journal and opens a segment for outcomes. Bounded by the journal's size; reads no other directory.
    pub fn open(
        settings: StoreSettings,
        disk: Arc<dyn Disk>,
        now: Timestamp,
    ) -> io::Result<(Store, Recovered)> {
        recover::open(settings, disk, now)
    }

    /// Notes how far a segment may be read.
    pub fn take_notice(&mut self, notice: Notice) {
        match self.segments.get_or_open(&*self.disk, notice.segment) {
            Ok(Some(segment)) => {
                segment.durable = segment.durable.max(notice.durable);
                if notice.sealed {
                    segment.sealed = true;
                    segment.void_from = segment.void_from.min(notice.durable.max(segment.read));
                }
            }
            // It was freed already, or a later look will find it.
            Ok(None) => {}
            Err(error) => self.failed("opening journal segment", notice.segment.path().as_path(), &error),
        }
    }

    /// The next messages that are new (or were recovered), at most some hundreds; empty where there is none. Those
    /// on hold are not given; those with a time to wait for come from [`Store::due`].
    pub fn poll_new(&mut self, now: Timestamp) -> io::Result<Vec<NewMessage>> {
        self.clock = now;
        if self.fresh.is_empty() {
            self.read_news()?;
        }
        let mut given = Vec::new();
        while given.len() < NEW_MAX {
            match self.fresh.pop_front() {
                None => break,
                Some(Fresh::Read(message)) => given.push(*message),
                Some(Fresh::Known(key)) => given.extend(self.load(key)?),
            }
        }
        Ok(given)
    }

    fn read_news(&mut self) -> io::Result<()> {
        let with_news: Vec<_> =
            self.segments.by_id.values().filter(|s| s.has_news()).map(tail::Tailed::id).collect();
        for id in with_news {
            let held = self.content_held.clone();
            let in_memory = held.load(Ordering::Relaxed) < self.settings.content_memory_max;
            let Some(segment) = self.segments.by_id.get_mut(&id) else { continue };
            let (items, gaps) = segment.read_new(|bytes| Bytes::from_owner(Held::new(bytes, held)))?;
            let file = segment.file.clone();
            for gap in gaps {
                let what = "expected journal records, which were acknowledged";
                tail::save_damage(&*self.disk, &self.settings.report, id, &*file, gap, what);
            }
            for item in items {
                self.take_item(id, item, in_memory);
            }
        }
        Ok(())
    }

    fn take_item(&mut self, segment: SegmentId, item: Item, in_memory: bool) {
        match item {
            Item::Event(event) => {
                if let Event::Void(voided, from) = event {
                    self.segments.void(voided, from);
                }
                self.note_about(segment, event.segment());
            }
            Item::Message { key, payload_offset, head, envelope, content } => {
                let payload_len = message_len(&head);
                let entry = Entry::new(
                    head.id.clone(),
                    (payload_offset, payload_len),
                    head.large,
                    head.content_bytes,
                    &envelope,
                );
                if let Some(segment) = self.segments.by_id.get_mut(&segment) {
                    segment.live += 1;
                }
                let held = entry.held.is_some();
                let message = (in_memory && !head.large && !held)
                    .then(|| entry.message(key, *envelope, Content::in_memory(vec![content], head.flags)));
                self.index.journal.insert(key, entry);
                if !held {
                    self.fresh.push_back(message.map_or(Fresh::Known(key), |m| Fresh::Read(Box::new(m))));
                }
            }
        }
    }

    fn note_about(&mut self, segment: SegmentId, about: SegmentId) {
        if about != SegmentId::FILES
            && let Some(segment) = self.segments.by_id.get_mut(&segment)
        {
            segment.about.insert(about);
        }
    }

    /// Remembers what happened. Buffered until [`Store::write_out`].
    pub fn record(&mut self, record: Record) {
        let key = self.resolve(record.key());
        if self.index.journal.contains_key(&key) {
            self.record_in_journal(key, record);
        } else if self.index.files.contains_key(&key) {
            self.record_in_file(key, record);
        }
    }

    fn record_in_journal(&mut self, key: MessageKey, record: Record) {
        let Some(entry) = self.index.journal.get_mut(&key) else { return };
        let mut finished = false;
        let event = match record {
            Record::Attempt { .. } => {
                entry.progress.in_flight = true;
                self.index.stop_waiting(key);
                Some(Event::Attempt { key, crashes: 0, file: None })
            }
            Record::Outcome { outcome, .. } => {
                let news = entry.note(&outcome);
                finished = entry.left == 0;
                let lost = lost(&outcome);
                (news && !lost).then_some(Event::Outcome(key, outcome))
            }
            Record::Retry { at, .. } => {
                entry.progress.in_flight = false;
                entry.progress.crashes = 0;
                self.index.wait(key, at);
                Some(Event::Retry(key, at))
            }
            Record::Hold { reason, .. } => {
                entry.held = Some(reason.clone());
                entry.progress.in_flight = false;
                self.index.stop_waiting(key);
                Some(Event::Hold(key, Some(reason)))
            }
            Record::Release { .. } => {
                entry.held = None;
                Some(Event::Hold(key, None))
            }
            Record::Warned { .. } => {
                entry.warned = true;
                Some(Event::Warned(key))
            }
            Record::Remove { .. } => {
                finished = true;
                entry.left = 0;
                Some(Event::Removed(key))
            }
        };
        if let Some(event) = event {
            self.log.record(&event);
            let position = self.log.position();
            if let Some(entry) = self.index.journal.get_mut(&key) {
                entry.recorded = position;
            }
        }
        if self.log.is_full() {
            // A failure comes again with the turn's own write.
            let _ = self.write_out(self.clock);
        }
        if finished {
            self.finish(key);
        }
    }

    /// Forgets a message of the journal that needs nothing more.
    fn finish(&mut self, key: MessageKey) {
        let Some(entry) = self.index.journal.get(&key) else { return };
        if entry.spill != Spill::No {
            // A file of it exists or is being written; it goes when that is known (`moving`).
            self.index.stop_waiting(key);
            return;
        }
        if entry.tried {
            // A large message's is the only copy: it must not go before it is known for sure that it is not needed. Where the
            // log fails the message stays, done, until the next start.
            if entry.large.is_some() && self.log.sync_now(self.clock).is_err() {
                return;
            }
            self.remove_leftovers(key);
        }
        let position = self.log.position();
        if let Some(entry) = self.index.remove_entry(key)
            && let Some(name) = entry.large
        {
            self.finished_large.push((position, Path::new(LARGE).join(name.as_str())));
        }
        self.leave(key.segment, position);
    }

    /// One message less in a segment, which holds as soon as the log is durable up to `position`.
    fn leave(&mut self, segment: SegmentId, position: u64) {
        if let Some(segment) = self.segments.by_id.get_mut(&segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.last_done = segment.last_done.max(position);
        }
    }

    fn resolve(&self, key: MessageKey) -> MessageKey {
        self.aliases.get(&key).copied().unwrap_or(key)
    }

    /// A new queue id, for a message that the queue manager writes.
    pub fn new_id(&mut self, now: Timestamp) -> QueueId {
        let number = self.log.next_number().unwrap_or_else(|| {
            self.stray_ids += 1;
            self.stray_ids
        });
        QueueId::make(self.settings.id_form, now, number)
    }

    /// Remembers a report and the outcomes that caused it as one atomic group: after a crash all of it counts or
    /// nothing. `cause` is `None` for mail without one (postmaster notices). The message comes back as a new one.
    ///
    /// Where the cause is a queue file the group says which of its recipients the report tells of; they are marked in the
    /// file behind it, and by the next start where a crash came first.
    pub fn bounce(
        &mut self,
        cause: Option<(MessageKey, &[Outcome])>,
        id: QueueId,
        envelope: Envelope,
        content: Vec<Bytes>,
        flags: ContentFlags,
    ) -> Result<NewMessage, CommitError> {
        let now = envelope.arrival;
        let cause = cause.map(|(key, outcomes)| (self.resolve(key), outcomes));
        let in_journal = cause.filter(|(key, _)| self.index.journal.contains_key(key));
        let in_file = cause.filter(|(key, _)| self.index.files.contains_key(key));
        let events: Vec<Event> = match in_journal {
            Some((key, outcomes)) => outcomes.iter().map(|o| Event::Outcome(key, o.clone())).collect(),
            None => Vec::new(),
        };
        let told = match in_file {
            Some((key, outcomes)) => self.told(key, outcomes).map_err(|e| CommitError::Io(e.to_string()))?,
            None => None,
        };
        let events: Vec<Event> = events.into_iter().chain(told).collect();
        let before = self.log.position();
        let mut encoded = Vec::new();
        record::encode_envelope(&envelope, &mut encoded);
        let content_bytes: u64 = content.iter().map(|piece| piece.len() as u64).sum();
        let head = MessageHead {
            id: id.clone(),
            flags,
            large: false,
            envelope_bytes: u32::try_from(encoded.len()).unwrap_or(u32::MAX),
            content_bytes,
        };
        let written = self.log.write_message(
            &events,
            |out| {
                head.encode(out);
                out.extend_from_slice(&encoded);
                content.iter().for_each(|piece| out.extend_from_slice(piece));
            },
            now,
        );
        self.note_log();
        let (key, payload_offset) = written?;
        let mut entry = Entry::new(id, (payload_offset, message_len(&head)), false, content_bytes, &envelope);
        let position = self.log.position();
        // No file of it may be begun before the record is durable, or it could outlive the group.
        entry.recorded = position;
        if let Some(segment) = self.segments.by_id.get_mut(&key.segment) {
            segment.live += 1;
        }
        let message = entry.message(key, envelope, Content::in_memory(content, flags));
        self.index.journal.insert(key, entry);
        if let Some((key, outcomes)) = in_journal {
            if let Some(entry) = self.index.journal.get_mut(&key) {
                entry.recorded = position;
                for outcome in outcomes {
                    entry.note(outcome);
                }
                if entry.left == 0 {
                    self.finish(key);
                }
            }
        } else if let Some((key, outcomes)) = in_file {
            self.marks_wait_from(before);
            match self.log.sync_now(now) {
                Ok(()) => {
                    for outcome in outcomes {
                        self.record_in_file(key, Record::Outcome { key, outcome: outcome.clone() });
                    }
                }
                // The log keeps the group and writes it again, so it counts; no mark may be durable before it is.
                Err(_) => self.mark_behind(key, outcomes, position),
            }
        }
        Ok(message)
    }

    /// Writes what was recorded since the last call, with one `pwrite`: before the loop's turn ends, and before any
    /// job whose attempt was recorded is handed to an agent. Synced by a thread within 50 ms.
    pub fn write_out(&mut self, now: Timestamp) -> io::Result<()> {
        self.clock = now;
        let written = self.log.write_out(now);
        self.note_log();
        written.map_err(|error| match error {
            CommitError::NoSpace => io::ErrorKind::StorageFull.into(),
            other => io::Error::other(other.to_string()),
        })
    }

    /// Keeps the table of segments up to date with the log's own.
    fn note_log(&mut self) {
        for segment in std::mem::take(&mut self.log.opened) {
            self.segments.by_id.insert(segment.id(), segment);
            self.has_reserve = false;
        }
        for id in std::mem::take(&mut self.log.retired) {
            if let Some(segment) = self.segments.by_id.get_mut(&id) {
                segment.sealed = true;
            }
        }
        for (segment, about) in self.log.take_refs() {
            self.note_about(segment, about);
        }
        for moved in std::mem::take(&mut self.log.rekeyed) {
            // Taking an entry out takes it out of those that wait, too.
            let retry_at = self.index.progress(moved.old).and_then(|progress| progress.retry_at);
            if let Some(mut entry) = self.index.remove_entry(moved.old) {
                entry.payload.0 = moved.payload_offset;
                self.leave(moved.old.segment, self.log.position());
                self.index.journal.insert(moved.new, entry);
                if let Some(segment) = self.segments.by_id.get_mut(&moved.new.segment) {
                    segment.live += 1;
                }
                if let Some(at) = retry_at {
                    self.index.wait(moved.new, at);
                }
            }
            for target in self.aliases.values_mut().filter(|target| **target == moved.old) {
                *target = moved.new;
            }
            self.aliases.insert(moved.old, moved.new);
        }
    }

    /// When [`Store::turn`] has work again.
    pub fn next_due(&self) -> Option<Timestamp> {
        let retry = self.index.waiting.first().map(|(at, _)| *at);
        [self.log.next_due(), self.work_due, Some(self.look_at), retry].into_iter().flatten().min()
    }

    /// Takes messages out of the waiting index whose time has come, at most `max`; [`Store::load`] then reads them.
    pub fn due(&mut self, now: Timestamp, max: usize) -> Vec<Due> {
        let mut due = Vec::new();
        while due.len() < max {
            let Some(&(retry_at, key)) = self.index.waiting.first() else { break };
            if retry_at > now {
                break;
            }
            self.index.stop_waiting(key);
            let id = match self.index.journal.get(&key) {
                Some(entry) => Some(entry.queue_id.clone()),
                None => self.index.files.get(&key).map(|file| file.queue_id.clone()),
            };
            due.extend(id.map(|queue_id| Due { key, queue_id, retry_at }));
        }
        due
    }

    /// Everything that waits counts as due now (`postqueue -f`), or only one message (`postqueue -i`).
    pub fn make_due(&mut self, only: Option<&QueueId>, now: Timestamp) {
        let keys: Vec<_> = match only {
            Some(id) => self.find(id).into_iter().collect(),
            None => self.index.waiting.iter().filter(|(at, _)| *at > now).map(|(_, key)| *key).collect(),
        };
        for key in keys {
            if self.index.progress(key).is_some_and(|progress| progress.retry_at.is_some()) {
                self.index.wait(key, now);
            }
        }
    }

    /// Whether all of `deferred/`, `hold/`, `incoming/` and `active/` has been read since the start.
    pub fn scanned(&self) -> bool {
        self.scan.is_complete()
    }

    fn failed(&self, action: &str, path: &Path, error: &io::Error) {
        let action = format!("{action} {}", path.display());
        (self.settings.report)(&Report::Failed { action, error: error.to_string() });
    }
}

/// Length of a message's payload.
fn message_len(head: &MessageHead) -> u32 {
    let inline = if head.large { 0 } else { head.content_bytes };
    let fixed = crate::journal::MESSAGE_HEAD_BYTES + head.id.as_str().len();
    u32::try_from(fixed as u64 + u64::from(head.envelope_bytes) + inline).unwrap_or(u32::MAX)
}

/// Whether a planted fault loses this outcome.
fn lost(_outcome: &Outcome) -> bool {
    #[cfg(feature = "faults")]
    return _outcome.status == mail::Status::Sent
        && crate::faults::planted(crate::faults::Fault::OutcomeLost);
    #[cfg(not(feature = "faults"))]
    false
}

/// What was read from a segment, counted as long as some message holds it.
struct Held {
    bytes: Vec<u8>,
    counter: Arc<AtomicU64>,
}

impl Held {
    fn new(bytes: Vec<u8>, counter: Arc<AtomicU64>) -> Self {
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Held { bytes, counter }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
