//! Sender and recipients of a message, in Postfix's order of steps.

use super::settings::{Inner, Mapper};
use super::witness::{Step, Witness};
use super::{Mapped, Tables, Trouble};
use mail::{Address, Notify, Recipient};
use std::collections::HashSet;

impl Mapper {
    /// The sender as it is queued.
    pub async fn sender(
        &self,
        sender: &Address,
        tables: Tables,
        witness: &dyn Witness,
    ) -> Result<Address, Trouble> {
        let inner = &*self.0;
        let mut address = inner.completed(sender, witness);
        // Who is the mail system itself has no other name.
        if inner.local.is_mailer_daemon(&address) {
            return Ok(Address::null());
        }
        if tables == Tables::Ignored || address.is_null() {
            return Ok(address);
        }
        for (maps, classes) in [&inner.sender_canonical, &inner.canonical] {
            if classes.envelope_sender {
                address = inner.mapped(maps, address, witness).await?;
            }
        }
        match inner.masquerade.classes.envelope_sender {
            true => inner.masqueraded(address, witness).await,
            false => Ok(address),
        }
    }

    /// The recipients as they are queued: those of `named` with what tables make of them, and copies. `sender` is what
    /// [`Mapper::sender`] found.
    pub async fn recipients(
        &self,
        sender: &Address,
        named: Vec<Recipient>,
        tables: Tables,
        witness: &dyn Witness,
    ) -> Result<Mapped, Trouble> {
        let inner = &*self.0;
        let mut found = Mapped::default();
        if tables == Tables::Ignored {
            found.recipients = named
                .into_iter()
                .map(|r| Recipient { address: inner.completed(&r.address, witness), ..r })
                .collect();
            found.needs_smtputf8 = found.recipients.iter().any(|r| r.address.needs_smtputf8());
        } else {
            if let Some(copy) = inner.copy_for(&inner.sender_copies, sender, witness).await? {
                inner.copied(&copy, &mut found.recipients, witness).await?;
            }
            for recipient in named {
                inner.recipient(&recipient, &mut found, witness).await?;
            }
            if let Some(copy) = &inner.always_copy {
                inner.copied(copy, &mut found.recipients, witness).await?;
            }
        }
        found.recipients = without_duplicates(found.recipients, inner.duplicate_limit, inner.keeps_original);
        Ok(found)
    }

    /// What canonical tables make of a recipient, and the recipients that alias tables make of that, without copies:
    /// those of mail that the mail system writes itself.
    pub async fn followed(
        &self,
        address: &Address,
        witness: &dyn Witness,
    ) -> Result<(Address, Vec<Address>), Trouble> {
        let mapped = self.0.mapped_recipient(address, witness).await?;
        let expanded = self.0.expanded(mapped.clone(), witness).await?;
        Ok((mapped, expanded.addresses))
    }

    /// The recipients of copies that something else than the configuration wants.
    pub async fn copies(
        &self,
        copies: &[Address],
        tables: Tables,
        witness: &dyn Witness,
    ) -> Result<Vec<Recipient>, Trouble> {
        let mut found = Mapped::default();
        for copy in copies {
            // Recipients like others, but for the reports.
            let copy = Recipient { notify: Notify::NEVER, ..Recipient::new(self.0.completed(copy, witness)) };
            match tables {
                Tables::Asked => self.0.recipient(&copy, &mut found, witness).await?,
                Tables::Ignored => found.recipients.push(copy),
            }
        }
        Ok(found.recipients)
    }
}

impl Inner {
    /// The canonical form.
    pub(super) fn completed(&self, address: &Address, witness: &dyn Witness) -> Address {
        let new = self.local.canonical(address);
        if new != *address {
            witness.became(Step::CanonicalForm, address.as_bytes(), new.as_bytes());
        }
        new
    }

    /// A recipient before aliases are followed.
    pub(super) async fn mapped_recipient(
        &self,
        address: &Address,
        witness: &dyn Witness,
    ) -> Result<Address, Trouble> {
        let mut address = self.completed(address, witness);
        for (maps, classes) in [&self.recipient_canonical, &self.canonical] {
            if classes.envelope_recipient {
                address = self.mapped(maps, address, witness).await?;
            }
        }
        match self.masquerade.classes.envelope_recipient {
            true => self.masqueraded(address, witness).await,
            false => Ok(address),
        }
    }

    async fn recipient(
        &self,
        named: &Recipient,
        found: &mut Mapped,
        witness: &dyn Witness,
    ) -> Result<(), Trouble> {
        let mapped = self.mapped_recipient(&named.address, witness).await?;
        found.needs_smtputf8 |= mapped.needs_smtputf8();
        let expanded = self.expanded(mapped.clone(), witness).await?;
        let mut named = named.clone();
        if expanded.is_alias && named.notify.has(Notify::SUCCESS) {
            // The sender hears that the alias was followed, and of the members no success (RFC 3461 5.2.7.3).
            found.expanded.push(Recipient { address: mapped.clone(), ..named.clone() });
            let rest = Notify(named.notify.0 & !Notify::SUCCESS.0);
            named.notify = if rest.0 == 0 { Notify::NEVER } else { rest };
        }
        found
            .recipients
            .extend(expanded.addresses.into_iter().map(|address| Recipient { address, ..named.clone() }));
        if let Some(copy) = self.copy_for(&self.recipient_copies, &mapped, witness).await? {
            self.copied(&copy, &mut found.recipients, witness).await?;
        }
        Ok(())
    }
}

/// Drops recipients that are there already: same address in either case, same original address, same options.
///
/// Remembers at most `limit` (0: all), as `duplicate_filter_limit` says; the order stays. Where original recipients are
/// not `told_apart` (`enable_original_recipient`), the address alone counts.
fn without_duplicates(recipients: Vec<Recipient>, limit: usize, told_apart: bool) -> Vec<Recipient> {
    if recipients.len() < 2 {
        return recipients;
    }
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let rest = told_apart.then(|| {
            let original = recipient.original.as_bytes().to_ascii_lowercase();
            (original, recipient.dsn_orcpt.to_ascii_lowercase(), recipient.notify)
        });
        let key = (recipient.address.as_bytes().to_ascii_lowercase(), rest);
        if seen.contains(&key) {
            continue;
        }
        if limit == 0 || seen.len() < limit {
            seen.insert(key);
        }
        kept.push(recipient);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_named_twice_gets_the_message_once() {
        let r = |a: &str| Recipient::new(a.into());
        let other = Recipient { dsn_orcpt: "rfc822;x@y".into(), ..r("ann@example.org") };
        let all = vec![r("ann@example.org"), r("Ann@Example.org"), r("bob@example.org"), other.clone()];
        assert_eq!(
            without_duplicates(all.clone(), 1000, false),
            [r("ann@example.org"), r("bob@example.org")]
        );
        assert_eq!(without_duplicates(all, 1000, true), [r("ann@example.org"), r("bob@example.org"), other]);
    }
}
