//! The payloads of records, one shape for each kind.

use super::{MessageKey, SegmentId, kind};
use mail::{ContentFlags, Diagnostic, Dsn, JobId, Outcome, QueueId, Status, Timestamp};
use std::fmt;

/// A payload that passed its check and yet is none of ours: another version's, or our own bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadError(pub &'static str);

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PayloadError {}

/// Bytes of a message's head in front of its id.
pub const MESSAGE_HEAD_BYTES: usize = 16;

/// Longest text of an outcome that is kept: Postfix's own lines are no longer.
const TEXT_BYTES_MAX: usize = 4096;

/// What stands in front of a message's envelope and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// The message's id.
    pub id: QueueId,
    /// What is known of its lines.
    pub flags: ContentFlags,
    /// The content is the queue file `journal/large/ID`, which holds the envelope too.
    pub large: bool,
    /// Bytes of the envelope, in [`crate::record`]'s form.
    pub envelope_bytes: u32,
    /// Bytes of the content in canonical form.
    pub content_bytes: u64,
}

impl MessageHead {
    /// Appends head and id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let id = self.id.as_str().as_bytes();
        // A queue id has at most 64 bytes.
        out.extend_from_slice(&[id.len() as u8, self.flags.0, u8::from(self.large), 0]);
        out.extend_from_slice(&self.envelope_bytes.to_le_bytes());
        out.extend_from_slice(&self.content_bytes.to_le_bytes());
        out.extend_from_slice(id);
    }

    /// Reads the head; gives it and where the envelope begins.
    pub fn decode(payload: &[u8]) -> Result<(MessageHead, usize), PayloadError> {
        let mut reader = Reader(payload);
        let [id_len, flags, large, _] = reader.take::<4>()?;
        let envelope_bytes = u32::from_le_bytes(reader.take()?);
        let content_bytes = reader.number()?;
        let id = reader.bytes(usize::from(id_len))?;
        let id =
            std::str::from_utf8(id).ok().and_then(QueueId::parse).ok_or(PayloadError("not a queue id"))?;
        let head =
            MessageHead { id, flags: ContentFlags(flags), large: large != 0, envelope_bytes, content_bytes };
        let rest = reader.0.len() as u64;
        let inline = if head.large { 0 } else { content_bytes };
        if u64::from(envelope_bytes).checked_add(inline) != Some(rest) {
            return Err(PayloadError("a message's lengths do not add up"));
        }
        Ok((head, payload.len() - reader.0.len()))
    }
}

/// What happened to a message or a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What became of a recipient.
    Outcome(MessageKey, Outcome),
    /// A delivery begins (0), or was in flight at so many crashes.
    Attempt {
        /// The message.
        key: MessageKey,
        /// At how many crashes in a row.
        crashes: u8,
        /// For a queue file: its name, since inodes are used again.
        file: Option<QueueId>,
    },
    /// To be tried again.
    Retry(MessageKey, Timestamp),
    /// On hold with a reason, or released.
    Hold(MessageKey, Option<String>),
    /// Is a queue file now.
    Moved(MessageKey),
    /// Has another id from now on, since a file of its name was there.
    Renamed(MessageKey, QueueId),
    /// Nothing counts in that segment from that offset on.
    Void(SegmentId, u64),
    /// These bytes of that segment hold no record, and that was dealt with: reported, and saved where they were damaged.
    Judged(SegmentId, u64, u64),
    /// The delay warning was sent.
    Warned(MessageKey),
    /// Removed by an administrator.
    Removed(MessageKey),
    /// The report in this group tells of recipients of a queue file, which are done with it.
    Told {
        /// The file, by its inode.
        key: MessageKey,
        /// Its name, since inodes are used again.
        file: QueueId,
        /// Where the recipients' records are in it.
        offsets: Vec<u64>,
    },
    /// Was written again to a later segment when its own failed: this one does not count.
    Copied(MessageKey),
}

impl Event {
    /// The number of its kind on disk.
    pub fn kind(&self) -> u8 {
        match self {
            Event::Outcome(..) => kind::OUTCOME,
            Event::Attempt { .. } => kind::ATTEMPT,
            Event::Retry(..) => kind::RETRY,
            Event::Hold(..) => kind::HOLD,
            Event::Moved(_) => kind::MOVED,
            Event::Renamed(..) => kind::RENAMED,
            Event::Void(..) => kind::VOID,
            Event::Judged(..) => kind::JUDGED,
            Event::Warned(_) => kind::WARNED,
            Event::Removed(_) => kind::REMOVED,
            Event::Told { .. } => kind::TOLD,
            Event::Copied(_) => kind::COPIED,
        }
    }

    /// The message that it is about.
    pub fn key(&self) -> Option<MessageKey> {
        match self {
            Event::Outcome(key, _)
            | Event::Attempt { key, .. }
            | Event::Retry(key, _)
            | Event::Hold(key, _)
            | Event::Moved(key)
            | Event::Renamed(key, _)
            | Event::Warned(key)
            | Event::Removed(key)
            | Event::Copied(key)
            | Event::Told { key, .. } => Some(*key),
            Event::Void(..) | Event::Judged(..) => None,
        }
    }

    /// The segment that it is about: as long as that one is there, this record counts.
    pub fn segment(&self) -> SegmentId {
        match self {
            Event::Void(segment, _) | Event::Judged(segment, ..) => *segment,
            other => other.key().map_or(SegmentId::FILES, |key| key.segment),
        }
    }
}

/// Appends the payload of an event.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) {
    let (first, second) = match event {
        Event::Void(segment, from) | Event::Judged(segment, from, _) => (segment.0, *from),
        other => other.key().map_or((0, 0), |key| (key.segment.0, key.index)),
    };
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&second.to_le_bytes());
    match event {
        Event::Outcome(_, outcome) => encode_outcome(outcome, out),
        Event::Attempt { crashes, file, .. } => {
            out.push(*crashes);
            put_text(out, file.as_ref().map(QueueId::as_str).unwrap_or_default());
        }
        Event::Retry(_, at) => out.extend_from_slice(&at.micros().to_le_bytes()),
        Event::Hold(_, reason) => {
            out.push(u8::from(reason.is_some()));
            put_text(out, reason.as_deref().unwrap_or_default());
        }
        Event::Judged(_, _, to) => out.extend_from_slice(&to.to_le_bytes()),
        Event::Renamed(_, id) => put_text(out, id.as_str()),
        Event::Told { file, offsets, .. } => {
            put_text(out, file.as_str());
            offsets.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        }
        Event::Moved(_) | Event::Void(..) | Event::Warned(_) | Event::Removed(_) | Event::Copied(_) => {}
    }
}

/// Reads what [`encode_event`] wrote.
pub fn decode_event(kind: u8, payload: &[u8]) -> Result<Event, PayloadError> {
    let mut reader = Reader(payload);
    let (first, second) = (reader.number()?, reader.number()?);
    let key = MessageKey { segment: SegmentId(first), index: second };
    Ok(match kind {
        kind::OUTCOME => Event::Outcome(key, decode_outcome(&mut reader)?),
        kind::ATTEMPT => {
            let [crashes] = reader.take()?;
            Event::Attempt { key, crashes, file: QueueId::parse(&reader.text()?) }
        }
        kind::RETRY => Event::Retry(key, Timestamp::from_micros(reader.number()? as i64)),
        kind::HOLD => {
            let [on] = reader.take()?;
            let reason = reader.text()?;
            Event::Hold(key, (on != 0).then_some(reason))
        }
        kind::MOVED => Event::Moved(key),
        kind::RENAMED => {
            let id = QueueId::parse(&reader.text()?).ok_or(PayloadError("not a queue id"))?;
            Event::Renamed(key, id)
        }
        kind::VOID => Event::Void(key.segment, second),
        kind::JUDGED => Event::Judged(key.segment, second, reader.number()?),
        kind::WARNED => Event::Warned(key),
        kind::REMOVED => Event::Removed(key),
        kind::COPIED => Event::Copied(key),
        kind::TOLD => {
            let file = QueueId::parse(&reader.text()?).ok_or(PayloadError("not a queue id"))?;
            let mut offsets = Vec::new();
            while !reader.0.is_empty() {
                offsets.push(reader.number()?);
            }
            Event::Told { key, file, offsets }
        }
        _ => return Err(PayloadError("not a kind of event")),
    })
}

fn encode_outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    let status = match outcome.status {
        Status::Sent => 0,
        Status::Deferred => 1,
        Status::Bounced => 2,
    };
    out.extend_from_slice(&outcome.index.to_le_bytes());
    out.extend_from_slice(&[
        status,
        u8::from(outcome.relayed),
        u8::from(outcome.diagnostic.is_some()),
        outcome.dsn.class,
    ]);
    out.extend_from_slice(&outcome.dsn.subject.to_le_bytes());
    out.extend_from_slice(&outcome.dsn.detail.to_le_bytes());
    // Nobody asks later why a message was delivered, and a bounce has been written with its reason: their texts are
    // not kept. Those of a deferral are shown in listings and in the report when the message expires.
    if outcome.status == Status::Deferred {
        let diagnostic = outcome.diagnostic.as_ref();
        put_text(out, &outcome.reason);
        put_text(out, outcome.remote_mta.as_deref().unwrap_or_default());
        put_text(out, diagnostic.map(|d| d.kind.as_str()).unwrap_or_default());
        put_text(out, diagnostic.map(|d| d.text.as_str()).unwrap_or_default());
    }
}

fn decode_outcome(reader: &mut Reader<'_>) -> Result<Outcome, PayloadError> {
    let index = u32::from_le_bytes(reader.take()?);
    let [status, relayed, diagnosed, class] = reader.take()?;
    let dsn = Dsn::new(class, u16::from_le_bytes(reader.take()?), u16::from_le_bytes(reader.take()?));
    let status = match status {
        0 => Status::Sent,
        1 => Status::Deferred,
        2 => Status::Bounced,
        _ => return Err(PayloadError("not a status")),
    };
    let mut outcome = Outcome { relayed: relayed != 0, ..Outcome::new(JobId(0), index, status, dsn, "") };
    if status == Status::Deferred {
        outcome.reason = reader.text()?;
        outcome.remote_mta = Some(reader.text()?).filter(|name| !name.is_empty());
        let diagnostic = Diagnostic { kind: reader.text()?, text: reader.text()? };
        outcome.diagnostic = (diagnosed != 0).then_some(diagnostic);
    }
    Ok(outcome)
}

/// Appends a sub-record of a group, whose head is kind and length; padded to 8 bytes.
pub fn put_sub(out: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    payload(out);
    // A group is bounded by the segment's size, which is far below 4 GiB.
    let len = (out.len() - start - 8) as u32;
    out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
}

/// The sub-records of a group: where each begins in the payload, its kind and its payload.
pub struct SubRecords<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> SubRecords<'a> {
    /// The sub-records of a group's payload.
    pub fn new(payload: &'a [u8]) -> Self {
        SubRecords { bytes: payload, at: 0 }
    }
}

impl<'a> Iterator for SubRecords<'a> {
    type Item = Result<(usize, u8, &'a [u8]), PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        self.at = self.bytes.len();
        let mut reader = Reader(&self.bytes[at..]);
        let sub = (|| {
            let [kind, ..] = reader.take::<4>()?;
            let len = u32::from_le_bytes(reader.take()?);
            Ok((at, kind, reader.bytes(len as usize)?))
        })();
        if let Ok((_, _, payload)) = sub {
            self.at = (at + 8 + payload.len()).next_multiple_of(8);
        }
        Some(sub)
    }
}

/// Appends a text of at most [`TEXT_BYTES_MAX`] bytes behind its length; what is longer is cut.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, n: usize) -> Result<&'a [u8], PayloadError> {
        let (bytes, rest) = self.0.split_at_checked(n).ok_or(PayloadError("shorter than its fields"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| PayloadError("shorter than its fields"))
    }

    fn number(&mut self) -> Result<u64, PayloadError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String, PayloadError> {
        let len = u16::from_le_bytes(self.take()?);
        Ok(String::from_utf8_lossy(self.bytes(usize::from(len))?).into_owned())
    }
}
