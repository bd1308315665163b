//! virtual_alias_maps: one recipient becomes several, which may be aliases again.

use super::Trouble;
use super::canonical::refused;
use super::settings::Inner;
use super::witness::{Step, Witness};
use mail::Address;
use std::fmt;

/// Members beyond the limit that the list of one address may bring before it is given up at once: memory has its bounds.
const SURPLUS_MAX: usize = 100_000;

/// So much of an address that grew too long stands in the log.
const SHOWN_MAX: usize = 300;

/// What an address has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The recipients, in the order in which they were found.
    pub addresses: Vec<Address>,
    /// Some alias was found.
    pub is_alias: bool,
}

impl Inner {
    /// Whom mail to an address goes to.
    pub(super) async fn expanded(
        &self,
        address: Address,
        witness: &dyn Witness,
    ) -> Result<Expanded, Trouble> {
        if self.aliases.maps.is_empty() {
            return Ok(Expanded { addresses: vec![address], is_alias: false });
        }
        let parameter = self.aliases.parameter;
        let limits = &self.alias_limits;
        let trouble = |what: fmt::Arguments<'_>| {
            witness.warning(&refused(format_args!("unreasonable {parameter} {what}")));
            Err(Trouble::Expansion)
        };
        let mut all = vec![address.clone()];
        let (mut at, mut is_alias) = (0, false);
        while at < all.len() {
            if all.len() > limits.expansion {
                return trouble(format_args!("map expansion size for {address}"));
            }
            let mut rounds = 0;
            loop {
                if all.len() > limits.expansion.saturating_add(SURPLUS_MAX) {
                    return trouble(format_args!("map expansion size for {address}"));
                }
                if rounds >= limits.recursion {
                    return trouble(format_args!("map nesting for {address}"));
                }
                rounds += 1;
                let asked = all[at].clone();
                let found = match self.find(&self.aliases, &asked, witness).await {
                    Ok(found) => found,
                    Err(()) => {
                        let what = format_args!("{parameter} map lookup problem for {address}");
                        witness.warning(&refused(what));
                        return Err(Trouble::Unanswered);
                    }
                };
                let Some(found) = found else { break };
                let new = self.addresses(&found, &asked, self.propagate_virtual);
                if let Some(long) = new.iter().find(|new| new.to_external().len() > limits.address_length) {
                    let shown: String = long.to_string().chars().take(SHOWN_MAX).collect();
                    return trouble(format_args!("result {shown}..."));
                }
                if new.is_empty() {
                    break;
                }
                new.iter().for_each(|new| {
                    witness.became(Step::Tables(parameter), asked.as_bytes(), new.as_bytes());
                });
                // Who stands in the own list gets the mail; the list is not followed again.
                let own = new.iter().position(|new| new.as_bytes().eq_ignore_ascii_case(asked.as_bytes()));
                let stays = own.unwrap_or(0);
                is_alias |= own.is_none() || new.len() > 1;
                for (index, new) in new.into_iter().enumerate() {
                    if index == stays { all[at] = new } else { all.push(new) }
                }
                if own.is_some() {
                    break;
                }
            }
            at += 1;
        }
        Ok(Expanded { addresses: all, is_alias })
    }
}
