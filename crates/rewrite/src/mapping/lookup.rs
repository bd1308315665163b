//! One lookup of an address in tables that map addresses, and the addresses that the answer holds.
//!
//! Postfix: canonical(5) and virtual(5), "TABLE SEARCH ORDER", "RESULT ADDRESS REWRITING", "ADDRESS EXTENSION".

use super::settings::{Inner, MapTables};
use super::witness::Witness;
use crate::extension;
use mail::{Address, AddressHeader};
use tables::search::{self, Key};
use tables::{Lookup, Maps};

/// Words of one answer that are looked at: the members of a list.
const ANSWER_TOKENS_MAX: usize = 1_000_000;

/// What a key's answer is, and what of the address the key does not have.
pub(super) struct Found {
    pub value: String,
    /// The extension with its delimiter, where the key has none.
    pub extension: Vec<u8>,
}

impl Inner {
    /// The value of the first key that is found.
    pub(super) async fn find(
        &self,
        tables: &MapTables,
        address: &Address,
        witness: &dyn Witness,
    ) -> Result<Option<Found>, ()> {
        if tables.maps.is_empty() || address.is_null() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(address.as_bytes());
        let (local, ours) = match text.rsplit_once('@') {
            Some((local, domain)) => (local, self.ours.contains(domain).await.map_err(|_| ())?),
            None => (&*text, true),
        };
        let user = search::split_extension(local, &self.delimiters).map_or(local, |(user, _)| user);
        let extension = &local[user.len()..];
        for key in search::mapping(&text, &self.delimiters, ours) {
            match ask(&tables.maps, tables.parameter, &key, witness).await {
                Lookup::NotFound => {}
                Lookup::TempFail(_) => return Err(()),
                Lookup::Found(value) => {
                    let unmatched = if extension::is_in(&key.text, extension) { "" } else { extension };
                    return Ok(Some(Found { value, extension: unmatched.as_bytes().to_vec() }));
                }
            }
        }
        Ok(None)
    }

    /// The addresses that an answer holds, in canonical form and with the extension of the address asked for where
    /// `propagate` says so.
    pub(super) fn addresses(&self, found: &Found, asked: &Address, propagate: bool) -> Vec<Address> {
        // `@domain` keeps what stands before it; whatever else stands there belongs to the domain.
        if found.value.starts_with('@') {
            let local = asked.local_part();
            let local = local.strip_suffix(&found.extension[..]).unwrap_or(local);
            let address = self.local.canonical(&Address::new([local, found.value.as_bytes()].concat()));
            return vec![if propagate { extension::appended(&address, &found.extension) } else { address }];
        }
        let list = AddressHeader::parse(found.value.as_bytes(), ANSWER_TOKENS_MAX);
        let one = |at: usize| {
            let written = list.address(at);
            let canonical = self.local.canonical_written(&written).unwrap_or(written);
            let address = canonical.to_internal();
            if propagate { extension::appended(&address, &found.extension) } else { address }
        };
        (0..list.len()).map(one).collect()
    }
}

async fn ask(maps: &Maps, parameter: &'static str, key: &Key, witness: &dyn Witness) -> Lookup {
    for table in maps.tables() {
        if key.part && !table.takes_parts() {
            continue;
        }
        let answer = match table.lookup(&key.text).await {
            Lookup::Found(value) if table.found_nothing_in(&key.text, &value) => {
                Lookup::TempFail(format!("{}: an empty result", table.spec()))
            }
            answer => answer,
        };
        witness.asked(parameter, table.spec(), &key.text, &answer);
        if answer != Lookup::NotFound {
            return answer;
        }
    }
    Lookup::NotFound
}
