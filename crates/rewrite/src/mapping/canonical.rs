//! canonical_maps and those of senders and recipients: one address becomes one other, again and again.

use super::Trouble;
use super::settings::{Inner, MapTables};
use super::witness::{Step, Witness};
use mail::Address;

/// An address is mapped so often at most; what stands then counts, and the log warns.
const ROUNDS_MAX: usize = 10;

impl Inner {
    /// What the tables make of an address.
    pub(super) async fn mapped(
        &self,
        tables: &MapTables,
        address: Address,
        witness: &dyn Witness,
    ) -> Result<Address, Trouble> {
        let parameter = tables.parameter;
        let mut address = address;
        for _ in 0..ROUNDS_MAX {
            let found = match self.find(tables, &address, witness).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(address),
                Err(()) => {
                    witness.warning(&refused(format_args!("{parameter} map lookup problem for {address}")));
                    return Err(Trouble::Unanswered);
                }
            };
            let mut addresses = self.addresses(&found, &address, self.propagate_canonical).into_iter();
            let Some(new) = addresses.next() else { return Ok(address) };
            if addresses.next().is_some() {
                witness.warning(&format!("multi-valued {parameter} entry for {address}"));
            }
            if new == address {
                return Ok(address);
            }
            witness.became(Step::Tables(parameter), address.as_bytes(), new.as_bytes());
            address = new;
        }
        witness.warning(&refused(format_args!("unreasonable {parameter} map nesting for {address}")));
        Ok(address)
    }
}

/// A warning of something that keeps the message out.
pub(super) fn refused(what: std::fmt::Arguments<'_>) -> String {
    format!("{what} -- message not accepted, try again later")
}
