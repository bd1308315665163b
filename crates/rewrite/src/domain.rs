//! Which texts are domains: host names and address literals.

use mail::domain::is_host_name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What stands behind the `@` of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A host's or domain's name.
    Name,
    /// `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
    /// `192.0.2.1` without brackets.
    Numeric,
    /// Neither.
    Invalid,
}

impl Domain {
    /// What `text` is; names may hold UTF-8 where `utf8` says so.
    pub fn of(text: &str, utf8: bool) -> Domain {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return literal(inner).map_or(Domain::Invalid, Domain::Literal);
        }
        if text.parse::<Ipv4Addr>().is_ok() {
            return Domain::Numeric;
        }
        if is_host_name(text.as_bytes(), utf8) { Domain::Name } else { Domain::Invalid }
    }
}

fn literal(inner: &str) -> Option<IpAddr> {
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            inner[5..].parse::<Ipv6Addr>().ok().map(IpAddr::from)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}
