//! Reading: messages that were set aside, and lists of all.

use super::entry::{Entry, Queue};
use super::{Listed, NewMessage, Place, Store};
use crate::journal::{MessageHead, MessageKey};
use crate::segment::LARGE;
use crate::{file, record};
use bytes::Bytes;
use mail::{Content, QueueId};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Store {
    /// Reads a message again; `None` where it is gone (other hands removed it).
    pub fn load(&mut self, key: MessageKey) -> io::Result<Option<NewMessage>> {
        let key = self.resolve(key);
        match self.index.journal.get(&key) {
            Some(entry) => self.load_record(key, entry).map(Some),
            None => self.load_file(key),
        }
    }

    fn load_record(&self, key: MessageKey, entry: &Entry) -> io::Result<NewMessage> {
        let segment = self.segments.by_id.get(&key.segment).ok_or(io::ErrorKind::NotFound)?;
        let mut payload = vec![0; entry.payload.1 as usize];
        segment.file.read_exact_at(&mut payload, entry.payload.0)?;
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let (head, at) = MessageHead::decode(&payload).map_err(|e| invalid(e.to_string()))?;
        let content_at = at + head.envelope_bytes as usize;
        let envelope =
            record::decode_envelope(&payload[at..content_at]).map_err(|e| invalid(e.to_string()))?;
        let content = if head.large {
            let opened = self.open_large(&head.id, &entry.queue_id)?;
            file::read(Arc::new(file::OnDisk(opened)))?.content
        } else {
            Content::in_memory(vec![Bytes::from(payload).slice(content_at..)], head.flags)
        };
        Ok(entry.message(key, envelope, content))
    }

    /// Opens the file of a large message of the journal: while it moves into its place it is here or there.
    fn open_large(&self, name: &QueueId, id: &QueueId) -> io::Result<Arc<dyn crate::DiskFile>> {
        let large = Path::new(LARGE).join(name.as_str());
        let placed = [Queue::Deferred, Queue::Hold].map(|queue| self.hashing.path(queue.name(), id));
        for path in [&large, &placed[0], &placed[1]] {
            match self.disk.open_read(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => return other,
            }
        }
        self.disk.open_read(&large)
    }

    /// All that is queued, in no order.
    pub fn list(&self) -> Vec<Listed> {
        let records = self.index.journal.iter().filter(|(_, e)| e.left > 0).map(|(key, e)| Listed {
            key: *key,
            queue_id: e.queue_id.clone(),
            place: if e.held.is_some() { Place::Hold } else { Place::Journal },
            in_flight: e.progress.in_flight,
            retry_at: e.progress.retry_at,
            arrival: Some(e.arrival),
            size: Some(e.size),
        });
        let files = self.index.files.iter().map(|(key, f)| Listed {
            key: *key,
            queue_id: f.queue_id.clone(),
            place: if f.queue == Queue::Hold { Place::Hold } else { Place::Deferred },
            in_flight: f.progress.in_flight,
            retry_at: f.progress.retry_at,
            arrival: None,
            size: None,
        });
        records.chain(files).collect()
    }

    /// The message with this id.
    pub fn find(&self, id: &QueueId) -> Option<MessageKey> {
        let record =
            self.index.journal.iter().find(|(_, e)| e.queue_id == *id && e.left > 0).map(|(key, _)| *key);
        record.or_else(|| self.index.files.iter().find(|(_, f)| f.queue_id == *id).map(|(key, _)| *key))
    }
}
