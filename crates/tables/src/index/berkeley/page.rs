//! One page: a header, places of items from the front, the items from the back.

/// A page's number; 0 where there is none, since page 0 is no page of entries.
pub(super) type PageNumber = u32;

/// The order of bytes in numbers: that of the machine that wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// Two bytes as a number; nothing beyond the end.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    /// Four bytes as a number; nothing beyond the end.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }
}

/// Bytes of a page's header; the places of its items follow.
const HEADER: usize = 26;

/// Types of pages.
pub(super) mod kind {
    /// Not used yet: an empty bucket.
    pub(in super::super) const UNUSED: u8 = 0;
    /// Entries of a bucket, unsorted.
    pub(in super::super) const HASH_UNSORTED: u8 = 2;
    /// Keys and the pages below them.
    pub(in super::super) const BTREE_INNER: u8 = 3;
    /// Entries of a B-tree.
    pub(in super::super) const BTREE_LEAF: u8 = 5;
    /// A part of a long key or value.
    pub(in super::super) const OVERFLOW: u8 = 7;
    /// Entries of a bucket, sorted.
    pub(in super::super) const HASH: u8 = 13;
}

/// A page as it was read.
pub(super) struct Page {
    bytes: Vec<u8>,
    order: Order,
    number: PageNumber,
}

impl Page {
    /// Takes the bytes of a page, if it is the one that was asked for.
    pub(super) fn new(bytes: Vec<u8>, order: Order, number: PageNumber) -> Result<Page, String> {
        let page = Page { bytes, order, number };
        let own = page.u32(8);
        // A bucket that was never filled may be all zeros.
        if own != number && page.kind() != kind::UNUSED {
            return Err(page.wrong(format!("expected its own number, found {own}")));
        }
        Ok(page)
    }

    /// An error on this page.
    pub(super) fn wrong(&self, text: impl std::fmt::Display) -> String {
        format!("page {}: {text}", self.number)
    }

    fn u16(&self, at: usize) -> usize {
        self.order.u16(&self.bytes, at).unwrap_or_default().into()
    }

    fn u32(&self, at: usize) -> u32 {
        self.order.u32(&self.bytes, at).unwrap_or_default()
    }

    /// The byte order of the file.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The type of the page.
    pub(super) fn kind(&self) -> u8 {
        self.bytes[25]
    }

    /// The page behind this one; 0 at the end.
    pub(super) fn next(&self) -> PageNumber {
        self.u32(16)
    }

    /// How many items there are; more than fit are not counted.
    pub(super) fn items(&self) -> usize {
        self.u16(20).min((self.bytes.len() - HEADER) / 2)
    }

    /// Where an item starts.
    pub(super) fn place(&self, item: usize) -> Result<usize, String> {
        let place = self.u16(HEADER + item * 2);
        match item < self.items() && (HEADER..self.bytes.len()).contains(&place) {
            true => Ok(place),
            false => Err(self.wrong(format!("item {item}: expected a place on the page, found {place}"))),
        }
    }

    /// An item of a hash page: it ends where the item before it starts.
    pub(super) fn hash_item(&self, item: usize) -> Result<&[u8], String> {
        let end = match item {
            0 => self.bytes.len(),
            _ => self.place(item - 1)?,
        };
        self.hash_item_before(item, end).map(|(_, bytes)| bytes)
    }

    /// The same where the item's end is known; gives its start as well.
    pub(super) fn hash_item_before(&self, item: usize, end: usize) -> Result<(usize, &[u8]), String> {
        let start = self.place(item)?;
        match self.bytes.get(start..end) {
            Some(bytes) if !bytes.is_empty() => Ok((start, bytes)),
            _ => Err(self.wrong(format!("item {item}: expected it before byte {end}, found it at {start}"))),
        }
    }

    /// How long it is.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The rest of a B-tree page from an item's start on; the item says its length itself.
    pub(super) fn rest_from(&self, item: usize) -> Result<&[u8], String> {
        Ok(&self.bytes[self.place(item)?..])
    }

    /// What an overflow page holds.
    pub(super) fn overflow_part(&self) -> Result<&[u8], String> {
        let length = self.u16(22);
        if self.kind() != kind::OVERFLOW || length == 0 {
            return Err(self.wrong(format!("expected an overflow page, found one of type {}", self.kind())));
        }
        self.bytes
            .get(HEADER..HEADER + length)
            .ok_or_else(|| self.wrong(format!("expected at most a page of bytes, found {length}")))
    }
}
