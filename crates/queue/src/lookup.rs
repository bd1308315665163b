//! Reads the journal from outside, for lists and `postcat`, without changing anything.
//!
//! Two passes, one segment in memory at a time: the first learns what became of messages, the second gives those that
//! are left. While the mail system runs this races with it; what is half written is passed over.

use crate::file::{self, OnDisk};
use crate::journal::{
    DATA_START, Event, Found, Header, MessageHead, SEGMENT_BYTES_MAX, Seal, SegmentState, SubRecords, Walk,
    decode_event, kind, parse_segment_name,
};
use crate::{Disk, MessageKey, SegmentId, record};
use bytes::Bytes;
use mail::{Content, Envelope, QueueId, Status, Timestamp};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A message that only the journal holds.
#[derive(Clone, Debug)]
pub struct JournalMessage {
    /// Its id now.
    pub queue_id: QueueId,
    /// The segment's file below the queue directory.
    pub segment: PathBuf,
    /// Its envelope.
    pub envelope: Envelope,
    /// Which recipients need no delivery any more.
    pub done: Vec<bool>,
    /// The last temporary failure by recipient.
    pub reasons: HashMap<u32, String>,
    /// On hold.
    pub held: bool,
    /// When it is to be tried again.
    pub retry_at: Option<Timestamp>,
    /// Its content.
    pub content: Content,
}

/// What the events say of one message.
#[derive(Default)]
struct Fate {
    gone: bool,
    done: Vec<u32>,
    reasons: HashMap<u32, String>,
    held: Option<bool>,
    retry_at: Option<Timestamp>,
    renamed: Option<QueueId>,
}

/// Gives all messages that lie in the journal and nowhere else, oldest segment first.
pub fn for_each(disk: &dyn Disk, give: &mut dyn FnMut(JournalMessage)) -> io::Result<()> {
    let segments = segments(disk)?;
    let mut fates: HashMap<MessageKey, Fate> = HashMap::new();
    let mut void: HashMap<SegmentId, u64> = HashMap::new();
    for id in &segments {
        walk(disk, *id, &mut |_, number, _, payload| match decode_event(number, &payload) {
            Ok(Event::Void(segment, from)) => drop(void.insert(segment, from)),
            Ok(event) => learn(&mut fates, event),
            Err(_) => {}
        })?;
    }
    for id in segments {
        let void_from = void.get(&id).copied().unwrap_or(u64::MAX);
        walk(disk, id, &mut |key, number, offset, payload| {
            if number == kind::MESSAGE && offset < void_from {
                let fate = fates.remove(&key).unwrap_or_default();
                if let Some(message) = message(disk, id, &payload, fate) {
                    give(message);
                }
            }
        })?;
    }
    Ok(())
}

/// The message with this id.
pub fn find(disk: &dyn Disk, id: &QueueId) -> io::Result<Option<JournalMessage>> {
    let mut found = None;
    for_each(disk, &mut |message| {
        if message.queue_id == *id {
            found = Some(message);
        }
    })?;
    Ok(found)
}

fn segments(disk: &dyn Disk) -> io::Result<Vec<SegmentId>> {
    let entries = match disk.list(Path::new("journal")) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let used = |(id, state)| (state == SegmentState::Used).then_some(id);
    let mut found: Vec<_> =
        entries.iter().filter_map(|e| parse_segment_name(&e.name).and_then(used)).collect();
    found.sort();
    Ok(found)
}

/// Takes key, kind, offset in the segment, and payload of a record.
type Visitor<'a> = dyn FnMut(MessageKey, u8, u64, Bytes) + 'a;

/// Visits the records of a segment, those within groups too.
fn walk(disk: &dyn Disk, id: SegmentId, visit: &mut Visitor<'_>) -> io::Result<()> {
    let Some((seal, bytes)) = load(disk, id)? else { return Ok(()) };
    for found in Walk::new(seal, &bytes, DATA_START) {
        let Found::Record(record) = found else { continue };
        let start = record.payload_offset();
        let key = |offset: u64| MessageKey { segment: id, index: offset / 8 };
        if record.kind != kind::GROUP {
            visit(key(record.offset), record.kind, record.offset, bytes.slice_ref(record.payload));
            continue;
        }
        for (at, number, payload) in SubRecords::new(record.payload).map_while(Result::ok) {
            visit(key(start + at as u64), number, record.offset, bytes.slice_ref(payload));
        }
    }
    Ok(())
}

fn load(disk: &dyn Disk, id: SegmentId) -> io::Result<Option<(Seal, Bytes)>> {
    let file = match disk.open_read(&id.path()) {
        Ok(file) => file,
        // Freed in the meantime.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let length = file.stat()?.len.min(SEGMENT_BYTES_MAX) as usize;
    let bytes = file.read_up_to(length, 0)?;
    let filled = bytes.len();
    let header = bytes.get(..Header::LEN).and_then(|head| Header::decode(head).ok());
    let Some(header) = header.filter(|h| h.id == id) else { return Ok(None) };
    let mut bytes = Bytes::from(bytes);
    let data = bytes.split_off((DATA_START as usize).min(filled));
    Ok(Some((Seal::new(id, header.secret), data)))
}

fn learn(fates: &mut HashMap<MessageKey, Fate>, event: Event) {
    let Some(key) = event.key() else { return };
    let fate = fates.entry(key).or_default();
    match event {
        Event::Outcome(_, outcome) if outcome.status == Status::Deferred => {
            fate.reasons.insert(outcome.index, outcome.reason);
        }
        Event::Outcome(_, outcome) => fate.done.push(outcome.index),
        Event::Retry(_, at) => fate.retry_at = Some(at),
        Event::Hold(_, reason) => fate.held = Some(reason.is_some()),
        Event::Moved(_) | Event::Removed(_) | Event::Copied(_) => fate.gone = true,
        Event::Renamed(_, id) => fate.renamed = Some(id),
        Event::Attempt { .. }
        | Event::Void(..)
        | Event::Judged(..)
        | Event::Warned(_)
        | Event::Told { .. } => {}
    }
}

fn message(disk: &dyn Disk, segment: SegmentId, payload: &Bytes, fate: Fate) -> Option<JournalMessage> {
    if fate.gone {
        return None;
    }
    let (head, at) = MessageHead::decode(payload).ok()?;
    let content_at = at + head.envelope_bytes as usize;
    let envelope = record::decode_envelope(payload.get(at..content_at)?).ok()?;
    let mut done = vec![false; envelope.recipients.len()];
    for index in fate.done {
        if let Some(mark) = done.get_mut(index as usize) {
            *mark = true;
        }
    }
    if done.iter().all(|done| *done) {
        return None;
    }
    let content = match head.large {
        false => Content::in_memory(vec![payload.slice(content_at..)], head.flags),
        true => {
            let path = Path::new("journal/large").join(head.id.as_str());
            file::read(Arc::new(OnDisk(disk.open_read(&path).ok()?))).ok()?.content
        }
    };
    Some(JournalMessage {
        queue_id: fate.renamed.unwrap_or(head.id),
        segment: segment.path(),
        held: fate.held.unwrap_or(envelope.hold.is_some()),
        envelope,
        done,
        reasons: fate.reasons,
        retry_at: fate.retry_at,
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hooks, Intake, IntakeSettings, RealDisk, Role};
    use mail::{Address, ContentFlags, Recipient};

    #[test]
    fn messages_in_the_journal_are_found_by_their_id() {
        let root = std::env::temp_dir().join(format!("lookup-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&root).unwrap());
        let settings = IntakeSettings { segment_bytes: 1 << 20, ..IntakeSettings::new(Role::Smtpd) };
        let intake = Intake::open(settings, disk.clone(), Hooks::none()).unwrap();
        let now = Timestamp::from_secs(1_795_365_207);
        let mut ids = Vec::new();
        for n in 0..3 {
            let id = intake.new_id(now);
            let mut draft = intake.draft(id.clone());
            draft.append(Bytes::from(format!("Subject: {n}\r\n"))).unwrap();
            let mut envelope = Envelope::new(Address::from("ann@example.org"), now);
            envelope.recipients = vec![Recipient::new(Address::from("bob@example.org"))];
            intake.commit_blocking(draft, envelope, ContentFlags::default()).unwrap();
            ids.push(id);
        }
        intake.close();
        let message = find(&*disk, &ids[1]).unwrap().unwrap();
        assert_eq!(message.content.to_vec().unwrap(), b"Subject: 1\r\n");
        assert_eq!(message.done, [false]);
        assert!(find(&*disk, &QueueId::parse("NOSUCH").unwrap()).unwrap().is_none());
        let mut count = 0;
        for_each(&*disk, &mut |_| count += 1).unwrap();
        assert_eq!(count, 3);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
