//! The content of a message: header and body as CRLF lines without dot-stuffing.

use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::Arc;

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
        Content { size, flags, bytes: Where::Memory(pieces.into()) }
    }

    /// Content of `size` bytes that `source` reads when asked.
    pub fn elsewhere(size: u64, flags: ContentFlags, source: Arc<dyn ContentSource>) -> Self {
        Content { size, flags, bytes: Where::Elsewhere(source) }
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

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {:?})", self.size, self.flags)
    }
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
