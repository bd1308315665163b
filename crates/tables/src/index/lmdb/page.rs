//! Pages and nodes of LMDB's files, data version 1, of little-endian 64-bit machines.

use super::super::bytes::{u16_le, u32_le, u64_le};

/// Bytes of a page's header; the places of its nodes follow.
pub(super) const HEADER: usize = 16;
/// Bytes of a node before its key.
pub(super) const NODE: usize = 8;
/// Stands for no page.
pub(super) const NONE: u64 = u64::MAX;
/// Marks page 0 and 1.
pub(super) const MAGIC: u32 = 0xbeef_c0de;
/// The data version.
pub(super) const VERSION: u32 = 1;
/// Bytes of page 0 and 1 that matter.
pub(super) const META: usize = 152;

/// Kinds of pages.
pub(super) const BRANCH: u16 = 1;
pub(super) const LEAF: u16 = 2;
pub(super) const OVERFLOW: u16 = 4;
pub(super) const META_PAGE: u16 = 8;

/// A node's value stands on overflow pages.
pub(super) const BIG: u16 = 1;
/// Kinds of values that tables do not have: databases in the database, several values of a key.
const OTHERS: u16 = 2 | 4;

/// A page as it was read.
pub(super) struct Page {
    bytes: Vec<u8>,
    number: u64,
}

/// A node on a page.
pub(super) struct Node<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: Value<'a>,
}

/// What a node has.
pub(super) enum Value<'a> {
    /// The page below.
    Child(u64),
    /// The value itself.
    Here(&'a [u8]),
    /// The value's first overflow page and its length.
    Big(u64, usize),
}

impl Page {
    /// Takes the bytes of a page, if it is the one that was asked for.
    pub(super) fn new(bytes: Vec<u8>, number: u64) -> Result<Page, String> {
        let page = Page { bytes, number };
        match u64_le(&page.bytes, 0) {
            Some(own) if own == number => Ok(page),
            own => Err(page.wrong(format!("expected its own number, found {}", own.unwrap_or_default()))),
        }
    }

    /// An error on this page.
    pub(super) fn wrong(&self, text: impl std::fmt::Display) -> String {
        format!("page {}: {text}", self.number)
    }

    /// Whether it is a leaf; an error where it is neither a leaf nor a branch.
    pub(super) fn is_leaf(&self) -> Result<bool, String> {
        match u16_le(&self.bytes, 10).map(|flags| flags & (BRANCH | LEAF | OVERFLOW | META_PAGE)) {
            Some(LEAF) => Ok(true),
            Some(BRANCH) => Ok(false),
            flags => {
                Err(self
                    .wrong(format!("expected a leaf or a branch, found type {}", flags.unwrap_or_default())))
            }
        }
    }

    /// How many nodes there are; more than fit are not counted.
    pub(super) fn nodes(&self) -> usize {
        let lower = usize::from(u16_le(&self.bytes, 12).unwrap_or_default()).min(self.bytes.len());
        lower.saturating_sub(HEADER) / 2
    }

    /// A node's key.
    pub(super) fn key(&self, index: usize) -> Result<&[u8], String> {
        let key = || {
            let start = usize::from(u16_le(&self.bytes, HEADER + index * 2)?);
            let length = usize::from(u16_le(&self.bytes, start + 6)?);
            self.bytes.get(start + NODE..start + NODE + length)
        };
        key().ok_or_else(|| self.wrong(format!("node {index}: expected a key, found a place off the page")))
    }

    /// A node.
    pub(super) fn node(&self, index: usize) -> Result<Node<'_>, String> {
        self.parse(index).ok_or_else(|| {
            self.wrong(format!("node {index}: expected a key and a value, found a place off the page"))
        })?
    }

    fn parse(&self, index: usize) -> Option<Result<Node<'_>, String>> {
        let bytes = self.bytes.get(usize::from(u16_le(&self.bytes, HEADER + index * 2)?)..)?;
        let (low, high) = (u64::from(u16_le(bytes, 0)?), u64::from(u16_le(bytes, 2)?));
        let (flags, key_length) = (u16_le(bytes, 4)?, usize::from(u16_le(bytes, 6)?));
        let key = bytes.get(NODE..NODE + key_length)?;
        let rest = &bytes[NODE + key_length..];
        let length = low | high << 16;
        let value = match self.is_leaf() {
            Ok(false) => Value::Child(length | u64::from(flags) << 32),
            Ok(true) if flags & OTHERS != 0 => {
                return Some(
                    Err(self.wrong(format!("node {index}: expected one value, found another kind"))),
                );
            }
            Ok(true) if flags & BIG != 0 => Value::Big(u64_le(rest, 0)?, length as usize),
            Ok(true) => Value::Here(rest.get(..length as usize)?),
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Node { key, value }))
    }
}

/// What page 0 or 1 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_size: u32,
    pub(super) root: u64,
    pub(super) last_page: u64,
    pub(super) transaction: u64,
}

impl Meta {
    /// Reads it from the page's first [`META`] bytes; `at` is where they stand.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Result<Meta, String> {
        let wrong = |text: &str| format!("at byte {at}: {text}");
        let (magic, version) = (u32_le(bytes, 16), u32_le(bytes, 20));
        if magic != Some(MAGIC) {
            return Err(wrong("expected the mark of an LMDB file, found something else"));
        }
        if version != Some(VERSION) {
            return Err(wrong(&format!(
                "expected data version {VERSION}, found {}",
                version.unwrap_or_default()
            )));
        }
        let (size, root, last_page, transaction) =
            (u32_le(bytes, 40), u64_le(bytes, 128), u64_le(bytes, 136), u64_le(bytes, 144));
        let (Some(page_size), Some(root), Some(last_page), Some(transaction)) =
            (size, root, last_page, transaction)
        else {
            return Err(wrong("expected a whole page, found the end of the file"));
        };
        if !(512..=65536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(wrong(&format!("expected a page size from 512 to 65536, found {page_size}")));
        }
        Ok(Meta { page_size, root, last_page, transaction })
    }
}
