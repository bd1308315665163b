//! Berkeley DB files as Postfix's `postmap` writes them, read without Berkeley DB; nothing is ever written.
//!
//! Page 0 says which method keeps the entries, the size of a page and the order of bytes. Hash files of the versions 8
//! to 10 and B-trees of 9 and 10 are read; encrypted files and ones with sums are refused, Postfix makes neither.
//! A writer changes such a file in place, under an exclusive flock(2); each lookup therefore takes a shared one and
//! believes nothing that it read before.

mod btree;
mod hash;
mod page;

use super::Index;
use super::bytes::Bytes;
use page::{Order, Page, PageNumber};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the entries of a file are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Hash,
    Btree,
}

/// Bytes of page 0 that matter.
const META: usize = 512;
const HASH_MAGIC: u32 = 0x0006_1561;
const BTREE_MAGIC: u32 = 0x0005_3162;

const BUSY: &str = "is being written by another process; wait until it is done";

/// An open file.
pub(super) struct Berkeley {
    bytes: Bytes,
    method: Method,
    /// How many lookups hold the lock; it belongs to the open file, so the first takes and the last leaves it.
    holders: Mutex<u32>,
}

/// What page 0 says.
pub(super) struct Meta {
    bytes: Vec<u8>,
    order: Order,
    page_size: u32,
    last_page: PageNumber,
}

/// A file that is held still: pages are read through it.
pub(super) struct Pages<'a> {
    bytes: &'a Bytes,
    meta: Meta,
}

/// How long opening waits for a writer: postmap makes an index of some 100,000 entries meanwhile.
const OPEN_WAIT: Duration = Duration::from_secs(5);
/// How often it looks whether the writer is done.
const OPEN_LOOKS: Duration = Duration::from_millis(10);

/// Opens a file that keeps its entries by `method`. Unlike a lookup this waits for a writer, for a while.
pub(super) fn open(bytes: Bytes, method: Method) -> Result<Berkeley, String> {
    let file = Berkeley { bytes, method, holders: Mutex::new(0) };
    let end = Instant::now() + OPEN_WAIT;
    while let Err(text) = file.take_lock() {
        if text != BUSY || Instant::now() >= end {
            return Err(text);
        }
        std::thread::sleep(OPEN_LOOKS);
    }
    file.leave_lock();
    file.locked(|pages| {
        let (length, expected) = (file.bytes.length()?, pages.end());
        match length < expected {
            true => Err(format!("expected {expected} bytes by what page 0 says, found {length}")),
            false => Ok(()),
        }
    })?;
    Ok(file)
}

impl Berkeley {
    /// Runs `read` while no writer changes the file.
    fn locked<T>(&self, read: impl FnOnce(&Pages<'_>) -> Result<T, String>) -> Result<T, String> {
        self.take_lock()?;
        let done =
            Meta::read(&self.bytes, self.method).and_then(|meta| read(&Pages { bytes: &self.bytes, meta }));
        self.leave_lock();
        done
    }

    fn take_lock(&self) -> Result<(), String> {
        let Bytes::File(file) = &self.bytes else { return Ok(()) };
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if *holders == 0 {
            match flock(file, FlockOperation::NonBlockingLockShared) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(BUSY.to_owned());
                }
                Err(error) => return Err(format!("cannot be locked: {error}")),
            }
        }
        *holders += 1;
        Ok(())
    }

    fn leave_lock(&self) {
        let Bytes::File(file) = &self.bytes else { return };
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        *holders -= 1;
        if *holders == 0 {
            // A lock that cannot be given up goes when the file is closed.
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

impl Index for Berkeley {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.locked(|pages| match self.method {
            Method::Hash => hash::get(pages, key),
            Method::Btree => btree::get(pages, key),
        })
    }

    fn each(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
        self.locked(|pages| match self.method {
            Method::Hash => hash::each(pages, take),
            Method::Btree => btree::each(pages, take),
        })
    }
}

impl Meta {
    fn read(bytes: &Bytes, method: Method) -> Result<Meta, String> {
        let bytes = bytes.up_to(0, META)?;
        if bytes.len() < META {
            return Err(format!("expected a Berkeley DB file, found {} bytes", bytes.len()));
        }
        let (expected, versions) = match method {
            Method::Hash => (HASH_MAGIC, 8..=10),
            Method::Btree => (BTREE_MAGIC, 9..=10),
        };
        let order =
            [Order::Little, Order::Big].into_iter().find(|order| order.u32(&bytes, 12) == Some(expected));
        let Some(order) = order else { return Err(unexpected(&bytes, method)) };
        let field = |at| order.u32(&bytes, at).unwrap_or_default();
        let (version, page_size, last_page) = (field(16), field(20), field(32));
        if !versions.contains(&version) {
            return Err(format!(
                "expected version {} to {} of the file format, found {version}",
                versions.start(),
                versions.end()
            ));
        }
        if !(512..=65536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(format!("at byte 20: expected a page size from 512 to 65536, found {page_size}"));
        }
        if bytes[24] != 0 || bytes[26] & 1 != 0 {
            return Err("encrypted files and files with sums are not supported".to_owned());
        }
        Ok(Meta { bytes, order, page_size, last_page })
    }

    /// The number at a place of page 0.
    fn field(&self, at: usize) -> u32 {
        self.order.u32(&self.bytes, at).unwrap_or_default()
    }
}

/// Why the file is none that keeps its entries by `method`.
fn unexpected(bytes: &[u8], method: Method) -> String {
    let other = match method {
        Method::Hash => BTREE_MAGIC,
        Method::Btree => HASH_MAGIC,
    };
    let is_other = [Order::Little, Order::Big].iter().any(|order| order.u32(bytes, 12) == Some(other));
    match (method, is_other) {
        (Method::Hash, true) => "expected a hash file, found a B-tree; write `btree:`".to_owned(),
        (Method::Btree, true) => "expected a B-tree, found a hash file; write `hash:`".to_owned(),
        _ => "at byte 12: expected the mark of a Berkeley DB file, found something else".to_owned(),
    }
}

impl Pages<'_> {
    /// What page 0 says.
    fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Where the last page ends.
    fn end(&self) -> u64 {
        (u64::from(self.meta.last_page) + 1) * u64::from(self.meta.page_size)
    }

    /// Pages in the file: no walk has more steps.
    fn steps_max(&self) -> u32 {
        self.meta.last_page.saturating_add(1)
    }

    /// Reads a page.
    fn page(&self, number: PageNumber) -> Result<Page, String> {
        if number > self.meta.last_page {
            return Err(format!(
                "expected a page up to {}, found a way to page {number}",
                self.meta.last_page
            ));
        }
        let at = u64::from(number) * u64::from(self.meta.page_size);
        Page::new(self.bytes.exact(at, self.meta.page_size as usize)?, self.meta.order, number)
    }

    /// The content that starts on overflow page `first` and has `length` bytes.
    fn overflow(&self, first: PageNumber, length: u32) -> Result<Vec<u8>, String> {
        let length = length as usize;
        let mut out = Vec::new();
        let mut next = first;
        let mut steps = 0;
        while out.len() < length {
            if next == 0 || steps >= self.steps_max() {
                return Err(format!(
                    "page {first}: expected {length} bytes on it and the pages behind it, found {}",
                    out.len()
                ));
            }
            let page = self.page(next)?;
            out.extend_from_slice(page.overflow_part()?);
            next = page.next();
            steps += 1;
        }
        out.truncate(length);
        Ok(out)
    }
}
