//! always_bcc, sender_bcc_maps and recipient_bcc_maps: recipients that nobody named.

use super::canonical::refused;
use super::settings::{Inner, MapTables};
use super::{Trouble, Witness};
use mail::{Address, Notify, Recipient};

impl Inner {
    /// The copy that a table wants for an address.
    pub(super) async fn copy_for(
        &self,
        tables: &MapTables,
        address: &Address,
        witness: &dyn Witness,
    ) -> Result<Option<Address>, Trouble> {
        match self.find(tables, address, witness).await {
            // One address, whatever it looks like.
            Ok(found) => Ok(found.map(|found| Address::new(found.value))),
            Err(()) => {
                witness.warning(&refused(format_args!("{} map lookup problem", tables.parameter)));
                Err(Trouble::Unanswered)
            }
        }
    }

    /// The recipients that a copy goes to: mapped and expanded as others, and nobody is told what becomes of it.
    pub(super) async fn copied(
        &self,
        to: &Address,
        to_all: &mut Vec<Recipient>,
        witness: &dyn Witness,
    ) -> Result<(), Trouble> {
        let mapped = self.mapped_recipient(to, witness).await?;
        let original = mapped.clone();
        for address in self.expanded(mapped, witness).await?.addresses {
            let original = original.clone();
            to_all.push(Recipient { original, notify: Notify::NEVER, ..Recipient::new(address) });
        }
        Ok(())
    }
}
