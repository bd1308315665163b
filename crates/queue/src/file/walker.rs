//! Goes through the records of a file in their logical order, following pointers.

use super::{ReadAt, ReadError};
use crate::record::{Damaged, RECORD_BYTES_MAX, Record, kind, parse_head, shown};
use std::io;
use std::sync::Arc;

/// Postfix's bound of jumps to lower offsets in one file.
const BACKWARD_JUMPS_MAX: u32 = 10_000;

/// How much is read from the file at once.
const WINDOW: usize = 16 * 1024;

/// Type and length of a record take at most this much.
const HEAD_MAX: usize = 11;

/// Type and place of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub kind: u8,
    pub offset: u64,
    /// Where the data begins.
    pub data: u64,
    pub length: u64,
}

impl Head {
    /// Where the next record begins.
    pub fn end(&self) -> u64 {
        self.data + self.length
    }
}

/// A place in the file, cheap to keep and to come back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the next record begins.
    pub at: u64,
    backward_jumps: u32,
    /// Bytes gone through, and the end of the furthest record. A good file shows no byte twice, so the first is
    /// never more than the second; in a circle it is, soon.
    walked: u64,
    furthest: u64,
}

/// Reads records from a file.
pub(crate) struct Walker {
    file: Arc<dyn ReadAt>,
    pub place: Place,
    window: Vec<u8>,
    window_at: u64,
}

impl Walker {
    /// Begins at `place`.
    pub fn new(file: Arc<dyn ReadAt>, place: Place) -> Self {
        Walker { file, place, window: Vec::new(), window_at: 0 }
    }

    /// Type and place of the next record that is no pointer; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<Head>, ReadError> {
        loop {
            let Some(head) = self.next_as_it_lies()? else { return Ok(None) };
            if head.kind != kind::POINTER {
                return Ok(Some(head));
            }
            self.jump(&head)?;
        }
    }

    /// The same, where something has to follow.
    pub fn expect_next(&mut self) -> Result<Head, ReadError> {
        let at = self.place.at;
        self.next()?.ok_or_else(|| Damaged::new(at, "the file ends before its end record").into())
    }

    /// The next record in the order of the file, a pointer too.
    pub fn next_as_it_lies(&mut self) -> Result<Option<Head>, ReadError> {
        let offset = self.place.at;
        let bytes = self.bytes(offset, HEAD_MAX)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some((kind, length, head)) = parse_head(bytes, offset)? else {
            return Err(Damaged::new(offset, "cut off within its length").into());
        };
        let data = offset + head as u64;
        let end = data.checked_add(length).ok_or_else(|| Damaged::new(offset, "longer than any file"))?;
        let place = &mut self.place;
        place.at = end;
        place.walked += end - offset;
        place.furthest = place.furthest.max(end);
        if place.walked > place.furthest {
            return Err(Damaged::new(offset, "pointers lead in a circle").into());
        }
        Ok(Some(Head { kind, offset, data, length }))
    }

    fn jump(&mut self, head: &Head) -> Result<(), ReadError> {
        let record = self.record(head)?;
        let Some(to) = crate::record::number::<u64>(record.data) else {
            return Err(Damaged::new(head.offset, "pointer: expected an offset").into());
        };
        if to == 0 {
            return Ok(());
        }
        if to <= head.offset {
            self.place.backward_jumps += 1;
            if self.place.backward_jumps > BACKWARD_JUMPS_MAX {
                return Err(
                    Damaged::new(head.offset, format!("more than {BACKWARD_JUMPS_MAX} jumps back")).into()
                );
            }
        }
        self.place.at = to;
        Ok(())
    }

    /// A record with its data, which must not be part of the content.
    pub fn record(&mut self, head: &Head) -> Result<Record<'_>, ReadError> {
        let Head { kind, offset, data, length } = *head;
        if length > RECORD_BYTES_MAX {
            let what =
                format!("record {} of {length} bytes, at most {RECORD_BYTES_MAX} expected", shown(kind));
            return Err(Damaged::new(offset, what).into());
        }
        let data = self.bytes(data, length as usize)?;
        match data.get(..length as usize) {
            Some(data) => Ok(Record { offset, kind, data }),
            None => Err(Damaged::new(offset, "the file ends within the record").into()),
        }
    }

    /// The bytes from `offset` on, `wanted` of them or more unless the file ends there.
    pub fn bytes(&mut self, offset: u64, wanted: usize) -> Result<&[u8], ReadError> {
        let within = offset.checked_sub(self.window_at).and_then(|n| usize::try_from(n).ok());
        let have = within.and_then(|n| self.window.len().checked_sub(n)).unwrap_or(0);
        if have < wanted {
            self.refill(offset, wanted)?;
        }
        let start = (offset - self.window_at) as usize;
        Ok(&self.window[start..])
    }

    fn refill(&mut self, offset: u64, wanted: usize) -> io::Result<()> {
        self.window_at = offset;
        self.window.resize(wanted.max(WINDOW), 0);
        let mut filled = 0;
        while filled < wanted {
            match self.file.read_at(offset + filled as u64, &mut self.window[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.window.clear();
                    return Err(e);
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}
