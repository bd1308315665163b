//! Variable envelope return paths: a sender that names the recipient, so that a bounce tells whom it is about.

use crate::Address;

/// `owner-list@origin` and `user@domain` give `owner-list+user=domain@origin` with the delimiters `+=`.
///
/// Nothing changes for the null sender, and for delimiters that are not two.
pub fn verp_sender(sender: &Address, recipient: &Address, delimiters: &[u8]) -> Address {
    let (Some(origin), &[before, between]) = (sender.domain(), delimiters) else { return sender.clone() };
    let mut out = sender.local_part().to_vec();
    out.push(before);
    out.extend_from_slice(recipient.local_part());
    if let Some(domain) = recipient.domain() {
        out.push(between);
        out.extend_from_slice(domain);
    }
    out.push(b'@');
    out.extend_from_slice(origin);
    Address::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_stands_in_the_sender() {
        for (sender, recipient, delimiters, expected) in [
            ("owner-list@origin", "user@domain", "+=", "owner-list+user=domain@origin"),
            ("l@o", "user", "-!", "l-user@o"),
            ("", "user@domain", "+=", ""),
            ("l@o", "user@domain", "+", "l@o"),
        ] {
            let (sender, recipient) = (Address::from(sender), Address::from(recipient));
            assert_eq!(verp_sender(&sender, &recipient, delimiters.as_bytes()), Address::from(expected));
        }
    }
}
