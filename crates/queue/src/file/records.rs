//! The records of a file one by one, for people who want to see them (`postcat`).

use super::walker::{Place, Walker};
use super::{ReadAt, ReadError};
use crate::record::kind;
use std::sync::Arc;

/// A record as it is found, with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// Where it begins.
    pub offset: u64,
    /// Its type.
    pub kind: u8,
    /// Its data.
    pub data: Vec<u8>,
}

/// Reads records up to the end record.
pub struct FileRecords {
    walker: Walker,
    physical: bool,
    ended: bool,
}

impl FileRecords {
    /// From the beginning: in logical order, following pointers, or as they lie there (`physical`), to the very end.
    pub fn new(file: Arc<dyn ReadAt>, physical: bool) -> Self {
        FileRecords { walker: Walker::new(file, Place::default()), physical, ended: false }
    }
}

impl Iterator for FileRecords {
    type Item = Result<FileRecord, ReadError>;

    /// The next record; after an error nothing more comes.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = if self.physical { self.walker.next_as_it_lies() } else { self.walker.next() };
        let found = next.and_then(|head| match head {
            Some(head) => {
                let record = self.walker.record(&head)?;
                Ok(Some(FileRecord { offset: record.offset, kind: record.kind, data: record.data.to_vec() }))
            }
            None => Ok(None),
        });
        match found {
            Ok(Some(record)) => {
                self.ended = record.kind == kind::END && !self.physical;
                Some(Ok(record))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}
