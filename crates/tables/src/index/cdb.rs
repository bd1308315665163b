//! The constant database: records in a row, then 256 small hash tables of where they stand.
//!
//! Format: <https://cr.yp.to/cdb/cdb.txt>. All numbers have four bytes, so a file has at most 4 GB.

use super::Index;
use super::bytes::{Bytes, u32_le};
use std::sync::OnceLock;

/// Bytes of the header: place and number of slots of each hash table.
const HEADER: usize = 2048;
/// Slots that are read at once; the tables are at most half full, so a search rarely needs more.
const SLOTS_AT_ONCE: u32 = 8;
/// An open constant database.
pub(super) struct Cdb {
    bytes: Bytes,
    header: Vec<u8>,
    /// Whether keys end with a zero byte, once one was found.
    zero: OnceLock<bool>,
}

/// Reads the header.
pub(super) fn open(bytes: Bytes) -> Result<Cdb, String> {
    let header = bytes.exact(0, HEADER)?;
    let cdb = Cdb { bytes: bytes.constant()?, header, zero: OnceLock::new() };
    let length = cdb.bytes.length()?;
    for table in 0..256 {
        let (place, slots) = cdb.table(table);
        let end = u64::from(place) + u64::from(slots) * 8;
        if place < HEADER as u32 || end > length {
            return Err(format!(
                "at byte {}: expected a hash table between {HEADER} and the end at {length}, found {place} to {end}",
                table * 8
            ));
        }
    }
    Ok(cdb)
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33) ^ u32::from(byte))
}

impl Cdb {
    /// Place and number of slots of a hash table.
    fn table(&self, number: usize) -> (u32, u32) {
        let field = |at| u32_le(&self.header, at).expect("the header was read whole");
        (field(number * 8), field(number * 8 + 4))
    }

    /// Where the records end and the first hash table starts.
    fn records_end(&self) -> u32 {
        (0..256).map(|number| self.table(number).0).min().unwrap_or(HEADER as u32)
    }

    /// The lengths of key and value of the record at `at`.
    fn lengths(&self, at: u64) -> Result<(usize, usize), String> {
        let bytes = self.bytes.piece(at, 8)?;
        match (u32_le(&bytes, 0), u32_le(&bytes, 4)) {
            (Some(key), Some(value)) => Ok((key as usize, value as usize)),
            _ => Err(format!("at byte {at}: expected a record, found the end of the file")),
        }
    }

    /// The value of the record at `at`, if its key is this one.
    fn value_of(&self, at: u64, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (key_length, value_length) = self.lengths(at)?;
        if key_length != key.len() {
            return Ok(None);
        }
        let bytes = self.bytes.piece(at + 8, key_length + value_length)?;
        Ok((&bytes[..key_length] == key).then(|| bytes[key_length..].to_vec()))
    }
}

impl Index for Cdb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let wanted = hash(key);
        let (place, slots) = self.table((wanted & 255) as usize);
        if slots == 0 {
            return Ok(None);
        }
        let first = (wanted >> 8) % slots;
        let mut tried = 0;
        while tried < slots {
            let slot = (first + tried) % slots;
            let count = SLOTS_AT_ONCE.min(slots - slot).min(slots - tried);
            let bytes = self.bytes.piece(u64::from(place) + u64::from(slot) * 8, count as usize * 8)?;
            for slot in bytes.chunks_exact(8) {
                let (Some(hash), Some(record)) = (u32_le(slot, 0), u32_le(slot, 4)) else { continue };
                if record == 0 {
                    return Ok(None);
                }
                if hash == wanted
                    && let Some(value) = self.value_of(record.into(), key)?
                {
                    return Ok(Some(value));
                }
            }
            tried += count;
        }
        Ok(None)
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let found = super::either(key, self.zero.get().copied(), |key| self.get(key))?;
        Ok(found.map(|(zero, value)| {
            self.zero.get_or_init(|| zero);
            value
        }))
    }

    fn each(&self, take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
        let end = self.records_end();
        let mut at = HEADER as u32;
        while at < end {
            let (key, value) = self.lengths(at.into())?;
            let next = u64::from(at) + 8 + key as u64 + value as u64;
            if next > u64::from(end) {
                return Err(format!(
                    "at byte {at}: expected a record before byte {end}, found its end at {next}"
                ));
            }
            let record = self.bytes.piece(u64::from(at) + 8, key + value)?;
            if !take(&record[..key], &record[key..]) {
                break;
            }
            at = next as u32;
        }
        Ok(())
    }
}

/// A constant database of the entries, in their order.
pub(super) fn write<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Vec<u8>, String> {
    let mut out = vec![0; HEADER];
    let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); 256];
    for (key, value) in entries {
        let hash = hash(key);
        tables[(hash & 255) as usize].push((hash, place(&out)?));
        for length in [key.len(), value.len()] {
            out.extend_from_slice(&u32::try_from(length).map_err(|_| TOO_LARGE)?.to_le_bytes());
        }
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    for (number, table) in tables.iter().enumerate() {
        let slots = table.len() * 2;
        let header = number * 8;
        let start = place(&out)?;
        out[header..header + 4].copy_from_slice(&start.to_le_bytes());
        out[header + 4..header + 8].copy_from_slice(&(slots as u32).to_le_bytes());
        let mut filled = vec![(0, 0); slots];
        for &(hash, record) in table {
            let mut slot = (hash >> 8) as usize % slots;
            while filled[slot].1 != 0 {
                slot = (slot + 1) % slots;
            }
            filled[slot] = (hash, record);
        }
        for (hash, record) in filled {
            out.extend_from_slice(&u32::to_le_bytes(hash));
            out.extend_from_slice(&u32::to_le_bytes(record));
        }
    }
    place(&out)?;
    Ok(out)
}

const TOO_LARGE: &str = "expected at most 4 GB, which is all that a constant database can hold";

/// Where the next byte will stand.
fn place(out: &[u8]) -> Result<u32, String> {
    u32::try_from(out.len()).map_err(|_| TOO_LARGE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found_again_and_nothing_else() {
        let keys: Vec<String> = (0..1000).map(|n| format!("key{n}")).collect();
        let entries = keys.iter().map(|key| (key.as_bytes(), &key.as_bytes()[3..]));
        let cdb = open(Bytes::Memory(write(entries).unwrap())).unwrap();
        for key in &keys {
            assert_eq!(cdb.get(key.as_bytes()), Ok(Some(key.as_bytes()[3..].to_vec())));
        }
        assert_eq!(cdb.get(b"key"), Ok(None));
        let mut all = Vec::new();
        cdb.each(&mut |key, _| {
            all.push(String::from_utf8_lossy(key).into_owned());
            true
        })
        .unwrap();
        assert_eq!(all, keys);
    }
}
