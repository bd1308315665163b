//! Which texts are domains: host names and address literals.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a whole name and of one label (RFC 1035 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

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
        if is_name(text, utf8) { Domain::Name } else { Domain::Invalid }
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

/// Letters, digits, `-` (not first or last in a label), `_`, and not digits and dots alone.
fn is_name(text: &str, utf8: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || (utf8 && !c.is_ascii());
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= LABEL_MAX
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(letter)
    };
    text.len() <= NAME_MAX
        && text.split('.').all(label)
        && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}
