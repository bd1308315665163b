//! The content of a message: header and body as CRLF lines without dot-stuffing.

use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::Arc;

/// From so many bytes on, without its CRLF, a line's record in a queue file is longer than the line.
pub const WIDE_LINE: usize = 128;

/// A line of so many bytes or more is several records in a queue file (`line_length_limit`).
pub const LINE_RECORD_MAX: usize = 2048;

/// What is known about all lines of a content, so that no later stage scans it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentFlags(pub u8);

impl ContentFlags {
    /// Some byte is 0x80 or above.
    pub const EIGHT_BIT: ContentFlags = ContentFlags(1);
    /// Some line begins with a dot, so that sending it by DATA needs stuffing.
    pub const LEADING_DOT: ContentFlags = ContentFlags(2);
    /// Some line is longer than 998 bytes (RFC 5321 4.5.3.1.6), without its CRLF.
    pub const LONG_LINE: ContentFlags = ContentFlags(4);
    /// The header holds bytes above 0x7f (RFC 6532).
    pub const UTF8_HEADER: ContentFlags = ContentFlags(8);
    /// The last line has no CRLF: only BDAT can bring that.
    pub const NO_FINAL_NEWLINE: ContentFlags = ContentFlags(16);
    /// Some line has [`WIDE_LINE`] bytes or more, so that [`Content::queue_size`] differs from the size. It may be set
    /// where none has.
    pub const WIDE_LINE: ContentFlags = ContentFlags(32);

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: ContentFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    pub const fn with(self, other: ContentFlags) -> Self {
        ContentFlags(self.0 | other.0)
    }
}

/// Content that lies elsewhere (a queue file) and is read in pieces.
///
/// Contract: `read_at` gives the bytes of the canonical form (CRLF lines, no stuffing) from `offset` on, appends
/// at most `max` of them to `out`, returns how many, and 0 only at the end. It may block on a disk.
pub trait ContentSource: Send + Sync {
    /// Appends at most `max` bytes from `offset` on to `out`; 0 means the end.
    fn read_at(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize>;
}

/// Header and body, as CRLF lines without dot-stuffing; cheap to clone.
///
/// The canonical form is that of the wire, since most mail is relayed: it is stored as it came and sent as it lies.
#[derive(Clone)]
pub struct Content {
    /// How many bytes.
    pub size: u64,
    /// What is known about the lines.
    pub flags: ContentFlags,
    queue_size: Option<u64>,
    bytes: Where,
}

#[derive(Clone)]
enum Where {
    Memory(Arc<[Bytes]>),
    Elsewhere(Arc<dyn ContentSource>),
}

impl Content {
    /// Content that is in memory, as pieces in order.
    pub fn in_memory(pieces: Vec<Bytes>, flags: ContentFlags) -> Self {
        let size = pieces.iter().map(|p| p.len() as u64).sum();
        Content { size, flags, queue_size: None, bytes: Where::Memory(pieces.into()) }
    }

    /// Content of `size` bytes that `source` reads when asked.
    pub fn elsewhere(size: u64, flags: ContentFlags, source: Arc<dyn ContentSource>) -> Self {
        Content { size, flags, queue_size: None, bytes: Where::Elsewhere(source) }
    }

    /// The same content, whose [`Content::queue_size`] is known.
    pub fn with_queue_size(self, queue_size: u64) -> Self {
        Content { queue_size: Some(queue_size), ..self }
    }

    /// The same behind other bytes, whole lines; [`Content::queue_size`] stays that of the content.
    pub fn behind(self, front: Bytes) -> Self {
        let queue_size = Some(self.queue_size());
        let eight_bit = ContentFlags::EIGHT_BIT.with(ContentFlags::UTF8_HEADER);
        let flags = if front.is_ascii() { self.flags } else { self.flags.with(eight_bit) };
        let size = self.size + front.len() as u64;
        let bytes = match self.bytes {
            Where::Memory(pieces) => Where::Memory([&[front], &pieces[..]].concat().into()),
            Where::Elsewhere(source) => Where::Elsewhere(Arc::new(Behind { front, source })),
        };
        Content { size, flags, queue_size, bytes }
    }

    /// The size that Postfix logs, lists and announces: the length of the records that hold the content in a queue file.
    ///
    /// A line's record has a byte for its type and one or more for its length in place of the CRLF. Where some line is
    /// wide, content in memory is looked through; keep the result with [`Content::with_queue_size`].
    pub fn queue_size(&self) -> u64 {
        let differs =
            self.flags.has(ContentFlags::WIDE_LINE) || self.flags.has(ContentFlags::NO_FINAL_NEWLINE);
        match (self.queue_size, &self.bytes) {
            (Some(size), _) => size,
            (None, Where::Memory(pieces)) if differs => records_len(pieces),
            (None, _) => self.size,
        }
    }

    /// All pieces, where the content is in memory.
    pub fn pieces(&self) -> Option<&[Bytes]> {
        match &self.bytes {
            Where::Memory(pieces) => Some(pieces),
            Where::Elsewhere(_) => None,
        }
    }

    /// A reader from the start. Reading may block where the content is not in memory.
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), piece: 0, offset: 0 }
    }

    /// The whole content in one piece. Only for small contents and tests: it takes `size` bytes of memory.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut reader = self.reader();
        while let Some(piece) = reader.next_piece()? {
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }
}

/// Content that lies elsewhere, behind some bytes.
struct Behind {
    front: Bytes,
    source: Arc<dyn ContentSource>,
}

impl ContentSource for Behind {
    fn read_at(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.front.get(at..).filter(|rest| !rest.is_empty()) {
            None => self.source.read_at(offset - self.front.len() as u64, max, out),
            Some(rest) => {
                let n = rest.len().min(max);
                out.extend_from_slice(&rest[..n]);
                Ok(n)
            }
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {:?})", self.size, self.flags)
    }
}

/// Length of the records that hold these lines.
fn records_len(pieces: &[Bytes]) -> u64 {
    // Bytes of the line so far, and the last of them.
    let (mut total, mut line, mut last) = (0, 0u64, 0u8);
    for piece in pieces {
        let mut rest = &piece[..];
        while let Some(lf) = memchr::memchr(b'\n', rest) {
            let before = if lf > 0 { rest[lf - 1] } else { last };
            let length = line + lf as u64;
            total += line_records_len(length - u64::from(before == b'\r' && length > 0));
            (line, last, rest) = (0, b'\n', &rest[lf + 1..]);
        }
        line += rest.len() as u64;
        last = rest.last().copied().unwrap_or(last);
    }
    total + if line > 0 { line_records_len(line) } else { 0 }
}

/// Length of the records that hold a line of so many bytes. Where full records hold all of it, an empty one ends it.
fn line_records_len(line: u64) -> u64 {
    let max = LINE_RECORD_MAX as u64;
    let whole = line / max;
    whole * record_len(max) + record_len(line - whole * max)
}

/// A type, the length in groups of seven bits, the data.
fn record_len(data: u64) -> u64 {
    let groups = (64 - data.leading_zeros()).div_ceil(7).max(1);
    1 + u64::from(groups) + data
}

/// Reads a content piece by piece.
pub struct ContentReader {
    content: Content,
    piece: usize,
    offset: u64,
}

/// How much is read at once from a content that is not in memory.
const PIECE: usize = 64 * 1024;

impl ContentReader {
    /// The next piece, `None` at the end; pieces break anywhere, also between CR and LF.
    pub fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        match &self.content.bytes {
            Where::Memory(pieces) => {
                let piece = pieces.get(self.piece).cloned();
                self.piece += 1;
                Ok(piece)
            }
            Where::Elsewhere(source) => {
                let mut out = Vec::with_capacity(PIECE);
                let n = source.read_at(self.offset, PIECE, &mut out)?;
                self.offset += n as u64;
                Ok((n > 0).then(|| Bytes::from(out)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_front_are_read_first_wherever_the_content_lies() {
        struct Text;
        impl ContentSource for Text {
            fn read_at(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> io::Result<usize> {
                let rest = &b"Subject: x\r\n"[offset as usize..];
                out.extend_from_slice(&rest[..rest.len().min(max)]);
                Ok(rest.len().min(max))
            }
        }
        let memory = Content::in_memory(vec!["Subject: ".into(), "x\r\n".into()], ContentFlags::default());
        let elsewhere = Content::elsewhere(12, ContentFlags::default(), Arc::new(Text));
        for content in [memory, elsewhere] {
            let content = content.behind("A: ä\r\n".into());
            assert_eq!(content.to_vec().unwrap(), "A: ä\r\nSubject: x\r\n".as_bytes());
            assert_eq!((content.size, content.queue_size()), (19, 12));
            assert!(content.flags.has(ContentFlags::EIGHT_BIT));
        }
    }

    #[test]
    fn the_size_in_the_queue_counts_records() {
        let wide = ContentFlags::WIDE_LINE;
        let size = |text: &str, step: usize, flags| {
            let pieces = text.as_bytes().chunks(step).map(Bytes::copy_from_slice).collect();
            Content::in_memory(pieces, flags).queue_size()
        };
        for (line, records) in
            [(0, 2), (127, 129), (128, 131), (2047, 2050), (2048, 2053), (2049, 2054), (5000, 5009)]
        {
            let text = format!("{}\r\n", "x".repeat(line));
            for step in [1, 7, 10_000] {
                assert_eq!(size(&text, step, wide), records, "a line of {line}");
            }
        }
        assert_eq!(size("a\r\n\r\nbody", 3, ContentFlags::NO_FINAL_NEWLINE), 3 + 2 + 6);
        // Nobody looks where nothing can differ.
        assert_eq!(size(&"x".repeat(500), 100, ContentFlags::default()), 500);
        let known = Content::in_memory(Vec::new(), wide).with_queue_size(7);
        assert_eq!(known.queue_size(), 7);
    }
}
