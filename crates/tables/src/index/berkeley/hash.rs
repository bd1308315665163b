//! The hash method: a key's hash names a bucket, a bucket is a chain of pages.

use super::page::{Page, PageNumber, kind};
use super::{Meta, Pages};

/// Types of items, in their first byte.
const PLAIN: u8 = 1;
const DUPLICATES: u8 = 2;
const OFF_PAGE: u8 = 3;

/// What files say the hash of; it tells whether they were made with the hash that we know.
const HASH_PROBE: &[u8] = b"%$sniglet^&\0";

/// Fowler, Noll and Vo's hash: Berkeley DB's default since version 3.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &byte| hash.wrapping_mul(16_777_619) ^ u32::from(byte))
}

/// The fields of page 0 that say where buckets are.
struct Buckets<'a> {
    meta: &'a Meta,
    last: u32,
}

impl<'a> Buckets<'a> {
    fn of(pages: &'a Pages<'_>) -> Result<Self, String> {
        let meta = pages.meta();
        let (probe, expected) = (meta.field(92), hash(HASH_PROBE));
        if probe != expected {
            return Err(format!(
                "at byte 92: expected a file with Berkeley DB's own hash ({expected}), found {probe}"
            ));
        }
        Ok(Buckets { meta, last: meta.field(72) })
    }

    /// The bucket of a hash: the upper half of the buckets may not be there yet.
    fn of_hash(&self, hash: u32) -> u32 {
        let bucket = hash & self.meta.field(76);
        if bucket > self.last { hash & self.meta.field(80) } else { bucket }
    }

    /// The first page of a bucket: buckets come in groups of doubling size, each with its own start.
    fn page(&self, bucket: u32) -> Result<PageNumber, String> {
        let group = u32::BITS - bucket.leading_zeros();
        let start = self.meta.field(96 + group.min(31) as usize * 4);
        bucket.checked_add(start).ok_or_else(|| {
            format!("at byte {}: expected the start of a group of buckets, found {start}", 96 + group * 4)
        })
    }
}

/// The value of a key.
pub(super) fn get(pages: &Pages<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let buckets = Buckets::of(pages)?;
    let mut value = None;
    chain(pages, buckets.page(buckets.of_hash(hash(key)))?, &mut |page| {
        let mut end = page.size();
        for item in (0..page.items()).step_by(2) {
            let (_, bytes) = page.hash_item_before(item, end)?;
            if is(pages, page, item, bytes, key)? {
                value = Some(content(pages, page, item + 1)?);
                return Ok(false);
            }
            end = page.place(item + 1)?;
        }
        Ok(true)
    })?;
    Ok(value)
}

/// Shows all entries, bucket by bucket.
pub(super) fn each(pages: &Pages<'_>, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
    let buckets = Buckets::of(pages)?;
    let mut goes_on = true;
    for bucket in 0..=buckets.last.min(pages.steps_max()) {
        chain(pages, buckets.page(bucket)?, &mut |page| {
            for item in (0..page.items()).step_by(2) {
                goes_on = take(&content(pages, page, item)?, &content(pages, page, item + 1)?);
                if !goes_on {
                    break;
                }
            }
            Ok(goes_on)
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Shows the pages of a chain until `look` answers false.
fn chain(
    pages: &Pages<'_>,
    first: PageNumber,
    look: &mut dyn FnMut(&Page) -> Result<bool, String>,
) -> Result<(), String> {
    let mut next = first;
    for _ in 0..pages.steps_max() {
        let page = pages.page(next)?;
        match page.kind() {
            kind::UNUSED => return Ok(()),
            kind::HASH | kind::HASH_UNSORTED => {}
            other => return Err(page.wrong(format!("expected a page of a hash file, found type {other}"))),
        }
        if page.items() % 2 != 0 {
            return Err(page.wrong(format!("expected keys with values, found {} items", page.items())));
        }
        if !look(&page)? || page.next() == 0 {
            return Ok(());
        }
        next = page.next();
    }
    Err(format!("page {first}: expected an end of the pages behind it, found a circle"))
}

/// Whether an item is this key; long keys are read only where the length fits.
fn is(pages: &Pages<'_>, page: &Page, item: usize, bytes: &[u8], key: &[u8]) -> Result<bool, String> {
    match bytes[0] {
        PLAIN => Ok(bytes.len() == key.len() + 1 && &bytes[1..] == key),
        OFF_PAGE => match off_page(page, bytes)? {
            (_, length) if length as usize != key.len() => Ok(false),
            (first, length) => Ok(pages.overflow(first, length)? == key),
        },
        other => Err(page.wrong(format!("item {item}: expected a key, found an item of type {other}"))),
    }
}

/// What an item holds.
fn content(pages: &Pages<'_>, page: &Page, item: usize) -> Result<Vec<u8>, String> {
    let bytes = page.hash_item(item)?;
    match bytes[0] {
        PLAIN => Ok(bytes[1..].to_vec()),
        OFF_PAGE => {
            let (first, length) = off_page(page, bytes)?;
            pages.overflow(first, length)
        }
        // Of several values the first counts: its length, its bytes, its length again.
        DUPLICATES => page
            .order()
            .u16(bytes, 1)
            .and_then(|length| bytes.get(3..3 + usize::from(length)))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| page.wrong(format!("item {item}: expected several values, found less"))),
        other => Err(page.wrong(format!("item {item}: expected a value, found an item of type {other}"))),
    }
}

/// Where a long item starts, and how long it is.
fn off_page(page: &Page, bytes: &[u8]) -> Result<(PageNumber, u32), String> {
    match (page.order().u32(bytes, 4), page.order().u32(bytes, 8)) {
        (Some(first), Some(length)) => Ok((first, length)),
        _ => Err(page.wrong(format!("expected the place of a long item, found {} bytes", bytes.len()))),
    }
}
