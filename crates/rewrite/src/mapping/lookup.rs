//! One lookup of an address in tables that map addresses, and the addresses that the answer holds.
//!
//! Postfix: canonical(5) and virtual(5), "TABLE SEARCH ORDER", "RESULT ADDRESS REWRITING", "ADDRESS EXTENSION".

use super::settings::{Inner, MapTables};
use super::witness::Witness;
use crate::canonical::memrchr;
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
        // Quoted forms are looked up as they are written, then without quotes.
        let external = String::from_utf8_lossy(&address.to_external()).into_owned();
        let internal = String::from_utf8_lossy(address.as_bytes()).into_owned();
        let found = self.find_text(tables, &external, witness).await?;
        match found {
            None if internal != external => self.find_text(tables, &internal, witness).await,
            found => Ok(found),
        }
    }

    async fn find_text(
        &self,
        tables: &MapTables,
        text: &str,
        witness: &dyn Witness,
    ) -> Result<Option<Found>, ()> {
        let (local, domain) = text.rsplit_once('@').map_or((text, None), |(l, d)| (l, Some(d)));
        let ours = match domain {
            Some(domain) => self.ours.contains(domain).await.map_err(|_| ())?,
            None => true,
        };
        let bare = search::split_extension(local, &self.delimiters).map(|(user, _)| user);
        let without = |key: &str| {
            bare.filter(|user| {
                let rest = key.strip_prefix(*user);
                rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@') == domain)
            })
        };
        for key in search::mapping(text, &self.delimiters, ours) {
            match ask(&tables.maps, tables.parameter, &key, witness).await {
                Lookup::NotFound => {}
                Lookup::TempFail(_) => return Err(()),
                Lookup::Found(value) => {
                    let extension =
                        without(&key.text).map_or(&b""[..], |user| &local.as_bytes()[user.len()..]);
                    return Ok(Some(Found { value, extension: extension.to_vec() }));
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
            return vec![if propagate { with_extension(&address, &found.extension) } else { address }];
        }
        let list = AddressHeader::parse(found.value.as_bytes(), ANSWER_TOKENS_MAX);
        let one = |at: usize| {
            let written = list.address(at);
            let canonical = self.local.canonical_written(&written).unwrap_or(written);
            let address = canonical.to_internal();
            if propagate { with_extension(&address, &found.extension) } else { address }
        };
        (0..list.len()).map(one).collect()
    }
}

/// Puts an extension behind the local part.
fn with_extension(address: &Address, extension: &[u8]) -> Address {
    if extension.is_empty() {
        return address.clone();
    }
    let bytes = address.as_bytes();
    let at = memrchr(b'@', bytes).unwrap_or(bytes.len());
    Address::new([&bytes[..at], extension, &bytes[at..]].concat())
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
