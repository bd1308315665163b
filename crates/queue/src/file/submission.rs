//! Reads what postdrop wrote into `maildrop/`: a queue file without record `C`, or a requeued one with it.

use super::content::scan;
use super::reader::{Parts, read as read_queue_file};
use super::walker::{Place, Walker};
use super::{ReadAt, ReadError};
use crate::record::kind;
use mail::{Content, Envelope, Timestamp};
use std::sync::Arc;

/// A message that waits to be taken in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What its writer said; recipients are as written, without a domain perhaps.
    pub envelope: Envelope,
    /// Header and body; reads the file again when asked.
    pub content: Content,
    /// It was in the queue before (`postsuper -r`): recipients that are done are left out of the envelope.
    pub requeued: bool,
}

/// Reads a file of `maildrop/`; `modified` is its time of arrival where it does not tell.
pub fn read(file: Arc<dyn ReadAt>, modified: Timestamp) -> Result<Submission, ReadError> {
    let first = Walker::new(file.clone(), Place::default()).expect_next()?;
    if first.kind == kind::SIZE {
        return requeued(file);
    }
    let mut walker = Walker::new(file.clone(), Place::default());
    let mut parts = Parts::default();
    parts.read_segment(&mut walker, kind::CONTENT)?;
    let scanned = scan(file.clone(), walker.place)?;
    let mut walker = Walker::new(file, scanned.extracted);
    parts.begin_extracted();
    parts.read_segment(&mut walker, kind::END)?;
    let envelope = parts.builder.finish_from(modified, scanned.end)?;
    let content = Content::elsewhere(scanned.size, scanned.flags, Arc::new(scanned.source));
    Ok(Submission { envelope, content, requeued: false })
}

fn requeued(file: Arc<dyn ReadAt>) -> Result<Submission, ReadError> {
    let mut message = read_queue_file(file)?;
    let mut marks = message.marks.iter();
    message.envelope.recipients.retain(|_| marks.next().is_some_and(|mark| !mark.done));
    Ok(Submission { envelope: message.envelope, content: message.content, requeued: true })
}
