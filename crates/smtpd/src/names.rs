//! What a host name looks like, as Postfix sees it in HELO and in addresses.

pub use protocol::smtp::path::address_literal as literal;

/// Whether it may be a host's name.
pub fn is_host_name(name: &str) -> bool {
    mail::domain::is_host_name(name.as_bytes(), false)
}

/// Without one final dot.
pub fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The domain of an address, behind its last `@`; empty where it has none.
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_and_what_only_looks_like_one() {
        for name in ["a", "a.example", "a_b.example", "1a.example", "xn--4ca.example"] {
            assert!(is_host_name(name), "{name}");
        }
        for name in
            ["", ".", "a..b", "-a.example", "a-.example", "192.0.2.1", "a b", "a.example.", "ä.example"]
        {
            assert!(!is_host_name(name), "{name}");
        }
    }

    #[test]
    fn literals_name_their_family() {
        assert_eq!(literal("[192.0.2.1]"), "192.0.2.1".parse().ok());
        assert_eq!(literal("[IPv6:2001:db8::1]"), "2001:db8::1".parse().ok());
        for wrong in ["192.0.2.1", "[192.0.2.1", "[2001:db8::1]", "[192.0.2.256]", "[]"] {
            assert_eq!(literal(wrong), None, "{wrong}");
        }
    }
}
