//! Writes a queue file while its content arrives.

use super::size_record::{RECORD_LEN, SizeRecord};
use super::{LINE_LENGTH_LIMIT, RecipientMark};
use crate::record::{Form, encode_head, encode_recipient, kind, put, put_attribute};
use mail::{Content, Encoding, Envelope};
use std::io;

/// Room for an envelope that comes behind its content: enough for one with some 50 recipients.
const ROOM: u64 = 4096;

/// Records are gathered and written in pieces of this size.
const BUFFER: usize = 64 * 1024;

/// Writes one queue file while its content arrives.
///
/// What is written goes to `out` in order, except the head, which [`Writer::finish`] gives back: it belongs at
/// offset 0, before the file is synced. Until then the file is no queue file.
pub struct Writer<W> {
    out: W,
    buffer: Vec<u8>,
    flushed: u64,
    content_offset: u64,
    early: Option<Early>,
    /// The line so far, less than LINE_LENGTH_LIMIT bytes.
    line: Vec<u8>,
    /// The last piece ended with CR.
    carriage_return: bool,
}

/// What is known from the start, where the envelope is.
struct Early {
    sizes: SizeRecord,
    marks: Vec<RecipientMark>,
}

/// A queue file whose head is still to be written.
#[derive(Debug)]
pub struct Finished<W> {
    /// What was given to the writer.
    pub out: W,
    /// To be written at offset 0.
    pub head: Vec<u8>,
    /// Length of the file.
    pub file_size: u64,
    /// What record `C` says.
    pub sizes: SizeRecord,
    /// Where each recipient stands.
    pub marks: Vec<RecipientMark>,
}

impl<W: io::Write> Writer<W> {
    /// Begins a file whose envelope is known.
    pub fn new(out: W, envelope: &Envelope) -> io::Result<Self> {
        let mut writer = Writer::empty(out);
        SizeRecord::default().put(&mut writer.buffer);
        let marks = put_envelope(envelope, 0, &mut writer.buffer);
        writer.early = Some(Early { sizes: SizeRecord::of_envelope(envelope), marks });
        writer.begin_content()?;
        Ok(writer)
    }

    /// Begins a file whose envelope comes at the end: room for it is left in front. An envelope that does not fit is
    /// written behind the content, with a pointer to it.
    pub fn with_room(out: W) -> io::Result<Self> {
        let mut writer = Writer::empty(out);
        SizeRecord::default().put(&mut writer.buffer);
        put_killed(ROOM, &mut writer.buffer);
        writer.begin_content()?;
        Ok(writer)
    }

    fn empty(out: W) -> Self {
        Writer {
            out,
            buffer: Vec::new(),
            flushed: 0,
            content_offset: 0,
            early: None,
            line: Vec::new(),
            carriage_return: false,
        }
    }

    fn begin_content(&mut self) -> io::Result<()> {
        put(&mut self.buffer, kind::CONTENT, b"");
        self.content_offset = self.buffer.len() as u64;
        self.flush_if_full()
    }

    /// Takes the next bytes of the content in canonical form; pieces may break anywhere.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if self.carriage_return && !rest.is_empty() {
            self.carriage_return = false;
            if rest[0] != b'\n' {
                self.append(b"\r");
            }
        }
        while let Some(lf) = memchr::memchr(b'\n', rest) {
            let line = &rest[..lf];
            self.end_line(line.strip_suffix(b"\r").unwrap_or(line));
            self.flush_if_full()?;
            rest = &rest[lf + 1..];
        }
        if let Some(before) = rest.strip_suffix(b"\r") {
            self.carriage_return = true;
            rest = before;
        }
        self.append(rest);
        self.flush_if_full()
    }

    /// Ends the file. `envelope` is the one that it began with, where it began with one.
    pub fn finish(mut self, envelope: &Envelope) -> io::Result<Finished<W>> {
        if self.carriage_return {
            self.append(b"\r");
        }
        if !self.line.is_empty() {
            // A piece that nothing follows: the last line has no line end.
            put(&mut self.buffer, kind::LINE_PIECE, &self.line);
        }
        let content_end = self.offset();
        put(&mut self.buffer, kind::EXTRACTED, b"");
        if envelope.encoding == Encoding::EightBit {
            put_attribute(&mut self.buffer, "encoding", b"8bit");
        }
        put(&mut self.buffer, kind::END, b"");
        let (mut sizes, marks, behind_sizes) = match self.early.take() {
            Some(Early { sizes, marks }) => (sizes, marks, Vec::new()),
            None => self.late_envelope(envelope),
        };
        sizes.content_offset = self.content_offset;
        sizes.content_records = content_end - self.content_offset;
        sizes.plain_size = sizes.content_records;
        self.flush()?;
        let mut head = Vec::new();
        sizes.put(&mut head);
        head.extend_from_slice(&behind_sizes);
        Ok(Finished { out: self.out, head, file_size: self.flushed, sizes, marks })
    }

    /// The envelope goes into the room behind `C`; one too large goes to the end of the file, a pointer into the room.
    fn late_envelope(&mut self, envelope: &Envelope) -> (SizeRecord, Vec<RecipientMark>, Vec<u8>) {
        let sizes = SizeRecord::of_envelope(envelope);
        let mut head = Vec::new();
        let marks = put_envelope(envelope, RECORD_LEN, &mut head);
        let used = head.len() as u64;
        if used <= ROOM && ROOM - used != 1 {
            put_killed(ROOM - used, &mut head);
            return (sizes, marks, head);
        }
        let heap = self.offset();
        let mut room = Vec::new();
        put_pointer(heap, &mut room);
        put_killed(ROOM - room.len() as u64, &mut room);
        self.buffer.extend_from_slice(&head);
        put_pointer(RECORD_LEN + ROOM, &mut self.buffer);
        let moved =
            marks.into_iter().map(|m| RecipientMark { offset: m.offset - RECORD_LEN + heap, ..m }).collect();
        (sizes, moved, room)
    }

    fn append(&mut self, mut bytes: &[u8]) {
        while self.line.len() + bytes.len() >= LINE_LENGTH_LIMIT {
            let (now, later) = bytes.split_at(LINE_LENGTH_LIMIT - self.line.len());
            self.line.extend_from_slice(now);
            put(&mut self.buffer, kind::LINE_PIECE, &self.line);
            self.line.clear();
            bytes = later;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, bytes: &[u8]) {
        if self.line.is_empty() && bytes.len() < LINE_LENGTH_LIMIT {
            put(&mut self.buffer, kind::LINE, bytes);
            return;
        }
        self.append(bytes);
        put(&mut self.buffer, kind::LINE, &self.line);
        self.line.clear();
    }

    fn offset(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Appends the envelope; `base` is the file's offset where `out` begins.
fn put_envelope(envelope: &Envelope, base: u64, out: &mut Vec<u8>) -> Vec<RecipientMark> {
    encode_head(envelope, Form::File, out);
    let mark = |recipient| {
        let at = encode_recipient(recipient, Form::File, out);
        RecipientMark { offset: base + at as u64, done: false }
    };
    envelope.recipients.iter().map(mark).collect()
}

fn put_pointer(to: u64, out: &mut Vec<u8>) {
    put(out, kind::POINTER, format!("{to:15}").as_bytes());
}

/// Fills `length` bytes, which must not be one, with records to be skipped.
fn put_killed(mut length: u64, out: &mut Vec<u8>) {
    const MOST: u64 = 100;
    while length > 0 {
        // A record takes two bytes at least, so one byte must not remain.
        let now = if length == MOST + 1 { MOST - 1 } else { length.min(MOST) };
        put(out, kind::KILLED, &[b' '; MOST as usize][..now as usize - 2]);
        length -= now;
    }
}

/// A whole queue file in memory, for batches of small messages, and where its recipients stand.
pub fn to_bytes(envelope: &Envelope, content: &Content) -> io::Result<(Vec<u8>, Vec<RecipientMark>)> {
    let mut writer = Writer::new(Vec::new(), envelope)?;
    let mut reader = content.reader();
    while let Some(piece) = reader.next_piece()? {
        writer.content(&piece)?;
    }
    let Finished { mut out, head, marks, .. } = writer.finish(envelope)?;
    out[..head.len()].copy_from_slice(&head);
    Ok((out, marks))
}
