//! Which of IPv4 and IPv6 are in use: Postfix's `inet_protocols`.

use std::net::IpAddr;

/// The address families in use; at least one in any value made by [`Families::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const ALL: Families = Families { v4: true, v6: true };

    /// Reads the value of `inet_protocols`: `all`, `ipv4`, `ipv6`, or a list; `None` where a word is something else.
    pub fn parse(value: &str) -> Option<Families> {
        let mut families = Families { v4: false, v6: false };
        for word in value.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "all" => families = Families::ALL,
                "ipv4" => families.v4 = true,
                "ipv6" => families.v6 = true,
                _ => return None,
            }
        }
        (families.v4 || families.v6).then_some(families)
    }

    /// Whether an address is of a family in use.
    pub fn allow(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_inet_protocols_are_understood() {
        assert_eq!(Families::parse("all"), Some(Families::ALL));
        assert_eq!(Families::parse("ipv4"), Some(Families { v4: true, v6: false }));
        assert_eq!(Families::parse("IPv6, ipv4"), Some(Families::ALL));
        assert_eq!(Families::parse(""), None);
        assert_eq!(Families::parse("ipv5"), None);
    }
}
