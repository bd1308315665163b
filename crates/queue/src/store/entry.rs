//! What the queue manager knows of each message, without its envelope and content.

use crate::file::RecipientMark;
use crate::{MessageKey, NewMessage, Place};
use mail::{Content, Envelope, Outcome, QueueId, Recipient, Status, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A message whose record lies in a segment.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) queue_id: QueueId,
    /// Offset and length of the message's payload in its segment.
    pub(crate) payload: (u64, u32),
    /// The name of its file below `journal/large/`, where it has one.
    pub(crate) large: Option<QueueId>,
    pub(crate) size: u64,
    pub(crate) arrival: Timestamp,
    pub(crate) done: Vec<bool>,
    pub(crate) left: usize,
    pub(crate) progress: Progress,
    pub(crate) held: Option<String>,
    pub(crate) warned: bool,
    /// The last deferral of each recipient that had one.
    pub(crate) deferrals: Vec<Outcome>,
    pub(crate) spill: Spill,
    /// A file was begun before, and may lie in either directory.
    pub(crate) tried: bool,
    /// The log's position behind the last record about it: no file may know more than the log does for sure, or a
    /// mark could outlive the report that belongs to it.
    pub(crate) recorded: u64,
}

/// How far the delivery of a message is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    pub(crate) in_flight: bool,
    /// At how many crashes in a row it was in flight.
    pub(crate) crashes: u8,
    pub(crate) retry_at: Option<Timestamp>,
}

/// How far a message is on its way from the journal into a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spill {
    No,
    /// A thread writes the file; it knew the recipients that were done then.
    Copying,
    /// The file is durable and counts once the log is synced up to here, and up to what is recorded about it since.
    Moving {
        position: u64,
        file: Placed,
    },
}

/// A queue file that was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) id: QueueId,
    pub(crate) queue: Queue,
    pub(crate) inode: u64,
    /// Which recipients are marked in it.
    pub(crate) marked: Vec<bool>,
    /// The next attempt, as its time says.
    pub(crate) retry_at: Timestamp,
    /// It says that no delay warning is due.
    pub(crate) warned: bool,
    pub(crate) marks: Vec<RecipientMark>,
    pub(crate) recipients: Vec<Recipient>,
}

impl Placed {
    /// Recipients that are done and not marked so in the file.
    pub(crate) fn unmarked(&self, done: &[bool]) -> Vec<usize> {
        (0..done.len()).filter(|&n| done[n] && self.marked.get(n) != Some(&true)).collect()
    }
}

/// A directory of queue files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    Incoming,
    Active,
    Deferred,
    Hold,
}

impl Queue {
    pub(crate) const ALL: [Queue; 4] = [Queue::Deferred, Queue::Hold, Queue::Incoming, Queue::Active];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Queue::Incoming => "incoming",
            Queue::Active => "active",
            Queue::Deferred => "deferred",
            Queue::Hold => "hold",
        }
    }
}

/// A message that is a file.
#[derive(Debug)]
pub(crate) struct FileEntry {
    pub(crate) queue_id: QueueId,
    pub(crate) queue: Queue,
    pub(crate) inode: u64,
    pub(crate) progress: Progress,
    /// Its sender was warned, and the file could not be told so yet.
    pub(crate) warned: bool,
    /// What was read of it for the delivery that is going on.
    pub(crate) open: Option<Box<OpenFile>>,
}

/// What is needed of a queue file while it is being delivered.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) marks: Vec<RecipientMark>,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) warn_offset: Option<u64>,
    pub(crate) deferrals: Vec<Outcome>,
}

/// All messages.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) journal: BTreeMap<MessageKey, Entry>,
    pub(crate) files: HashMap<MessageKey, FileEntry>,
    pub(crate) by_inode: HashMap<u64, MessageKey>,
    /// What waits for its time.
    pub(crate) waiting: BTreeSet<(Timestamp, MessageKey)>,
}

impl Index {
    pub(crate) fn progress(&mut self, key: MessageKey) -> Option<&mut Progress> {
        match self.journal.get_mut(&key) {
            Some(entry) => Some(&mut entry.progress),
            None => self.files.get_mut(&key).map(|file| &mut file.progress),
        }
    }

    /// Lets a message wait until `at`.
    pub(crate) fn wait(&mut self, key: MessageKey, at: Timestamp) {
        let Some(progress) = self.progress(key) else { return };
        let before = progress.retry_at.replace(at);
        if let Some(before) = before {
            self.waiting.remove(&(before, key));
        }
        self.waiting.insert((at, key));
    }

    /// Takes a message out of those that wait.
    pub(crate) fn stop_waiting(&mut self, key: MessageKey) {
        let before = self.progress(key).and_then(|progress| progress.retry_at.take());
        if let Some(before) = before {
            self.waiting.remove(&(before, key));
        }
    }

    pub(crate) fn add_file(&mut self, key: MessageKey, file: FileEntry) {
        self.by_inode.insert(file.inode, key);
        self.files.insert(key, file);
    }

    pub(crate) fn remove_file(&mut self, key: MessageKey) -> Option<FileEntry> {
        self.stop_waiting(key);
        let file = self.files.remove(&key)?;
        if self.by_inode.get(&file.inode) == Some(&key) {
            self.by_inode.remove(&file.inode);
        }
        Some(file)
    }

    pub(crate) fn remove_entry(&mut self, key: MessageKey) -> Option<Entry> {
        self.stop_waiting(key);
        self.journal.remove(&key)
    }
}

impl Entry {
    pub(crate) fn new(
        queue_id: QueueId,
        payload: (u64, u32),
        large: bool,
        size: u64,
        envelope: &Envelope,
    ) -> Self {
        Entry {
            large: large.then(|| queue_id.clone()),
            queue_id,
            payload,
            size,
            arrival: envelope.arrival,
            done: vec![false; envelope.recipients.len()],
            left: envelope.recipients.len(),
            progress: Progress::default(),
            held: envelope.hold.clone(),
            warned: false,
            deferrals: Vec::new(),
            spill: Spill::No,
            tried: false,
            recorded: 0,
        }
    }

    /// Takes a recipient's outcome; whether it is news.
    pub(crate) fn note(&mut self, outcome: &Outcome) -> bool {
        let Some(done) = self.done.get_mut(outcome.index as usize) else { return false };
        if *done {
            return false;
        }
        if outcome.status == Status::Deferred {
            replace(&mut self.deferrals, outcome);
        } else {
            *done = true;
            self.left -= 1;
        }
        true
    }

    pub(crate) fn message(&self, key: MessageKey, mut envelope: Envelope, content: Content) -> NewMessage {
        if self.warned {
            envelope.warn_at = None;
        }
        NewMessage {
            key,
            queue_id: self.queue_id.clone(),
            envelope,
            done: self.done.clone(),
            content,
            place: if self.held.is_some() { Place::Hold } else { Place::Journal },
            retry_at: self.progress.retry_at,
            crashes: self.progress.crashes,
            deferrals: self.deferrals.clone(),
        }
    }
}

/// Keeps the last deferral of each recipient.
pub(crate) fn replace(deferrals: &mut Vec<Outcome>, outcome: &Outcome) {
    match deferrals.iter_mut().find(|known| known.index == outcome.index) {
        Some(known) => known.clone_from(outcome),
        None => deferrals.push(outcome.clone()),
    }
}
