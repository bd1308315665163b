//! A new LMDB file of sorted entries, built from the leaves up; Postfix and LMDB's own tools open it.

use super::page::{BIG, BRANCH, HEADER, LEAF, MAGIC, META_PAGE, NODE, NONE, OVERFLOW, VERSION};

/// The page size; LMDB takes that of the file.
const PAGE: usize = 4096;
/// Bytes of the largest node that stands on a leaf; a longer value gets pages of its own.
const NODE_MAX: usize = (((PAGE - HEADER) / 2) & !1) - 2;
/// Bytes of the longest key that LMDB takes, one at least.
pub(in super::super) const KEY_MAX: usize = 511;
/// How LMDB notes, in the first of the two databases that pages 0 and 1 name, that the file stands in no directory of
/// its own and that this database has numbers as keys.
const FLAGS: u16 = 0x4008;

/// The file so far: pages in a row.
struct File {
    bytes: Vec<u8>,
    leaves: u64,
    branches: u64,
    overflows: u64,
    depth: u16,
}

/// A page that is being filled: places from the front, nodes from the back.
struct Filling {
    nodes: Vec<Vec<u8>>,
    used: usize,
}

/// A finished page and the first key below it.
struct Child {
    key: Vec<u8>,
    page: u64,
}

/// A file of the entries, which are sorted and have no key twice. `map_size` is `lmdb_map_size`.
pub(crate) fn write<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    map_size: u64,
) -> Result<Vec<u8>, String> {
    let mut file = File { bytes: vec![0; 2 * PAGE], leaves: 0, branches: 0, overflows: 0, depth: 0 };
    let mut level = Vec::new();
    let mut page = Filling::new();
    let mut first: Option<Vec<u8>> = None;
    let mut count = 0u64;
    for (key, value) in entries {
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(format!(
                "expected keys of 1 to {KEY_MAX} bytes, found one of {}: `{}…`",
                key.len(),
                String::from_utf8_lossy(&key[..key.len().min(60)])
            ));
        }
        let node = file.leaf_node(key, value)?;
        if !page.fits(&node) {
            level.push(Child { key: first.take().unwrap_or_default(), page: file.finish(&mut page, LEAF) });
        }
        first.get_or_insert_with(|| key.to_vec());
        page.add(node);
        count += 1;
    }
    if let Some(key) = first {
        level.push(Child { key, page: file.finish(&mut page, LEAF) });
        file.depth = 1;
    }
    while level.len() > 1 {
        level = file.branches(level);
        file.depth += 1;
    }
    let root = level.first().map_or(NONE, |child| child.page);
    file.metas(root, count, map_size);
    Ok(file.bytes)
}

impl File {
    fn next_page(&self) -> u64 {
        (self.bytes.len() / PAGE) as u64
    }

    /// A node of a leaf; a value that is too long for it goes to pages of its own.
    fn leaf_node(&mut self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
        let length = u32::try_from(value.len()).map_err(|_| "expected values below 4 GB".to_owned())?;
        if NODE + key.len() + value.len() <= NODE_MAX {
            return Ok(node(u64::from(length), 0, key, value));
        }
        let first = self.next_page();
        let pages = (HEADER + value.len()).div_ceil(PAGE);
        self.overflows += pages as u64;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&first.to_le_bytes());
        header[10..12].copy_from_slice(&OVERFLOW.to_le_bytes());
        header[12..16].copy_from_slice(&(pages as u32).to_le_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(value);
        self.bytes.resize((first as usize + pages) * PAGE, 0);
        Ok(node(u64::from(length), BIG, key, &first.to_le_bytes()))
    }

    /// Writes a page and leaves the filling empty; gives the page's number.
    fn finish(&mut self, page: &mut Filling, kind: u16) -> u64 {
        let number = self.next_page();
        let start = self.bytes.len();
        self.bytes.resize(start + PAGE, 0);
        let out = &mut self.bytes[start..];
        let mut upper = PAGE;
        for (index, node) in page.nodes.drain(..).enumerate() {
            upper -= node.len();
            out[upper..upper + node.len()].copy_from_slice(&node);
            out[HEADER + index * 2..HEADER + index * 2 + 2].copy_from_slice(&(upper as u16).to_le_bytes());
            out[12..14].copy_from_slice(&((HEADER + index * 2 + 2) as u16).to_le_bytes());
        }
        out[..8].copy_from_slice(&number.to_le_bytes());
        out[10..12].copy_from_slice(&kind.to_le_bytes());
        out[14..16].copy_from_slice(&(upper as u16).to_le_bytes());
        page.used = HEADER;
        match kind {
            LEAF => self.leaves += 1,
            _ => self.branches += 1,
        }
        number
    }

    /// The branch pages above a level.
    fn branches(&mut self, level: Vec<Child>) -> Vec<Child> {
        let mut groups: Vec<Vec<Child>> = vec![Vec::new()];
        let mut used = HEADER;
        for child in level {
            let size = size(&node(child.page, 0, &child.key, &[]));
            if used + size > PAGE {
                groups.push(Vec::new());
                used = HEADER;
            }
            used += size;
            groups.last_mut().expect("there is one from the start").push(child);
        }
        // LMDB takes no branch with a single page below: the last one gets a second from its neighbour.
        if let [.., before, last] = &mut groups[..]
            && last.len() == 1
        {
            last.splice(0..0, before.pop());
        }
        groups.into_iter().map(|group| self.branch(group)).collect()
    }

    fn branch(&mut self, group: Vec<Child>) -> Child {
        let mut page = Filling::new();
        let mut key = Vec::new();
        for (index, child) in group.into_iter().enumerate() {
            // The first key of a branch is left out: it stands for everything smaller than the second.
            let own = if index == 0 { &[][..] } else { &child.key };
            page.add(node(child.page, (child.page >> 32) as u16, own, &[]));
            if index == 0 {
                key = child.key;
            }
        }
        Child { key, page: self.finish(&mut page, BRANCH) }
    }

    /// Pages 0 and 1: an empty database in transaction 0, the entries in transaction 1.
    fn metas(&mut self, root: u64, count: u64, map_size: u64) {
        let last = self.next_page() - 1;
        let map_size = map_size.max(self.bytes.len() as u64);
        for transaction in [0u64, 1] {
            let page = &mut self.bytes[transaction as usize * PAGE..][..PAGE];
            let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
            put(0, &transaction.to_le_bytes());
            put(10, &META_PAGE.to_le_bytes());
            put(16, &MAGIC.to_le_bytes());
            put(20, &VERSION.to_le_bytes());
            put(32, &map_size.to_le_bytes());
            put(40, &(PAGE as u32).to_le_bytes());
            put(44, &FLAGS.to_le_bytes());
            put(80, &NONE.to_le_bytes());
            put(128, &NONE.to_le_bytes());
            put(136, &1u64.to_le_bytes());
            put(144, &transaction.to_le_bytes());
            if transaction == 1 {
                put(94, &self.depth.to_le_bytes());
                put(96, &self.branches.to_le_bytes());
                put(104, &self.leaves.to_le_bytes());
                put(112, &self.overflows.to_le_bytes());
                put(120, &count.to_le_bytes());
                put(128, &root.to_le_bytes());
                put(136, &last.to_le_bytes());
            }
        }
    }
}

impl Filling {
    fn new() -> Self {
        Filling { nodes: Vec::new(), used: HEADER }
    }

    fn fits(&self, node: &[u8]) -> bool {
        self.used + size(node) <= PAGE
    }

    fn add(&mut self, node: Vec<u8>) {
        self.used += size(&node);
        self.nodes.push(node);
    }
}

/// Bytes that a node takes, with its place.
fn size(node: &[u8]) -> usize {
    node.len() + 2
}

/// A node: a number (a length or a page), flags, the key, what it has; of even length.
fn node(number: u64, flags: u16, key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(NODE + key.len() + content.len() + 1);
    out.extend_from_slice(&(number as u32).to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Format, Index};

    fn read(entries: &[(Vec<u8>, Vec<u8>)]) -> Box<dyn Index> {
        let all = entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        Format::Lmdb.of_memory(&write(all, 0).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_found_again_at_every_depth() {
        for count in [0, 1, 2, 100, 3000, 20_000] {
            let mut entries: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
                .map(|n: usize| {
                    let length = if n % 700 == 3 { 9000 } else { n % 40 };
                    (format!("{n}{}", "k".repeat(n % 90)).into_bytes(), vec![b'v'; length])
                })
                .collect();
            entries.sort();
            let file = read(&entries);
            for (key, value) in &entries {
                assert_eq!(file.get(key).as_ref(), Ok(&Some(value.clone())));
            }
            assert_eq!(file.get(b"nothing"), Ok(None));
            let mut all = Vec::new();
            file.each(&mut |key, value| {
                all.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
            assert_eq!(all, entries);
        }
    }

    #[test]
    fn a_key_that_lmdb_does_not_take_is_refused() {
        let long = vec![b'k'; KEY_MAX + 1];
        assert!(write([(&long[..], &b"v"[..])].into_iter(), 0).is_err());
        assert!(write([(&b""[..], &b"v"[..])].into_iter(), 0).is_err());
    }
}
