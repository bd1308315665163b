//! Lists the files of the queue directories.

use super::{Item, ItemRecipient};
use crate::file::{OnDisk, mode, submission};
use crate::lookup::{self, JournalMessage};
use crate::paths::{HASH_DEPTH_MAX, Hashing};
use crate::{Disk, Stat, file, report_log};
use mail::QueueId;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Postfix's order.
const QUEUES: [&str; 5] = ["maildrop", "active", "incoming", "deferred", "hold"];

/// Gives every message that only the journal holds, as it lies there when no process runs.
pub fn from_journal(disk: &dyn Disk, give: &mut dyn FnMut(Item)) -> io::Result<()> {
    lookup::for_each(disk, &mut |message| give(journal_item(message)))
}

fn journal_item(mut message: JournalMessage) -> Item {
    let queue = match (message.held, message.retry_at) {
        (true, _) => "hold",
        (false, Some(_)) => "deferred",
        (false, None) => "incoming",
    };
    let mut index = 0;
    let recipients = message.envelope.recipients.into_iter().map(|r| {
        index += 1;
        ItemRecipient { address: r.address, reason: message.reasons.remove(&(index - 1)) }
    });
    let left = recipients.zip(message.done).filter(|(_, done)| !done).map(|(r, _)| r).collect();
    Item {
        queue: queue.to_string(),
        queue_id: message.queue_id,
        arrival: message.envelope.arrival,
        size: message.content.queue_size(),
        forced_expire: message.envelope.force_expire,
        sender: message.envelope.sender,
        recipients: left,
    }
}

/// Gives every message that lies in a file, queue by queue. What is gone or damaged when it is read is left out, as
/// Postfix does: a listing races with deliveries.
pub fn from_disk(disk: &dyn Disk, hashing: &Hashing, give: &mut dyn FnMut(Item)) -> io::Result<()> {
    for queue in QUEUES {
        for (path, id) in files(disk, Path::new(queue), 0)? {
            if let Some(item) = item(disk, hashing, queue, &path, id) {
                give(item);
            }
        }
    }
    Ok(())
}

fn files(disk: &dyn Disk, dir: &Path, depth: usize) -> io::Result<Vec<(PathBuf, QueueId)>> {
    let mut entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = Vec::new();
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            if depth < HASH_DEPTH_MAX && entry.name.len() == 1 {
                found.extend(files(disk, &path, depth + 1)?);
            }
        } else if let Some(id) = QueueId::parse(&entry.name) {
            found.push((path, id));
        }
    }
    Ok(found)
}

fn item(disk: &dyn Disk, hashing: &Hashing, queue: &str, path: &Path, id: QueueId) -> Option<Item> {
    let stat = disk.stat(path).ok()?;
    if stat.mode & mode::COMPLETE == 0 {
        return None;
    }
    let on_disk = Arc::new(OnDisk(disk.open_read(path).ok()?));
    if queue == "maildrop" {
        return submitted(on_disk, &stat, id);
    }
    let message = file::read_envelope(on_disk).ok()?;
    let mut listed = HashSet::new();
    let mut recipients = Vec::new();
    let log = report_log::read(disk, &hashing.path("defer", &id)).unwrap_or_default();
    let waiting: HashSet<_> = message
        .envelope
        .recipients
        .iter()
        .zip(&message.marks)
        .filter(|(_, m)| !m.done)
        .map(|(r, _)| &r.address)
        .collect();
    for entry in log {
        if waiting.contains(&entry.recipient) && listed.insert(entry.recipient.clone()) {
            recipients.push(ItemRecipient { address: entry.recipient, reason: Some(entry.reason) });
        }
    }
    for (recipient, mark) in message.envelope.recipients.iter().zip(&message.marks) {
        if !mark.done && listed.insert(recipient.address.clone()) {
            recipients.push(ItemRecipient { address: recipient.address.clone(), reason: None });
        }
    }
    Some(Item {
        queue: queue.to_string(),
        queue_id: id,
        arrival: message.envelope.arrival,
        size: message.sizes.content_records,
        forced_expire: stat.mode & mode::FORCE_EXPIRE != 0,
        sender: message.envelope.sender,
        recipients,
    })
}

fn submitted(on_disk: Arc<OnDisk>, stat: &Stat, id: QueueId) -> Option<Item> {
    let message = submission::read(on_disk, stat.modified).ok()?;
    let recipients = message.envelope.recipients;
    Some(Item {
        queue: "maildrop".to_string(),
        queue_id: id,
        arrival: message.envelope.arrival,
        size: stat.len,
        forced_expire: false,
        sender: message.envelope.sender,
        recipients: recipients
            .into_iter()
            .map(|r| ItemRecipient { address: r.address, reason: None })
            .collect(),
    })
}
