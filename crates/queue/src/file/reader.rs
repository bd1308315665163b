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

/// Reads a queue file as a whole, up to its end record; the content is looked through, not kept.
pub fn read(file: Arc<dyn ReadAt>) -> Result<FileMessage, ReadError> {
    let mut walker = Walker::new(file.clone(), Place::default());
    let first = walker.expect_next()?;
    if first.kind != kind::SIZE {
        return Err(
            Damaged::new(first.offset, format!("expected record `C`, found {}", shown(first.kind))).into()
        );
    }
    let sizes = SizeRecord::parse(walker.record(&first)?.data, first.offset)?;

    let mut parts = Parts::default();
    parts.read_segment(&mut walker, kind::CONTENT)?;
    if sizes.content_offset != walker.place.at {
        let what = format!("record `C` expects it at offset {}", sizes.content_offset);
        return Err(Damaged::new(walker.place.at, format!("the content begins here, but {what}")).into());
    }
    let scanned = scan(file.clone(), walker.place)?;

    let mut walker = Walker::new(file, scanned.extracted);
    parts.in_extracted = true;
    parts.read_segment(&mut walker, kind::END)?;
    let mut envelope = parts.builder.finish(scanned.end)?;
    envelope.smtputf8 = sizes.sender_options;
    let content = Content::elsewhere(scanned.size, scanned.flags, Arc::new(scanned.source));
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
