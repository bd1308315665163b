//! Lookups in an LMDB file.

use super::super::Index;
use super::super::bytes::Bytes;
use super::super::pages::{Kept, Walk};
use super::page::{META, Meta, NONE, Page, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Pages from the root to a leaf; a tree of 2^64 entries is not as deep.
const DEPTH_MAX: usize = 32;
/// Walks that a writer may disturb before the lookup fails for the time being.
const WALKS_MAX: usize = 100;
/// An open file.
pub(in super::super) struct Lmdb {
    bytes: Bytes,
    page_size: u32,
    kept: Mutex<Kept<Meta, Page>>,
}

/// The pages of one transaction.
struct Pages<'a> {
    bytes: &'a Bytes,
    meta: Meta,
    walk: Walk<'a, Meta, Page>,
}

/// Reads the start of a file.
pub(in super::super) fn open(bytes: Bytes) -> Result<Lmdb, String> {
    let page_size = Meta::parse(&bytes.up_to(0, META)?, 0)?.page_size;
    let file = Lmdb { bytes, page_size, kept: Mutex::default() };
    let (meta, length) = (file.meta()?, file.bytes.length()?);
    let expected = meta.last_page.saturating_add(1).saturating_mul(meta.page_size.into());
    // Pages at the end that were never written may be missing; nothing points at them.
    if length < expected && meta.root != NONE && length <= meta.root.saturating_mul(meta.page_size.into()) {
        return Err(format!("expected {expected} bytes by what pages 0 and 1 say, found {length}"));
    }
    Ok(file)
}

impl Lmdb {
    /// The latest transaction, of those that page 0 and 1 name.
    fn meta(&self) -> Result<Meta, String> {
        let second_at = self.page_size as usize;
        let bytes = self.bytes.up_to(0, second_at + META)?;
        let first = Meta::parse(&bytes, 0)?;
        let second = Meta::parse(bytes.get(second_at..).unwrap_or_default(), second_at as u64)?;
        for found in [first.page_size, second.page_size] {
            if found != self.page_size {
                return Err(format!("at byte 40: expected a page size of {}, found {found}", self.page_size));
            }
        }
        Ok(if second.transaction > first.transaction { second } else { first })
    }

    /// Walks over the pages of the latest transaction: those in memory, or where one is missing those of the file, until
    /// no transaction came meanwhile.
    fn walk<T>(
        &self,
        keeps: bool,
        mut walk: impl FnMut(&Pages<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meta) = kept.believed() {
            let pages = Pages { bytes: &self.bytes, meta, walk: Walk::without_reading(&mut kept) };
            let done = walk(&pages);
            if !pages.walk.missed() {
                return done;
            }
        }
        for _ in 0..WALKS_MAX {
            let meta = self.meta()?;
            kept.looked(&meta);
            let done = walk(&Pages { bytes: &self.bytes, meta, walk: Walk::reading(&mut kept, keeps) });
            if self.meta()? == meta {
                return done;
            }
            kept.forget();
        }
        Err(format!("was changed by other processes {WALKS_MAX} times during one lookup"))
    }
}

impl Pages<'_> {
    fn page(&self, number: u64) -> Result<Arc<Page>, String> {
        if number > self.meta.last_page || number < 2 {
            return Err(format!(
                "expected a page from 2 to {}, found a way to page {number}",
                self.meta.last_page
            ));
        }
        let size = self.meta.page_size as usize;
        self.walk.page(number, size, || Page::new(self.bytes.exact(number * size as u64, size)?, number))
    }

    fn value(&self, page: &Page, value: Value<'_>) -> Result<Vec<u8>, String> {
        match value {
            Value::Here(bytes) => Ok(bytes.to_vec()),
            Value::Big(first, length) => {
                // Overflow pages lie in a row and only the first has a header.
                self.walk.may_read()?;
                self.page(first)?;
                self.bytes.exact(first * u64::from(self.meta.page_size) + super::page::HEADER as u64, length)
            }
            Value::Child(_) => Err(page.wrong("expected a value, found the page below")),
        }
    }

    fn search(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if self.meta.root == NONE {
            return Ok(None);
        }
        let mut number = self.meta.root;
        for _ in 0..DEPTH_MAX {
            let page = self.page(number)?;
            let leaf = page.is_leaf()?;
            // The first key of a branch stands for everything that is smaller than the second.
            let (mut low, mut high) = (0, page.nodes());
            while high > low + usize::from(!leaf) {
                let middle = low + (high - low) / 2;
                match page.key(middle)?.cmp(key) {
                    std::cmp::Ordering::Equal if leaf => {
                        return self.value(&page, page.node(middle)?.value).map(Some);
                    }
                    std::cmp::Ordering::Greater => high = middle,
                    _ if leaf => low = middle + 1,
                    _ => low = middle,
                }
            }
            if leaf {
                return Ok(None);
            }
            number = child(&page, low)?;
        }
        Err(format!("expected at most {DEPTH_MAX} levels, found more"))
    }

    /// Shows the entries below a page; false where `take` has enough.
    fn below(
        &self,
        number: u64,
        depth: usize,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<bool, String> {
        if depth >= DEPTH_MAX {
            return Err(format!("page {number}: expected at most {DEPTH_MAX} levels, found more"));
        }
        let page = self.page(number)?;
        for index in 0..page.nodes() {
            let node = page.node(index)?;
            let goes_on = match node.value {
                Value::Child(child) => self.below(child, depth + 1, take)?,
                value => take(node.key, &self.value(&page, value)?),
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn child(page: &Page, index: usize) -> Result<u64, String> {
    match page.node(index)?.value {
        Value::Child(number) => Ok(number),
        _ => Err(page.wrong("expected the page below, found a value")),
    }
}

impl Index for Lmdb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.walk(true, |pages| pages.search(key))
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.walk(true, |pages| pages.walk.find(key, |key| pages.search(key)))
    }

    fn each(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
        // All of them are taken first, since a walk may have to start again.
        let entries = self.walk(false, |pages| {
            let mut entries = Vec::new();
            // A damaged tree may lead to the same pages again and again; more entries than fit are none.
            let mut left = self.bytes.length()?;
            let mut whole = true;
            if pages.meta.root != NONE {
                whole = pages.below(pages.meta.root, 0, &mut |key, value| {
                    let size = (key.len() + value.len() + super::page::NODE) as u64;
                    let fits = size <= left;
                    left = left.saturating_sub(size);
                    entries.push((key.to_vec(), value.to_vec()));
                    fits
                })?;
            }
            if whole { Ok(entries) } else { Err("expected less entries than fit, found a circle".to_owned()) }
        })?;
        for (key, value) in entries {
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
