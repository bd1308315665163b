//! Berkeley DB files as Postfix's `postmap` writes them, read without Berkeley DB; nothing is ever written.
//!
//! Page 0 says which method keeps the entries, the size of a page and the order of bytes. Hash files of the versions 8
//! to 10 and B-trees of 9 and 10 are read; encrypted files and ones with sums are refused, Postfix makes neither.
//! A writer changes such a file in place, under an exclusive flock(2). Who reads takes a shared one, and forgets what it
//! read before where the file's size or time tells that it changed.

mod btree;
mod hash;
mod page;

use super::Index;
use super::bytes::{Bytes, without_number};
use super::pages::{Kept, Walk};
use page::{Order, Page, PageNumber};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// What a lookup fails with while a writer has the file locked.
pub(crate) const BUSY: &str = "is being written by another process; wait until it is done";

/// An open file.
pub(super) struct Berkeley {
    bytes: Bytes,
    method: Method,
    /// One lookup at a time: the lock of the file belongs to all of this process.
    kept: Mutex<Kept<State, Page>>,
}

/// A state of the file: its size and the time of its last change, with its page 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    stamp: (u64, i64, i64),
    meta: Arc<Meta>,
}

/// A change this long ago is told from the next one by its time.
const SETTLED: Duration = Duration::from_secs(1);

/// What page 0 says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meta {
    bytes: Vec<u8>,
    order: Order,
    page_size: u32,
    last_page: PageNumber,
}

/// The pages of one state of the file.
pub(super) struct Pages<'a> {
    bytes: &'a Bytes,
    meta: Arc<Meta>,
    walk: Walk<'a, State, Page>,
}

/// How long opening waits for a writer: postmap makes an index of some 100,000 entries meanwhile.
const OPEN_WAIT: Duration = Duration::from_secs(5);
/// How often it looks whether the writer is done.
const OPEN_LOOKS: Duration = Duration::from_millis(10);

/// Opens a file that keeps its entries by `method`. Unlike a lookup this waits for a writer, for a while.
pub(super) fn open(bytes: Bytes, method: Method) -> Result<Berkeley, String> {
    let file = Berkeley { bytes, method, kept: Mutex::default() };
    let end = Instant::now() + OPEN_WAIT;
    let state = loop {
        match file.locked(|| file.state()) {
            Err(text) if text == BUSY && Instant::now() < end => std::thread::sleep(OPEN_LOOKS),
            state => break state?,
        }
    };
    let (length, expected) = (file.bytes.length()?, state.meta.end());
    match length < expected {
        true => Err(format!("expected {expected} bytes by what page 0 says, found {length}")),
        false => Ok(file),
    }
}

impl Berkeley {
    /// Walks over the pages: those in memory, or where one is missing those of the file, which no writer changes then.
    fn walk<T>(&self, walk: impl Fn(&Pages<'_>) -> Result<T, String>) -> Result<T, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = kept.believed() {
            let pages =
                Pages { bytes: &self.bytes, meta: state.meta, walk: Walk::without_reading(&mut kept) };
            let done = walk(&pages);
            if !pages.walk.missed() {
                return done;
            }
        }
        self.locked(|| {
            let state = self.state()?;
            let settled = self.is_settled(&state);
            if !settled {
                kept.forget();
            }
            kept.looked(&state);
            let pages =
                Pages { bytes: &self.bytes, meta: state.meta, walk: Walk::reading(&mut kept, settled) };
            let done = walk(&pages);
            drop(pages);
            if !settled {
                kept.forget();
            }
            done
        })
    }

    /// The state of the file, which is locked.
    fn state(&self) -> Result<State, String> {
        let stamp = match &self.bytes {
            Bytes::File(file) => {
                let meta = file.metadata().map_err(|error| without_number(&error))?;
                (meta.size(), meta.mtime(), meta.mtime_nsec())
            }
            bytes => (bytes.length()?, 0, 0),
        };
        Ok(State { stamp, meta: Arc::new(Meta::read(&self.bytes, self.method)?) })
    }

    /// Whether the next change will show in the file's time.
    fn is_settled(&self, state: &State) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(state.stamp.1).unwrap_or_default());
        now.checked_sub(changed).is_some_and(|age| age > SETTLED + Duration::from_secs(1))
    }

    /// Runs `read` while no writer changes the file.
    fn locked<T>(&self, read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let Bytes::File(file) = &self.bytes else { return read() };
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(BUSY.to_owned()),
            Err(error) => return Err(format!("cannot be locked: {error}")),
        }
        let done = read();
        // A lock that cannot be given up goes when the file is closed.
        let _ = flock(file, FlockOperation::Unlock);
        done
    }
}

impl Index for Berkeley {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.walk(|pages| pages.get(self.method, key))
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.walk(|pages| pages.walk.find(key, |key| pages.get(self.method, key)))
    }

    fn each(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
        let _one = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.locked(|| {
            // Pages are seen once; none is kept.
            let meta = self.state()?.meta;
            let mut none = Kept::default();
            let pages = Pages { bytes: &self.bytes, meta, walk: Walk::reading(&mut none, false) };
            match self.method {
                Method::Hash => hash::each(&pages, take),
                Method::Btree => btree::each(&pages, take),
            }
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

    /// Where the last page ends.
    fn end(&self) -> u64 {
        (u64::from(self.last_page) + 1) * u64::from(self.page_size)
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
    fn get(&self, method: Method, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match method {
            Method::Hash => hash::get(self, key),
            Method::Btree => btree::get(self, key),
        }
    }

    /// What page 0 says.
    fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Pages in the file: no walk has more steps.
    fn steps_max(&self) -> u32 {
        self.meta.last_page.saturating_add(1)
    }

    /// A page.
    fn page(&self, number: PageNumber) -> Result<Arc<Page>, String> {
        if number > self.meta.last_page {
            return Err(format!(
                "expected a page up to {}, found a way to page {number}",
                self.meta.last_page
            ));
        }
        let (at, size) = (u64::from(number) * u64::from(self.meta.page_size), self.meta.page_size as usize);
        self.walk
            .page(number.into(), size, || Page::new(self.bytes.exact(at, size)?, self.meta.order, number))
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
