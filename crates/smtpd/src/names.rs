//! What a host name looks like, as Postfix sees it in HELO and in addresses.

use std::net::IpAddr;

/// Bytes of a name at most, and of a label (RFC 1035 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// Whether it may be a host's name: labels of letters, digits, `-` and `_`, not all digits.
pub fn is_host_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(letter)
    };
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.len() <= NAME_MAX && !numeric && name.split('.').all(label)
}

/// Without one final dot.
pub fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3).
pub fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner[5..].parse().ok().filter(IpAddr::is_ipv6),
        _ => inner.parse().ok().filter(IpAddr::is_ipv4),
    }
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
