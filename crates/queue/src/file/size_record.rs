//! Record `C`: sizes, counts and hints for the queue manager.

use crate::record::{Damaged, kind, put};
use mail::Envelope;

/// What record `C` says; all of it is known only when the file is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeRecord {
    /// Length of the content's records.
    pub content_records: u64,
    /// Offset of the first one.
    pub content_offset: u64,
    /// How many recipients.
    pub recipients: u64,
    /// Bit 0: recipients stand among other records; bits 1 to 4: `NOTIFY` of any recipient.
    pub hints: u64,
    /// Length of the content's records without padding, as `size=` in the log.
    pub plain_size: u64,
    /// `sender options`: SMTPUTF8 and the like.
    pub sender_options: u32,
}

/// Length of the record: type, length, six numbers of 15 columns with a blank between.
pub(super) const RECORD_LEN: u64 = 97;

impl SizeRecord {
    /// What the envelope alone decides.
    pub(super) fn of_envelope(envelope: &Envelope) -> Self {
        let notify = envelope.recipients.iter().fold(0, |bits, r| bits | r.notify.0);
        SizeRecord {
            recipients: envelope.recipients.len() as u64,
            hints: u64::from(notify) << 1,
            sender_options: envelope.smtputf8,
            ..SizeRecord::default()
        }
    }

    /// Appends the record.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let SizeRecord { content_records, content_offset, recipients, hints, plain_size, sender_options } =
            self;
        let text = format!(
            "{content_records:15} {content_offset:15} {recipients:15} {hints:15} {plain_size:15} {sender_options:15}"
        );
        put(out, kind::SIZE, text.as_bytes());
    }

    /// Reads the record's data; files from before Postfix 3.0 have five numbers, older ones fewer.
    pub(super) fn parse(data: &[u8], offset: u64) -> Result<Self, Damaged> {
        let damaged = || Damaged::new(offset, "sizes: expected up to six numbers");
        let text = std::str::from_utf8(data).map_err(|_| damaged())?;
        let mut numbers = [None; 6];
        for (n, word) in text.split_ascii_whitespace().enumerate().take(6) {
            numbers[n] = Some(word.parse::<u64>().map_err(|_| damaged())?);
        }
        let [Some(content_records), Some(content_offset), ..] = numbers else { return Err(damaged()) };
        Ok(SizeRecord {
            content_records,
            content_offset,
            recipients: numbers[2].unwrap_or(0),
            hints: numbers[3].unwrap_or(0),
            plain_size: numbers[4].unwrap_or(content_records),
            sender_options: u32::try_from(numbers[5].unwrap_or(0)).map_err(|_| damaged())?,
        })
    }
}
