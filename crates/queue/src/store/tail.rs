//! The segments that the queue manager reads: how far each may be read, and what is in them.

use crate::disk::{Disk, DiskFile};
use crate::journal::{
    DATA_START, Event, Found, Header, HeaderError, MessageHead, MessageKey, Seal, SegmentId, SegmentState,
    SubRecords, Walk, decode_event, kind,
};
use crate::segment::{Segment, segments};
use crate::{Report, Reporter, record};
use bytes::Bytes;
use mail::Envelope;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A segment of some writer.
pub(crate) struct Tailed {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: Header,
    pub(crate) seal: Seal,
    /// Everything before this offset was read.
    pub(crate) read: u64,
    /// Everything before this offset is durable and may be read.
    pub(crate) durable: u64,
    /// Nothing will be added.
    pub(crate) sealed: bool,
    /// Nothing counts from here on.
    pub(crate) void_from: u64,
    /// Written by this process.
    pub(crate) own: bool,
    /// Messages in it that are not done and not moved.
    pub(crate) live: usize,
    /// Segments that records in it are about: as long as one of them is there, this one stays.
    pub(crate) about: HashSet<SegmentId>,
    /// It may go when the log is durable up to here.
    pub(crate) last_done: u64,
    /// A thread is freeing it.
    pub(crate) freeing: bool,
    /// Gaps before this offset have been told from damage already.
    pub(crate) judged: u64,
}

/// What a read found.
pub(crate) enum Item {
    /// A message: its key, where its payload lies, and the payload.
    Message {
        key: MessageKey,
        payload_offset: u64,
        head: MessageHead,
        envelope: Box<Envelope>,
        content: Bytes,
    },
    /// An event.
    Event(Event),
}

/// All segments that are known.
#[derive(Default)]
pub(crate) struct Segments {
    pub(crate) by_id: BTreeMap<SegmentId, Tailed>,
    /// Segments that are not opened yet, and from where on nothing in them counts.
    voids: HashMap<SegmentId, u64>,
}

/// What a segment's file turned out to be on opening.
pub(crate) enum Opened {
    Segment(Box<Tailed>),
    /// No record in it was ever acknowledged.
    Unused,
    /// Its header is damaged: nothing in it can be believed, and something in it may have counted.
    Damaged(HeaderError),
}

impl Tailed {
    pub(crate) fn open(disk: &dyn Disk, id: SegmentId) -> io::Result<Opened> {
        let file = disk.open(&id.path())?;
        let mut bytes = [0; Header::LEN];
        let read = file.read_exact_at(&mut bytes, 0);
        if read.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) {
            return Ok(Opened::Unused);
        }
        read?;
        let header = match Header::decode(&bytes) {
            Ok(header) if header.id == id => header,
            // A recycled file whose new name, or whose new header, was lost: neither was ever used under this name.
            Ok(_) => return Ok(Opened::Unused),
            Err(HeaderError::Empty) if is_empty(&*file)? => return Ok(Opened::Unused),
            Err(error) => return Ok(Opened::Damaged(error)),
        };
        Ok(Opened::Segment(Box::new(Tailed::new(file, header))))
    }

    /// A segment that this process writes: nothing in it is read again.
    pub(crate) fn own(segment: &Segment) -> Tailed {
        let tailed = Tailed::new(segment.file.clone(), segment.header);
        Tailed { own: true, read: segment.header.capacity, ..tailed }
    }

    fn new(file: Arc<dyn DiskFile>, header: Header) -> Tailed {
        Tailed {
            file,
            seal: Seal::new(header.id, header.secret),
            header,
            read: DATA_START,
            durable: DATA_START,
            sealed: false,
            void_from: u64::MAX,
            own: false,
            live: 0,
            about: HashSet::new(),
            last_done: 0,
            freeing: false,
            judged: DATA_START,
        }
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.header.id
    }

    /// Where reading ends for now.
    fn limit(&self) -> u64 {
        self.durable.min(self.void_from).min(self.header.capacity)
    }

    fn void(&mut self, from: u64) {
        self.void_from = self.void_from.min(from);
        self.durable = self.durable.max(from);
        self.sealed = true;
    }

    pub(crate) fn has_news(&self) -> bool {
        self.read < self.limit()
    }

    /// All bytes from `self.read` to `end`.
    fn bytes(&self, end: u64) -> io::Result<Vec<u8>> {
        // A file that is shorter than its header says has no records there.
        self.file.read_up_to(usize::try_from(end.saturating_sub(self.read)).unwrap_or(0), self.read)
    }

    /// Reads what is new with one call. Gaps in it are damage, since all of it was durable.
    pub(crate) fn read_new(
        &mut self,
        wrap: impl FnOnce(Vec<u8>) -> Bytes,
    ) -> io::Result<(Vec<Item>, Vec<Range<u64>>)> {
        let end = self.limit();
        let bytes = wrap(self.bytes(end)?);
        let found = self.parse(&bytes);
        self.read = end;
        let mut gaps = found.gaps;
        if found.end < end {
            gaps.push(found.end..end);
        }
        gaps.retain(|gap| gap.start >= self.judged);
        Ok((found.items, gaps))
    }

    /// Reads all records that are there, durable or not, and tells how far the records themselves prove it durable.
    pub(crate) fn read_all(&mut self) -> io::Result<Parsed> {
        let parsed = self.look_ahead()?;
        self.read = parsed.end;
        self.durable = self.durable.max(parsed.end);
        Ok(parsed)
    }

    /// Reads all records that are there, as [`Tailed::read_all`] does, and changes nothing.
    pub(crate) fn look_ahead(&self) -> io::Result<Parsed> {
        let end = self.header.capacity.min(self.void_from);
        Ok(self.parse(&Bytes::from(self.bytes(end)?)))
    }

    /// Makes a range durable that is not known to be. For a writer that is dead a sync alone is not enough: where one of
    /// its own failed, the kernel counts pages as written that never were.
    pub(crate) fn make_durable(&self, range: Range<u64>, dead: bool) -> io::Result<()> {
        if dead && !range.is_empty() {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            self.file.read_exact_at(&mut bytes, range.start)?;
            self.file.write_all_at(&bytes, range.start)?;
        }
        self.file.sync_data()
    }

    /// Whether a record lies at the place where the next is expected.
    pub(crate) fn has_unannounced(&self) -> io::Result<bool> {
        if self.has_news() || self.read >= self.header.capacity.min(self.void_from) {
            return Ok(false);
        }
        let end = self.header.capacity.min(self.read + (64 << 10));
        let bytes = self.bytes(end)?;
        Ok(Walk::new(self.seal, &bytes, self.read).has_head())
    }

    fn parse(&self, bytes: &Bytes) -> Parsed {
        let base = self.read;
        let mut walk = Walk::new(self.seal, bytes, base);
        let mut parsed = Parsed { items: Vec::new(), gaps: Vec::new(), end: base, proven: base };
        for found in walk.by_ref() {
            let record = match found {
                Found::Record(record) => record,
                Found::Gap(gap) => {
                    parsed.gaps.push(gap);
                    continue;
                }
            };
            parsed.proven = parsed.proven.max(record.durable);
            let start = (record.payload_offset() - base) as usize;
            let key = MessageKey { segment: self.id(), index: record.offset / 8 };
            let decoded = if record.kind == kind::GROUP {
                self.group(key, &record, start, bytes, &mut parsed.items)
            } else {
                let payload = start..start + record.payload.len();
                item(record.kind, key, record.payload_offset(), bytes, payload)
                    .map(|item| parsed.items.push(item))
            };
            if decoded.is_err() {
                let end = record.payload_offset() + record.payload.len() as u64;
                parsed.gaps.push(record.offset..end);
                // It passed its check, so it was written whole; that we cannot read it does not make it torn.
                parsed.proven = parsed.proven.max(end);
            }
        }
        parsed.end = walk.end();
        parsed
    }

    fn group(
        &self,
        key: MessageKey,
        record: &crate::journal::RawRecord<'_>,
        start: usize,
        bytes: &Bytes,
        items: &mut Vec<Item>,
    ) -> Result<(), ()> {
        let mut all = Vec::new();
        for sub in SubRecords::new(record.payload) {
            let (at, kind, payload) = sub.map_err(|_| ())?;
            let key = MessageKey { index: (record.payload_offset() + at as u64) / 8, ..key };
            let range = start + at + 8..start + at + 8 + payload.len();
            all.push(item(kind, key, record.payload_offset() + at as u64 + 8, bytes, range)?);
        }
        items.extend(all);
        Ok(())
    }
}

/// What was found in a piece of a segment.
pub(crate) struct Parsed {
    pub(crate) items: Vec<Item>,
    pub(crate) gaps: Vec<Range<u64>>,
    /// Behind the last record.
    pub(crate) end: u64,
    /// The records themselves say that everything before was durable.
    pub(crate) proven: u64,
}

fn item(
    kind: u8,
    key: MessageKey,
    payload_offset: u64,
    bytes: &Bytes,
    range: Range<usize>,
) -> Result<Item, ()> {
    let payload = &bytes[range.clone()];
    if kind != kind::MESSAGE {
        return decode_event(kind, payload).map(Item::Event).map_err(|_| ());
    }
    let (head, at) = MessageHead::decode(payload).map_err(|_| ())?;
    let content = at + head.envelope_bytes as usize;
    let envelope = record::decode_envelope(&payload[at..content]).map_err(|_| ())?;
    let content = bytes.slice(range.start + content..range.end);
    Ok(Item::Message { key, payload_offset, head, envelope: Box::new(envelope), content })
}

fn is_empty(file: &dyn DiskFile) -> io::Result<bool> {
    let len = file.stat()?.len;
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    while at < len {
        match file.read_at(&mut buffer, at)? {
            0 => break,
            n if buffer[..n].iter().any(|&b| b != 0) => return Ok(false),
            n => at += n as u64,
        }
    }
    Ok(true)
}

/// Copies damaged bytes into `corrupt/` and reports them.
pub(crate) fn save_damage(
    disk: &dyn Disk,
    report: &Reporter,
    segment: SegmentId,
    file: &dyn DiskFile,
    gap: Range<u64>,
    what: &str,
) {
    let name = format!("journal-{segment}-{}-{}", gap.start, gap.end);
    let saved = Path::new("corrupt").join(&name);
    let result = (|| {
        disk.make_dir(Path::new("corrupt"))?;
        let bytes = file.read_up_to(usize::try_from(gap.end - gap.start).unwrap_or(0), gap.start)?;
        let out = match disk.create(&saved) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        };
        out.write_all_at(&bytes, 0)?;
        out.sync_all()?;
        disk.sync_dir(Path::new("corrupt"))
    })();
    let saved = match result {
        Ok(()) => saved.display().to_string(),
        Err(error) => format!("nothing, since {}: {error}", saved.display()),
    };
    report(&Report::Damaged {
        file: segment.path().display().to_string(),
        bytes: gap,
        saved,
        what: what.to_owned(),
    });
}

impl Segments {
    /// The segment, opened where it is not known yet; `None` where there is none that could be read.
    pub(crate) fn get_or_open(&mut self, disk: &dyn Disk, id: SegmentId) -> io::Result<Option<&mut Tailed>> {
        if let Entry::Vacant(vacant) = self.by_id.entry(id) {
            match Tailed::open(disk, id) {
                Ok(Opened::Segment(segment)) => {
                    let segment = vacant.insert(*segment);
                    if let Some(from) = self.voids.remove(&id) {
                        segment.void(from);
                    }
                }
                Ok(Opened::Unused | Opened::Damaged(_)) => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(self.by_id.get_mut(&id))
    }

    /// Notes that nothing counts in a segment from an offset on. What comes before was acknowledged, so it is read even
    /// where the notices that announced it were lost.
    pub(crate) fn void(&mut self, id: SegmentId, from: u64) {
        match self.by_id.get_mut(&id) {
            Some(segment) => segment.void(from),
            None => drop(self.voids.insert(id, from)),
        }
    }

    /// Segments that are in use by name and not known yet.
    pub(crate) fn unknown(&self, disk: &dyn Disk) -> io::Result<Vec<SegmentId>> {
        let found = segments(disk)?;
        let unknown = |(id, state): &(SegmentId, SegmentState)| {
            (*state == SegmentState::Used && !self.by_id.contains_key(id)).then_some(*id)
        };
        Ok(found.iter().filter_map(unknown).collect())
    }

    /// Segments in which nothing counts any more, when the log is durable up to `durable`.
    pub(crate) fn to_free(&self, disk: &dyn Disk, durable: u64) -> io::Result<Vec<SegmentId>> {
        let idle = |s: &&Tailed| {
            s.sealed
                && !s.freeing
                && s.live == 0
                && !s.has_news()
                && s.last_done <= durable
                && s.about.iter().all(|about| *about == s.id() || !self.by_id.contains_key(about))
        };
        let idle: Vec<&Tailed> = self.by_id.values().filter(idle).collect();
        if idle.is_empty() {
            return Ok(Vec::new());
        }
        // What a record speaks about counts also where we have not met it yet.
        let found = segments(disk)?;
        let there = |about: &SegmentId| found.contains(&(*about, SegmentState::Used));
        let over = |s: &&Tailed| !s.about.iter().any(|about| *about != s.id() && there(about));
        Ok(idle.into_iter().filter(over).map(Tailed::id).collect())
    }
}
