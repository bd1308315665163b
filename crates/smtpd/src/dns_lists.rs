//! Lists that answer in DNS (RFC 5782): what they are asked for a client, and which of their answers count.

use std::net::{IpAddr, Ipv4Addr};

/// An address with ranges for its octets: `127.0.0.[2..11;13]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern([Vec<(u8, u8)>; 4]);

impl Pattern {
    /// Reads it; the error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = || format!("expected a pattern like 127.0.[0..255].[1;3], found `{text}`");
        let mut octets: [Vec<(u8, u8)>; 4] = Default::default();
        let mut rest = text;
        for (at, octet) in octets.iter_mut().enumerate() {
            if at > 0 {
                rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            }
            let ranges;
            (ranges, rest) = match rest.strip_prefix('[') {
                Some(inner) => inner.split_once(']').ok_or_else(wrong)?,
                None => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
            };
            for range in ranges.split(';') {
                let (low, high) = range.split_once("..").unwrap_or((range, range));
                let (low, high) = (low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
                if low > high {
                    return Err(wrong());
                }
                octet.push((low, high));
            }
        }
        if rest.is_empty() { Ok(Pattern(octets)) } else { Err(wrong()) }
    }

    /// Whether an answer counts.
    pub(crate) fn matches(&self, address: Ipv4Addr) -> bool {
        let octets = self.0.iter().zip(address.octets());
        octets
            .into_iter()
            .all(|(ranges, octet)| ranges.iter().any(|(low, high)| (*low..=*high).contains(&octet)))
    }
}

/// The name that a list is asked for (RFC 5782 2.1, 2.4).
pub(crate) fn question(address: IpAddr, domain: &str) -> String {
    format!("{}.{domain}", reversed(address))
}

/// An address as it stands in such a name: its octets or nibbles backwards.
pub(crate) fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => ip.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]);
            nibbles.map(|n| format!("{n:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_for_the_address_backwards() {
        assert_eq!(question("192.0.2.1".parse().unwrap(), "a.bl"), "1.2.0.192.a.bl");
        let v6 = question("2001:db8::5".parse().unwrap(), "a.bl");
        assert!(v6.starts_with("5.0.0.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.a.bl"), "{v6}");
    }

    #[test]
    fn addresses_stand_backwards() {
        assert_eq!(reversed("192.0.2.10".parse().unwrap()), "10.2.0.192");
        let v6 = reversed("2001:db8::1".parse().unwrap());
        assert_eq!(v6, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2");
    }
}
