//! The B-tree method: sorted keys with the pages below them, sorted entries on the leaves.

use super::Pages;
use super::page::{Page, PageNumber, kind};
use std::cmp::Ordering;
use std::sync::Arc;

/// Types of items; the highest bit marks deleted ones.
const PLAIN: u8 = 1;
const OVERFLOW: u8 = 3;
const DELETED: u8 = 0x80;

/// Pages from the root to a leaf; Berkeley DB itself allows no more levels.
const DEPTH_MAX: usize = 255;

/// The value of a key.
pub(super) fn get(pages: &Pages<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let leaf = leaf(pages, |page| below(pages, page, key))?;
    let found = search(leaf.items() / 2, |entry| compare(pages, &leaf, entry * 2, key))?;
    match found {
        Some(entry) if leaf.rest_from(entry * 2 + 1)?.get(2).is_some_and(|kind| kind & DELETED == 0) => {
            Ok(Some(content(pages, &leaf, entry * 2 + 1)?))
        }
        _ => Ok(None),
    }
}

/// Shows all entries in the order of their keys.
pub(super) fn each(pages: &Pages<'_>, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
    let mut page = leaf(pages, |page| child(page, 0))?;
    for _ in 0..pages.steps_max() {
        for item in (0..page.items() / 2 * 2).step_by(2) {
            let deleted = page.rest_from(item + 1)?.get(2).is_none_or(|kind| kind & DELETED != 0);
            if !deleted && !take(&content(pages, &page, item)?, &content(pages, &page, item + 1)?) {
                return Ok(());
            }
        }
        match page.next() {
            0 => return Ok(()),
            next => page = pages.page(next)?,
        }
        if page.kind() != kind::BTREE_LEAF {
            return Err(page.wrong(format!("expected a leaf, found a page of type {}", page.kind())));
        }
    }
    Err("expected an end of the leaves, found a circle".to_owned())
}

/// The leaf that is reached from the root by `choose`.
fn leaf(
    pages: &Pages<'_>,
    choose: impl Fn(&Page) -> Result<PageNumber, String>,
) -> Result<Arc<Page>, String> {
    let mut number = pages.meta().field(88);
    for _ in 0..DEPTH_MAX {
        let page = pages.page(number)?;
        match page.kind() {
            kind::BTREE_LEAF => return Ok(page),
            kind::BTREE_INNER => number = choose(&page)?,
            other => return Err(page.wrong(format!("expected a page of a B-tree, found type {other}"))),
        }
    }
    Err(format!("expected at most {DEPTH_MAX} levels, found more"))
}

/// The page below an inner one whose keys can be `key`: the last whose first key is not greater.
fn below(pages: &Pages<'_>, page: &Page, key: &[u8]) -> Result<PageNumber, String> {
    // The first key of an inner page stands for everything that is smaller than the second.
    let (mut low, mut high) = (0, page.items());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match compare(pages, page, middle, key)? {
            Ordering::Greater => high = middle,
            _ => low = middle,
        }
    }
    child(page, low)
}

/// The page that an item of an inner page points at.
fn child(page: &Page, item: usize) -> Result<PageNumber, String> {
    page.order().u32(page.rest_from(item)?, 4).ok_or_else(|| {
        page.wrong(format!("item {item}: expected a page below it, found the end of the page"))
    })
}

/// The one of `count` sorted things that compares as equal.
fn search(
    count: usize,
    compare: impl Fn(usize) -> Result<Ordering, String>,
) -> Result<Option<usize>, String> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(middle)? {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(Some(middle)),
        }
    }
    Ok(None)
}

/// How the key in an item compares with `key`: byte by byte, a prefix comes first.
fn compare(pages: &Pages<'_>, page: &Page, item: usize, key: &[u8]) -> Result<Ordering, String> {
    match short(page, item)? {
        Some(bytes) => Ok(bytes.cmp(key)),
        None => Ok(content(pages, page, item)?.as_slice().cmp(key)),
    }
}

/// The bytes of an item that is kept on the page; nothing where it is not.
fn short(page: &Page, item: usize) -> Result<Option<&[u8]>, String> {
    let bytes = page.rest_from(item)?;
    let inner = page.kind() == kind::BTREE_INNER;
    let wrong = || page.wrong(format!("item {item}: expected a key or a value, found something else"));
    let (Some(length), Some(kind)) = (page.order().u16(bytes, 0), bytes.get(2)) else { return Err(wrong()) };
    match kind & !DELETED {
        PLAIN => {
            let start = if inner { 12 } else { 3 };
            bytes.get(start..start + usize::from(length)).map(Some).ok_or_else(wrong)
        }
        OVERFLOW => Ok(None),
        _ => Err(wrong()),
    }
}

/// What an item holds, wherever it is kept.
fn content(pages: &Pages<'_>, page: &Page, item: usize) -> Result<Vec<u8>, String> {
    if let Some(bytes) = short(page, item)? {
        return Ok(bytes.to_vec());
    }
    let bytes = page.rest_from(item)?;
    // On an inner page the place of a long key stands where the bytes of a short one would.
    let at = if page.kind() == kind::BTREE_INNER { 12 } else { 0 };
    match (page.order().u32(bytes, at + 4), page.order().u32(bytes, at + 8)) {
        (Some(first), Some(length)) => pages.overflow(first, length),
        _ => Err(page.wrong(format!("item {item}: expected the place of a long item, found the end"))),
    }
}
