//! /etc/hosts, read again when it changes.

use crate::Families;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What is read of the file at most; beyond it the rest is not seen.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How long the file is believed unchanged: one look at its time per interval at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The host table of the system. Loop-local.
pub struct Hosts {
    path: PathBuf,
    checked: Cell<Option<Instant>>,
    changed: Cell<Option<SystemTime>>,
    table: RefCell<Table>,
    /// It is not looked at again.
    fixed: bool,
}

/// What a host table says.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, Vec<String>>,
}

impl Hosts {
    /// The table at `path`; a file that cannot be read is an empty one.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Hosts {
            path: path.into(),
            checked: Cell::default(),
            changed: Cell::default(),
            table: RefCell::default(),
            fixed: false,
        }
    }

    /// A table that stays as it was read.
    pub(super) fn fixed(table: Table) -> Self {
        Hosts { table: RefCell::new(table), fixed: true, ..Hosts::open("") }
    }

    /// The addresses of a name, in the file's order.
    pub fn addresses(&self, name: &str, families: Families) -> Vec<IpAddr> {
        self.refresh();
        let table = self.table.borrow();
        let found = table.by_name.get(&name.to_ascii_lowercase());
        found.into_iter().flatten().copied().filter(|ip| families.allow(*ip)).collect()
    }

    /// The names of an address, the canonical one first.
    pub fn names(&self, address: IpAddr) -> Vec<String> {
        self.refresh();
        self.table.borrow().by_address.get(&address).cloned().unwrap_or_default()
    }

    fn refresh(&self) {
        if self.fixed || self.checked.get().is_some_and(|at| at.elapsed() < CHECK_INTERVAL) {
            return;
        }
        self.checked.set(Some(Instant::now()));
        let changed = fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if changed.is_some() && changed == self.changed.get() {
            return;
        }
        self.changed.set(changed);
        *self.table.borrow_mut() = Table::read(&self.path);
    }
}

impl Table {
    /// The table of a file; one that cannot be read is an empty one.
    pub(super) fn read(path: &Path) -> Self {
        let mut text = Vec::new();
        if let Ok(file) = fs::File::open(path) {
            let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut text);
        }
        Table::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut table = Table::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(address) = words.next().and_then(|w| w.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                table.by_name.entry(name.to_ascii_lowercase()).or_default().push(address);
                table.by_address.entry(address).or_default().push(name.to_string());
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_found_both_ways() {
        let table = Table::parse("127.0.0.1 localhost loop # me\n::1 LocalHost\n\n# 10.0.0.1 no\nbad line\n");
        assert_eq!(table.by_name["localhost"].len(), 2);
        assert_eq!(table.by_address[&"127.0.0.1".parse::<IpAddr>().unwrap()], ["localhost", "loop"]);
        assert_eq!(table.by_name.len(), 2);
    }
}
