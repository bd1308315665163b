//! The recipients of a message: each one once.

use mail::Recipient;
use std::collections::HashSet;

/// Drops recipients that are there already: same address in either case, same original address, same options.
///
/// Remembers at most `limit` (0: all), as `duplicate_filter_limit` says; the order stays.
pub fn without_duplicates(recipients: Vec<Recipient>, limit: usize) -> Vec<Recipient> {
    if recipients.len() < 2 {
        return recipients;
    }
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let key = (
            recipient.address.as_bytes().to_ascii_lowercase(),
            recipient.original.as_bytes().to_ascii_lowercase(),
            recipient.dsn_orcpt.clone(),
            recipient.notify,
        );
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
        assert_eq!(without_duplicates(all, 1000), [r("ann@example.org"), r("bob@example.org"), other]);
    }
}
