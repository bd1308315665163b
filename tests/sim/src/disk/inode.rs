//! One file: sectors, mode and time, each durable or not.

use super::SECTOR;
use crate::rng::Rng;
use mail::Timestamp;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) data: Vec<u8>,
    pub(super) mode: u32,
    pub(super) modified: Timestamp,
}

pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// Sectors written since the last sync, with the versions that they had since.
    pub(super) dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// How often what was to be written could not be: whoever has the file open then hears of it once.
    pub(super) errors: u64,
}

impl Inode {
    /// An empty file that nobody synced.
    pub(super) fn new(now: Timestamp) -> Self {
        let live = Content { mode: 0o600, modified: now, ..Content::default() };
        let durable = Content { mode: 0o600, ..Content::default() };
        Inode { live, durable, dirty: BTreeMap::new(), errors: 0 }
    }

    /// A power cut: of what was not synced any part is there.
    pub(super) fn cut(&mut self, rng: &mut Rng, keep: u64) {
        if rng.chance(keep) {
            // The length may be known while the data is not.
            self.durable.data.resize(self.live.data.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            if !rng.chance(keep) {
                continue;
            }
            let version = &versions[rng.below(versions.len() as u64) as usize];
            let start = sector * SECTOR;
            for (at, byte) in (start..).zip(version) {
                if let Some(slot) = self.durable.data.get_mut(at) {
                    *slot = *byte;
                }
            }
        }
        if rng.chance(keep) {
            self.durable.mode = self.live.mode;
        }
        if rng.chance(keep) {
            self.durable.modified = self.live.modified;
        }
        self.live = self.durable.clone();
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.live.data.len() < end {
            self.live.data.resize(end, 0);
        }
        self.live.data[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.live.data.len());
            let versions = self.dirty.entry(sector).or_default();
            versions.push(self.live.data[from..to].to_vec());
            if versions.len() > 4 {
                versions.remove(1);
            }
        }
    }

    /// A sync that failed: as on Linux, what it did not write counts as clean and is never written.
    pub(super) fn fail_sync(&mut self) {
        if !std::mem::take(&mut self.dirty).is_empty() {
            self.errors += 1;
        }
    }

    pub(super) fn sync(&mut self, metadata: bool) {
        // Only what is dirty: what an earlier sync failed to write is clean now, and lost.
        self.durable.data.resize(self.live.data.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.live.data.len());
            self.durable.data[from..to].copy_from_slice(&self.live.data[from..to]);
        }
        if metadata {
            self.durable.mode = self.live.mode;
            self.durable.modified = self.live.modified;
        }
    }
}
