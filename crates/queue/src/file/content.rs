//! The content of a queue file in canonical form: its line records as CRLF lines.

use super::walker::{Place, Walker};
use super::{ReadAt, ReadError};
use crate::record::{Damaged, kind, shown};
use mail::{ContentFlags, ContentSource};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A place to which reading can come back is kept for each of so many bytes.
const CHECKPOINT_EVERY: u64 = 64 * 1024;

/// Places where readers stopped last, so that several may read one content in turns.
const RECENT_MAX: usize = 8;

/// How much of a record is looked at once.
const CHUNK: usize = 16 * 1024;

/// RFC 5321 4.5.3.1.6, without CRLF.
const LINE_MAX: u64 = 998;

/// A place in the canonical form.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Offset in the canonical form.
    canonical: u64,
    place: Place,
    /// What is left of the current record's data: where it is and how long.
    data: u64,
    left: u64,
    /// What is left of the CRLF behind it.
    newline: u8,
    ended: bool,
}

/// Reads the content whenever asked.
#[derive(Debug)]
pub(super) struct FileContent {
    file: NoDebug,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Ascending; the first is the beginning.
    checkpoints: Vec<Cursor>,
    recent: Vec<Cursor>,
}

struct NoDebug(Arc<dyn ReadAt>);

impl std::fmt::Debug for NoDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("file")
    }
}

/// What one look through the content found.
pub(super) struct Scanned {
    pub source: FileContent,
    pub size: u64,
    pub flags: ContentFlags,
    /// The place behind record `X`.
    pub extracted: Place,
    /// Offset of `X`.
    pub end: u64,
}

/// Looks through the content that begins at `start`, up to record `X`.
pub(super) fn scan(file: Arc<dyn ReadAt>, start: Place) -> Result<Scanned, ReadError> {
    let mut reader = Reader::new(file.clone(), Cursor { place: start, ..Cursor::default() });
    let mut known = Known { checkpoints: vec![reader.cursor], recent: Vec::new() };
    let mut lines = Lines::default();
    let end = loop {
        let head = reader.walker.expect_next()?;
        match head.kind {
            kind::EXTRACTED => break head.offset,
            kind::PADDING => continue,
            kind::LINE | kind::LINE_PIECE => {}
            other => return Err(unexpected(head.offset, other)),
        }
        let mut at = head.data;
        while at < head.end() {
            let chunk = reader.chunk(at, head.end() - at)?;
            lines.take(chunk);
            at += chunk.len() as u64;
        }
        reader.cursor.canonical += head.length;
        if head.kind == kind::LINE {
            lines.end();
            reader.cursor.canonical += 2;
        }
        reader.cursor.place = reader.walker.place;
        known.checkpoint(reader.cursor);
    };
    let flags = lines.flags();
    let source = FileContent { file: NoDebug(file), known: Mutex::new(known) };
    Ok(Scanned { source, size: reader.cursor.canonical, flags, extracted: reader.walker.place, end })
}

fn unexpected(offset: u64, kind: u8) -> ReadError {
    Damaged::new(offset, format!("unexpected record type {} in the content", shown(kind))).into()
}

/// Finds the flags of a content, piece by piece.
#[derive(Default)]
struct Lines {
    flags: ContentFlags,
    line: u64,
    in_body: bool,
}

impl Lines {
    fn take(&mut self, piece: &[u8]) {
        if self.line == 0 && piece.first() == Some(&b'.') {
            self.set(ContentFlags::LEADING_DOT);
        }
        self.line += piece.len() as u64;
        if self.line >= mail::WIDE_LINE as u64 {
            self.set(ContentFlags::WIDE_LINE);
        }
        if self.line > LINE_MAX {
            self.set(ContentFlags::LONG_LINE);
        }
        if !piece.is_ascii() {
            self.set(ContentFlags::EIGHT_BIT);
            if !self.in_body {
                self.set(ContentFlags::UTF8_HEADER);
            }
        }
    }

    fn end(&mut self) {
        self.in_body |= self.line == 0;
        self.line = 0;
    }

    fn set(&mut self, flag: ContentFlags) {
        self.flags = self.flags.with(flag);
    }

    fn flags(mut self) -> ContentFlags {
        if self.line > 0 {
            self.set(ContentFlags::NO_FINAL_NEWLINE);
        }
        self.flags
    }
}

impl Known {
    fn checkpoint(&mut self, cursor: Cursor) {
        if self.checkpoints.last().is_none_or(|last| cursor.canonical >= last.canonical + CHECKPOINT_EVERY) {
            self.checkpoints.push(cursor);
        }
    }

    /// The nearest known place at or before `offset`.
    fn before(&self, offset: u64) -> Cursor {
        if let Some(cursor) = self.recent.iter().find(|c| c.canonical == offset) {
            return *cursor;
        }
        let after = self.checkpoints.partition_point(|c| c.canonical <= offset);
        self.checkpoints[..after].last().copied().unwrap_or_default()
    }

    fn stopped_at(&mut self, cursor: Cursor) {
        if self.recent.len() == RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(cursor);
    }
}

impl ContentSource for FileContent {
    fn read_at(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let cursor = self.known.lock().unwrap_or_else(PoisonError::into_inner).before(offset);
        let mut reader = Reader::new(self.file.0.clone(), cursor);
        let skip = offset - reader.cursor.canonical;
        reader.give(skip, None)?;
        let before = out.len();
        reader.give(max as u64, Some(out))?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).stopped_at(reader.cursor);
        Ok(out.len() - before)
    }
}

struct Reader {
    walker: Walker,
    cursor: Cursor,
}

impl Reader {
    fn new(file: Arc<dyn ReadAt>, cursor: Cursor) -> Self {
        Reader { walker: Walker::new(file, cursor.place), cursor }
    }

    /// Goes on by `count` bytes of the canonical form, appending them to `out` if there is one.
    fn give(&mut self, count: u64, mut out: Option<&mut Vec<u8>>) -> Result<(), ReadError> {
        let target = self.cursor.canonical + count;
        while self.cursor.canonical < target && !self.cursor.ended {
            let wanted = target - self.cursor.canonical;
            if self.cursor.left > 0 {
                self.give_data(wanted, out.as_deref_mut())?;
            } else if self.cursor.newline > 0 {
                if let Some(out) = out.as_deref_mut() {
                    out.push(if self.cursor.newline == 2 { b'\r' } else { b'\n' });
                }
                self.cursor.newline -= 1;
                self.cursor.canonical += 1;
            } else {
                self.next_record()?;
            }
        }
        Ok(())
    }

    fn give_data(&mut self, wanted: u64, out: Option<&mut Vec<u8>>) -> Result<(), ReadError> {
        let n = match out {
            None => wanted.min(self.cursor.left),
            Some(out) => {
                let chunk = self.chunk(self.cursor.data, wanted.min(self.cursor.left))?;
                let start = out.len();
                out.extend_from_slice(chunk);
                // A record holds one line. A line feed inside (Postfix passes those of local users) would end the
                // line for the next server, and with it perhaps the message; so it reads as a blank.
                let mut from = start;
                while let Some(lf) = memchr::memchr(b'\n', &out[from..]) {
                    out[from + lf] = b' ';
                    from += lf + 1;
                }
                (out.len() - start) as u64
            }
        };
        self.cursor.data += n;
        self.cursor.left -= n;
        self.cursor.canonical += n;
        Ok(())
    }

    fn next_record(&mut self) -> Result<(), ReadError> {
        let head = self.walker.expect_next()?;
        self.cursor.place = self.walker.place;
        match head.kind {
            kind::EXTRACTED => self.cursor.ended = true,
            kind::PADDING => {}
            kind::LINE | kind::LINE_PIECE => {
                (self.cursor.data, self.cursor.left) = (head.data, head.length);
                self.cursor.newline = if head.kind == kind::LINE { 2 } else { 0 };
            }
            other => return Err(unexpected(head.offset, other)),
        }
        Ok(())
    }

    /// Some bytes of the file from `at` on, at most `most`, at least one.
    fn chunk(&mut self, at: u64, most: u64) -> Result<&[u8], ReadError> {
        let most = most.min(CHUNK as u64) as usize;
        let bytes = self.walker.bytes(at, most)?;
        match bytes.len() {
            0 => Err(Damaged::new(at, "the file ends within a line").into()),
            n => Ok(&bytes[..n.min(most)]),
        }
    }
}
