//! Reads pieces of a file, none of them beyond its end.

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of the largest value or key that a damaged length field can make us read.
pub(crate) const PIECE_BYTES_MAX: usize = 1 << 24;

/// What an index is read from.
pub(crate) enum Bytes {
    /// A file, which others may change meanwhile.
    File(File),
    /// A file that nobody changes.
    Constant(Constant),
    /// A copy in memory.
    Memory(Vec<u8>),
}

/// A file that nobody changes: after some reads, blocks are read whole and kept.
pub(crate) struct Constant {
    file: File,
    length: u64,
    blocks: Vec<OnceLock<Vec<u8>>>,
    reads: AtomicU32,
}

/// Bytes of the largest file whose blocks are kept.
const KEPT_BYTES_MAX: u64 = 1 << 28;
/// Bytes of a block: with what the allocator puts in front of it some large pages, and no more than is read in two
/// milliseconds. Each place of a lookup lies elsewhere; in small pages the processor first has to find the page.
const BLOCK: usize = (8 << 20) - 64;
/// Pieces that are read by themselves first: who asks for a few keys need not read megabytes.
const SINGLE_READS: u32 = 64;

impl Bytes {
    /// The same of a file that nobody changes, but only replaces as a whole.
    pub(crate) fn constant(self) -> Result<Bytes, String> {
        let length = self.length()?;
        Ok(match self {
            Bytes::File(file) if length <= KEPT_BYTES_MAX => {
                let blocks = (0..length.div_ceil(BLOCK as u64)).map(|_| OnceLock::new()).collect();
                Bytes::Constant(Constant { file, length, blocks, reads: AtomicU32::new(0) })
            }
            other => other,
        })
    }

    /// How many there are at this moment.
    pub(crate) fn length(&self) -> Result<u64, String> {
        match self {
            Bytes::File(file) => Ok(file.metadata().map_err(|error| without_number(&error))?.len()),
            Bytes::Constant(constant) => Ok(constant.length),
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
        if let Bytes::Constant(constant) = self
            && let Some(piece) = constant.kept(at, length)
        {
            return Ok(Cow::Borrowed(piece));
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
            Bytes::Constant(constant) => constant.up_to(at, length),
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

impl Constant {
    /// A piece of a block that is kept.
    fn kept(&self, at: u64, length: usize) -> Option<&[u8]> {
        let start = (at % BLOCK as u64) as usize;
        self.blocks.get((at / BLOCK as u64) as usize)?.get()?.get(start..start.checked_add(length)?)
    }

    fn up_to(&self, at: u64, length: usize) -> Result<Vec<u8>, String> {
        if self.reads.load(Ordering::Relaxed) < SINGLE_READS {
            self.reads.fetch_add(1, Ordering::Relaxed);
            return from_file(&self.file, at, length);
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let place = at + bytes.len() as u64;
            let Some(block) = self.block((place / BLOCK as u64) as usize)? else { break };
            let rest = block.get((place % BLOCK as u64) as usize..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
        }
        Ok(bytes)
    }

    fn block(&self, number: usize) -> Result<Option<&Vec<u8>>, String> {
        let Some(block) = self.blocks.get(number) else { return Ok(None) };
        if let Some(block) = block.get() {
            return Ok(Some(block));
        }
        let at = number as u64 * BLOCK as u64;
        let size = BLOCK.min((self.length - at) as usize);
        let mut bytes = sys::buffer_of_large_pages(size);
        while bytes.len() < size {
            let place = at + bytes.len() as u64;
            match pread(&self.file, spare_capacity(&mut bytes), place) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(format!("at byte {at}: {}", without_number(&error.into()))),
            }
        }
        bytes.truncate(size);
        Ok(Some(block.get_or_init(|| bytes)))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_same_whether_they_are_read_or_kept_and_wherever_they_lie() {
        let content: Vec<u8> = (0..BLOCK + 5000).map(|n| ((n * 31) >> 3) as u8).collect();
        let path = std::env::temp_dir().join(format!("bytes-{}", std::process::id()));
        std::fs::write(&path, &content).unwrap();
        let bytes = Bytes::File(File::open(&path).unwrap()).constant().unwrap();
        std::fs::remove_file(&path).unwrap();
        for _ in 0..SINGLE_READS {
            for at in [0, 70_000, BLOCK - 7, BLOCK, content.len() - 10] {
                assert_eq!(bytes.piece(at as u64, 10).as_deref(), Ok(&content[at..at + 10]), "at {at}");
            }
        }
        assert!(matches!(bytes.piece(70_000, 10), Ok(Cow::Borrowed(_))), "it is kept by now");
        assert_eq!(bytes.up_to(content.len() as u64 - 3, 10).as_deref(), Ok(&content[content.len() - 3..]));
        assert!(bytes.piece(content.len() as u64 + 1, 1).is_err());
    }
}
