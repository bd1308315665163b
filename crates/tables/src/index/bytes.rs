//! Reads pieces of a file, none of them beyond its end.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Bytes of the largest value or key that a damaged length field can make us read.
pub(crate) const PIECE_BYTES_MAX: usize = 1 << 24;

/// What an index is read from.
pub(crate) enum Bytes {
    /// A file, which others may change meanwhile.
    File(File),
    /// A file that nobody changes: blocks that were read once are kept.
    Constant(File, u64, Vec<OnceLock<Vec<u8>>>),
    /// A copy in memory.
    Memory(Vec<u8>),
}

/// Bytes of the largest file whose blocks are kept.
const KEPT_BYTES_MAX: u64 = 1 << 28;
/// Bytes of a block; a small table is one.
const BLOCK: usize = 1 << 16;

impl Bytes {
    /// The same of a file that nobody changes, but only replaces as a whole.
    pub(crate) fn constant(self) -> Result<Bytes, String> {
        let length = self.length()?;
        Ok(match self {
            Bytes::File(file) if length <= KEPT_BYTES_MAX => {
                let blocks = (0..length.div_ceil(BLOCK as u64)).map(|_| OnceLock::new()).collect();
                Bytes::Constant(file, length, blocks)
            }
            other => other,
        })
    }

    /// How many there are at this moment.
    pub(crate) fn length(&self) -> Result<u64, String> {
        match self {
            Bytes::File(file) => Ok(file.metadata().map_err(|error| without_number(&error))?.len()),
            Bytes::Constant(_, length, _) => Ok(*length),
            Bytes::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Exactly `length` bytes from `at` on.
    pub(crate) fn exact(&self, at: u64, length: usize) -> Result<Vec<u8>, String> {
        let found = self.up_to(at, length)?;
        if found.len() < length {
            return Err(format!(
                "at byte {at}: expected {length} bytes, found {} to the end of the file",
                found.len()
            ));
        }
        Ok(found)
    }

    /// The same, without a copy where a kept block holds all of them.
    pub(crate) fn piece(&self, at: u64, length: usize) -> Result<Cow<'_, [u8]>, String> {
        if let Bytes::Constant(_, _, blocks) = self {
            let (number, start) = ((at / BLOCK as u64) as usize, (at % BLOCK as u64) as usize);
            let block = blocks.get(number).and_then(OnceLock::get);
            if let Some(piece) = block.and_then(|block| block.get(start..start.checked_add(length)?)) {
                return Ok(Cow::Borrowed(piece));
            }
        }
        self.exact(at, length).map(Cow::Owned)
    }

    /// As many of `length` bytes from `at` on as there are.
    pub(crate) fn up_to(&self, at: u64, length: usize) -> Result<Vec<u8>, String> {
        if length > PIECE_BYTES_MAX {
            return Err(format!(
                "at byte {at}: expected a piece of at most {PIECE_BYTES_MAX} bytes, found {length}"
            ));
        }
        match self {
            Bytes::File(file) => from_file(file, at, length),
            Bytes::Constant(file, _, blocks) => from_blocks(file, blocks, at, length),
            Bytes::Memory(bytes) => {
                let start = usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
                let end = start.saturating_add(length).min(bytes.len());
                Ok(bytes[start..end].to_vec())
            }
        }
    }
}

fn from_file(file: &File, at: u64, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("at byte {at}: {}", without_number(&error))),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn from_blocks(file: &File, blocks: &[OnceLock<Vec<u8>>], at: u64, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let place = at + bytes.len() as u64;
        let (number, start) = ((place / BLOCK as u64) as usize, (place % BLOCK as u64) as usize);
        let Some(block) = blocks.get(number) else { break };
        let block = match block.get() {
            Some(block) => block,
            None => {
                let read = from_file(file, number as u64 * BLOCK as u64, BLOCK)?;
                block.get_or_init(|| read)
            }
        };
        let Some(rest) = block.get(start..).filter(|rest| !rest.is_empty()) else { break };
        bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
    }
    Ok(bytes)
}

/// The text of a system error without its number, as Postfix's messages have it.
pub(crate) fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.find(" (os error")) {
        (Some(_), Some(end)) => text[..end].to_owned(),
        _ => text,
    }
}

/// A little-endian number of two bytes; nothing beyond the end.
pub(crate) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// A little-endian number of four bytes; nothing beyond the end.
pub(crate) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A little-endian number of eight bytes; nothing beyond the end.
pub(crate) fn u64_le(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
