//! Addresses of mail that leaves: those that are good inside only become others. Postfix: `smtp_generic_maps`.

use crate::{HeaderClass, Resolver, extension};
use mail::mime::{field_name, value};
use mail::{Address, AddressHeader, Written};
use tables::lists::Unanswered;
use tables::{Lookup, Maps, search};

/// Words of one answer that are looked at; the first address counts.
const ANSWER_TOKENS_MAX: usize = 1000;

/// What a client makes of addresses.
#[derive(Clone, Debug)]
pub struct Generic {
    /// `smtp_generic_maps`.
    pub maps: Maps,
    /// Says which addresses are ours, and completes what tables answer.
    pub resolver: Resolver,
    /// Whether an extension that a key has not is put to its answer (`propagate_unmatched_extensions`).
    pub propagates: bool,
    /// Words of a header that are looked at (`header_address_token_limit`).
    pub token_limit: usize,
}

impl Generic {
    /// The address that takes the place of another; nothing where none does. `warn` is told of an answer that holds
    /// several: the first one counts.
    pub async fn address(
        &self,
        address: &Address,
        warn: &dyn Fn(&Address),
    ) -> Result<Option<Address>, Unanswered> {
        if address.is_null() || self.maps.is_empty() {
            return Ok(None);
        }
        let settings = self.resolver.settings();
        let text = String::from_utf8_lossy(address.as_bytes());
        let (local, ours) = match text.rsplit_once('@') {
            Some((local, domain)) => {
                let is_origin = domain.eq_ignore_ascii_case(&settings.myorigin);
                (local, is_origin || self.resolver.is_local(domain).await?)
            }
            None => (&*text, true),
        };
        let delimiters = &settings.view.recipient_delimiter;
        let user = search::split_extension(local, delimiters).map_or(local.len(), |(user, _)| user.len());
        for key in search::mapping(&text, delimiters, ours) {
            match self.maps.lookup(&key).await {
                Lookup::NotFound => {}
                Lookup::TempFail(reason) => return Err(Unanswered(reason)),
                Lookup::Found(value) => {
                    let unmatched =
                        if extension::is_in(&key.text, &local[user..]) { "" } else { &local[user..] };
                    return Ok(self.answer(&value, address, unmatched, warn));
                }
            }
        }
        Ok(None)
    }

    fn answer(
        &self,
        value: &str,
        asked: &Address,
        unmatched: &str,
        warn: &dyn Fn(&Address),
    ) -> Option<Address> {
        let rules = &self.resolver.settings().rules;
        // `@domain` keeps what stands before it.
        if value.starts_with('@') {
            return Some(rules.canonical(&Address::new([asked.local_part(), value.as_bytes()].concat())));
        }
        let list = AddressHeader::parse(value.as_bytes(), ANSWER_TOKENS_MAX);
        if list.len() > 1 {
            warn(asked);
        }
        let written = (!list.is_empty()).then(|| list.address(0))?;
        let found = rules.canonical_written(&written).unwrap_or(written).to_internal();
        Some(if self.propagates { extension::appended(&found, unmatched.as_bytes()) } else { found })
    }

    /// A header (without its end) with other addresses, and with its end; nothing where it stays as it is.
    pub async fn header(
        &self,
        header: &[u8],
        warn: &dyn Fn(&Address),
    ) -> Result<Option<Vec<u8>>, Unanswered> {
        let Some(name) = field_name(header) else { return Ok(None) };
        if HeaderClass::of(name).is_none() {
            return Ok(None);
        }
        let mut list = AddressHeader::parse(value(header), self.token_limit);
        for at in 0..list.len() {
            let found = self.address(&list.address(at).to_internal(), warn).await?;
            if let Some(found) = found {
                list.replace(at, &Written::of(&found));
            }
        }
        Ok(list.is_changed().then(|| list.write(name)))
    }
}
