//! `postscreen_dnsbl_sites`: DNS lists with the answers that count and their weights.
//!
//! `domain`, `domain=127.0.0.[2..11;13]`, `domain*weight`, `domain=pattern*weight`.

use crate::dns_lists::Pattern;
use std::net::Ipv4Addr;

/// One word of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// The list's domain.
    pub domain: String,
    /// Which answers count; all without one.
    pattern: Option<Pattern>,
    /// What such an answer adds to the score.
    pub weight: i32,
}

impl Site {
    /// Reads a word; the error says what is wrong.
    pub fn parse(word: &str) -> Result<Site, String> {
        let (rest, weight) = match word.rsplit_once('*') {
            Some((rest, weight)) => {
                let number = weight.parse();
                (
                    rest,
                    number
                        .map_err(|_| format!("expected a number behind `*`, found `{weight}` in `{word}`"))?,
                )
            }
            None => (word, 1),
        };
        let (domain, pattern) = match rest.split_once('=') {
            Some((domain, pattern)) => (domain, Some(Pattern::parse(pattern)?)),
            None => (rest, None),
        };
        let valid = !domain.is_empty()
            && domain.split('.').all(|label| !label.is_empty() && label.len() < 64)
            && domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !valid {
            return Err(format!("expected a domain, found `{domain}` in `{word}`"));
        }
        Ok(Site { domain: domain.to_ascii_lowercase(), pattern, weight })
    }

    /// Whether an answer counts.
    pub fn counts(&self, answer: Ipv4Addr) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_has_a_pattern_and_a_weight() {
        let site = Site::parse("A.bl=127.0.[0..2].[1;5..7]*-3").unwrap();
        assert_eq!((site.domain.as_str(), site.weight), ("a.bl", -3));
        for (address, counts) in
            [("127.0.0.1", true), ("127.0.2.6", true), ("127.0.3.1", false), ("127.0.0.4", false)]
        {
            assert_eq!(site.counts(address.parse().unwrap()), counts, "{address}");
        }
        assert!(Site::parse("a.bl").unwrap().counts("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_site_is_told() {
        for (word, told) in [
            ("a.bl=127.0.0*3", "expected a pattern like 127.0.[0..255].[1;3], found `127.0.0`"),
            ("a.bl=127.0.0.[5..2]", "expected a pattern like 127.0.[0..255].[1;3], found `127.0.0.[5..2]`"),
            ("a.bl=127.0.0.1.5", "expected a pattern like 127.0.[0..255].[1;3], found `127.0.0.1.5`"),
            ("a.bl*x", "expected a number behind `*`, found `x` in `a.bl*x`"),
            ("a..bl", "expected a domain, found `a..bl` in `a..bl`"),
            ("=127.0.0.1", "expected a domain, found `` in `=127.0.0.1`"),
        ] {
            assert_eq!(Site::parse(word).unwrap_err(), told);
        }
    }
}
