//! Reads a queue file: envelope, marks, and where the content is.

use super::content::scan;
use super::size_record::SizeRecord;
use super::walker::{Place, Walker};
use super::{ReadAt, ReadError, RecipientMark};
use crate::record::{Added, Damaged, EnvelopeBuilder, kind, shown};
use mail::{Content, Envelope};
use std::sync::Arc;

/// A queue file, read.
#[derive(Clone, Debug)]
pub struct FileMessage {
    /// The envelope with all recipients, done or not, in the order of the file.
    pub envelope: Envelope,
    /// For each recipient of the envelope, where it stands and whether it is done.
    pub marks: Vec<RecipientMark>,
    /// Header and body; reads the file again when asked.
    pub content: Content,
    /// Record `C`. Its `plain_size` is what Postfix logs as `size=`, its `content_records` what listings show.
    pub sizes: SizeRecord,
    /// Offset of the delay warning's record, where there is one.
    pub warn_offset: Option<u64>,
}

/// What [`read_envelope`] tells.
#[derive(Clone, Debug)]
pub struct FileEnvelope {
    /// As in [`FileMessage`].
    pub envelope: Envelope,
    /// As in [`FileMessage`].
    pub marks: Vec<RecipientMark>,
    /// As in [`FileMessage`].
    pub sizes: SizeRecord,
    /// As in [`FileMessage`].
    pub warn_offset: Option<u64>,
}

/// Reads all but the content, which is passed over: for lists and indexes.
pub fn read_envelope(file: Arc<dyn ReadAt>) -> Result<FileEnvelope, ReadError> {
    let mut walker = Walker::new(file.clone(), Place::default());
    let sizes = read_sizes(&mut walker)?;
    let mut parts = Parts::default();
    parts.read_segment(&mut walker, kind::CONTENT)?;
    let content = walker.place;
    // Record `C` tells where the content ends, unless the file was edited.
    walker.place.at = sizes.content_offset.saturating_add(sizes.content_records);
    let end = walker.place.at;
    if !matches!(walker.next(), Ok(Some(head)) if head.kind == kind::EXTRACTED) {
        walker = Walker::new(file.clone(), scan(file, content)?.extracted);
    }
    parts.begin_extracted();
    parts.read_segment(&mut walker, kind::END)?;
    let mut envelope = parts.builder.finish(end)?;
    envelope.smtputf8 = sizes.sender_options;
    Ok(FileEnvelope { envelope, marks: parts.marks, sizes, warn_offset: parts.warn_offset })
}

fn read_sizes(walker: &mut Walker) -> Result<SizeRecord, ReadError> {
    let first = walker.expect_next()?;
    if first.kind != kind::SIZE {
        return Err(
            Damaged::new(first.offset, format!("expected record `C`, found {}", shown(first.kind))).into()
        );
    }
    Ok(SizeRecord::parse(walker.record(&first)?.data, first.offset)?)
}

/// Reads a queue file as a whole, up to its end record; the content is looked through, not kept.
pub fn read(file: Arc<dyn ReadAt>) -> Result<FileMessage, ReadError> {
    let mut walker = Walker::new(file.clone(), Place::default());
    let sizes = read_sizes(&mut walker)?;
    let mut parts = Parts::default();
    parts.read_segment(&mut walker, kind::CONTENT)?;
    if sizes.content_offset != walker.place.at {
        let what = format!("record `C` expects it at offset {}", sizes.content_offset);
        return Err(Damaged::new(walker.place.at, format!("the content begins here, but {what}")).into());
    }
    let scanned = scan(file.clone(), walker.place)?;

    let mut walker = Walker::new(file, scanned.extracted);
    parts.begin_extracted();
    parts.read_segment(&mut walker, kind::END)?;
    let mut envelope = parts.builder.finish(scanned.end)?;
    envelope.smtputf8 = sizes.sender_options;
    let content = Content::elsewhere(scanned.size, scanned.flags, Arc::new(scanned.source))
        .with_queue_size(sizes.plain_size);
    Ok(FileMessage { envelope, marks: parts.marks, content, sizes, warn_offset: parts.warn_offset })
}

/// What the segments before and behind the content hold.
#[derive(Default)]
pub(crate) struct Parts {
    pub builder: EnvelopeBuilder,
    pub marks: Vec<RecipientMark>,
    pub warn_offset: Option<u64>,
    in_extracted: bool,
}

impl Parts {
    /// What follows stands behind the content.
    pub fn begin_extracted(&mut self) {
        self.in_extracted = true;
    }

    /// Reads up to a record of type `last`.
    pub fn read_segment(&mut self, walker: &mut Walker, last: u8) -> Result<(), ReadError> {
        loop {
            let head = walker.expect_next()?;
            if head.kind == last {
                return Ok(());
            }
            if self.in_extracted && matches!(head.kind, kind::TIME | kind::SENDER | kind::WARN | b'V') {
                let what = format!("unexpected record type {} behind the content", shown(head.kind));
                return Err(Damaged::new(head.offset, what).into());
            }
            let record = walker.record(&head)?;
            if matches!(head.kind, kind::RECIPIENT | kind::DONE) && !self.builder.has_sender() {
                return Err(Damaged::new(head.offset, "a recipient before the sender").into());
            }
            if let Added::Recipient { done } = self.builder.add(&record)? {
                self.marks.push(RecipientMark { offset: head.offset, done });
            }
            if head.kind == kind::WARN {
                self.warn_offset = Some(head.offset);
            }
        }
    }
}
