//! Aliases that were followed, whose sender wants to hear of it (RFC 3461 5.2.7.3); the envelope keeps them until then.

use crate::{Address, Envelope, Notify, Recipient};

/// The attribute that holds them: address, original address and ORCPT of each, divided by NUL, which no address has.
const ATTRIBUTE: &str = "posthaste_expanded";

impl Envelope {
    /// Keeps aliases that were followed, and forgets those of before.
    pub fn set_expanded(&mut self, aliases: &[Recipient]) {
        self.attributes.retain(|(name, _)| name != ATTRIBUTE);
        if aliases.is_empty() {
            return;
        }
        let fields = aliases.iter().flat_map(|alias| {
            [alias.address.as_bytes(), alias.original.as_bytes(), alias.dsn_orcpt.as_bytes()]
        });
        let value = fields.collect::<Vec<_>>().join(&0);
        self.attributes.push((ATTRIBUTE.to_owned(), value));
    }

    /// The aliases that were followed.
    pub fn expanded(&self) -> Vec<Recipient> {
        let Some(value) = self.attribute(ATTRIBUTE) else { return Vec::new() };
        let fields: Vec<&[u8]> = value.split(|&byte| byte == 0).collect();
        let alias = |fields: &[&[u8]]| Recipient {
            address: Address::new(fields[0]),
            original: Address::new(fields[1]),
            dsn_orcpt: String::from_utf8_lossy(fields[2]).into_owned(),
            notify: Notify::SUCCESS,
        };
        fields.chunks_exact(3).map(alias).collect()
    }

    /// The recipient of this number; those behind the last are the aliases that were followed.
    pub fn recipient_or_alias(&self, index: u32) -> Option<Recipient> {
        let index = index as usize;
        match self.recipients.get(index) {
            Some(recipient) => Some(recipient.clone()),
            None => self.expanded().into_iter().nth(index - self.recipients.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn aliases_are_found_behind_the_recipients() {
        let mut envelope = Envelope::new("s@example.net".into(), Timestamp::from_secs(0));
        envelope.recipients = vec![Recipient::new("a@example.org".into())];
        let alias = |address: &str, orcpt: &str| Recipient {
            notify: Notify::SUCCESS,
            dsn_orcpt: orcpt.into(),
            ..Recipient::new(address.into())
        };
        let aliases = [alias("list@example.org", ""), alias("ann@example.org", "rfc822;x@y")];
        envelope.set_expanded(&aliases);
        assert_eq!(envelope.expanded(), aliases);
        assert_eq!(envelope.recipient_or_alias(0).unwrap().address, "a@example.org".into());
        assert_eq!(envelope.recipient_or_alias(2).as_ref(), Some(&aliases[1]));
        assert_eq!(envelope.recipient_or_alias(3), None);
        envelope.set_expanded(&[]);
        assert!(envelope.expanded().is_empty() && envelope.attributes.is_empty());
    }
}
