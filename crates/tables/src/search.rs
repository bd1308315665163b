//! Search orders: which keys of an address, domain or client are looked up, one after another.
//!
//! Postfix: access(5), transport(5), virtual(5), split_addr.c.

use mail::Address;
use std::net::IpAddr;

/// A key to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key as written; the table folds its case.
    pub text: String,
    /// Whether it is a part of what is searched; tables of patterns are asked for the whole only.
    pub part: bool,
}

fn whole(text: impl Into<String>) -> Key {
    Key { text: text.into(), part: false }
}

fn part(text: impl Into<String>) -> Key {
    Key { text: text.into(), part: true }
}

/// How a domain stands for its subdomains (`parent_domain_matches_subdomains`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// `example.org` stands for its subdomains too.
    Bare,
    /// Only `.example.org` stands for them.
    Dotted,
}

impl Parents {
    /// The style of the list or table `name` where `setting` is parent_domain_matches_subdomains.
    pub fn of(name: &str, setting: &[String]) -> Parents {
        if setting.iter().any(|n| n == name) { Parents::Bare } else { Parents::Dotted }
    }
}

/// The domain and its parents: `a.example.org`, `example.org`, `org` or `a.example.org`, `.example.org`, `.org`.
/// A name of digits and dots has no parents.
pub fn domain(name: &str, parents: Parents) -> Vec<Key> {
    let mut keys = vec![whole(name)];
    let mut rest = name;
    if name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return keys;
    }
    while let Some(at) = rest.get(1..).and_then(|r| r.find('.')) {
        rest = match parents {
            Parents::Bare => &rest[at + 2..],
            Parents::Dotted => &rest[at + 1..],
        };
        if !rest.is_empty() {
            keys.push(part(rest));
        }
    }
    keys
}

/// The key of a client's address where its networks do not count.
pub fn address(address: IpAddr) -> Key {
    whole(address.to_canonical().to_string())
}

/// Keys of a client's address: `192.0.2.7`, `192.0.2`, `192.0`, `192`; for IPv6 the same with colons.
pub fn client_address(address: IpAddr) -> Vec<Key> {
    let address = address.to_canonical();
    let delimiter = if address.is_ipv4() { '.' } else { ':' };
    let text = address.to_string();
    let mut keys = vec![whole(text.as_str())];
    let mut rest = text.as_str();
    while let Some(at) = rest.rfind(delimiter) {
        rest = &rest[..at];
        if !rest.is_empty() {
            keys.push(part(rest));
        }
    }
    keys
}

/// Keys of a client's name: the name and its parents.
pub fn client_name(name: &str, parents: Parents) -> Vec<Key> {
    domain(name, parents)
}

/// Keys of access(5) for an e-mail address: with and without extension, the domain and its parents, `user@`.
/// The null sender's key is given by the caller (`smtpd_null_access_lookup_key`).
pub fn access_address(address: &str, delimiters: &str, parents: Parents) -> Vec<Key> {
    let mut keys = vec![whole(address)];
    let Some((local, host)) = address.rsplit_once('@') else { return keys };
    let bare = split_extension(local, delimiters).map(|(user, _)| user);
    if let Some(user) = bare {
        keys.push(part(format!("{user}@{host}")));
    }
    keys.extend(domain(host, parents).into_iter().map(|key| part(key.text)));
    keys.push(part(format!("{local}@")));
    if let Some(user) = bare {
        keys.push(part(format!("{user}@")));
    }
    keys
}

/// Keys of transport(5): the address with and without extension, the domain and its parents, `*`.
/// `host` is the recipient's domain, or that which stands for an address without one.
pub fn transport(address: &str, host: &str, delimiters: &str, parents: Parents) -> Vec<Key> {
    let mut keys = Vec::new();
    push_both(&mut keys, whole(address));
    if let Some((local, domain)) = address.rsplit_once('@')
        && let Some((user, _)) = split_extension(local, delimiters)
    {
        push_both(&mut keys, part(format!("{user}@{domain}")));
    }
    keys.extend(domain(host, parents).into_iter().map(|key| part(key.text)));
    keys.push(part("*"));
    keys
}

/// Keys of virtual(5), canonical(5) and the like: `user+ext@domain`, `user@domain`; where the domain is ours
/// (`ours`: myorigin, mydestination or an address of ours) `user+ext`, `user`; then `@domain`. A local part that wants
/// quotes is asked for with them first.
pub fn mapping(address: &str, delimiters: &str, ours: bool) -> Vec<Key> {
    let mut keys = Vec::new();
    push_both(&mut keys, whole(address));
    let Some((local, host)) = address.rsplit_once('@') else {
        if let Some((user, _)) = split_extension(address, delimiters) {
            push_both(&mut keys, part(user));
        }
        return keys;
    };
    let bare = split_extension(local, delimiters).map(|(user, _)| user);
    if let Some(user) = bare {
        push_both(&mut keys, part(format!("{user}@{host}")));
    }
    if ours {
        push_both(&mut keys, part(local));
        if let Some(user) = bare {
            push_both(&mut keys, part(user));
        }
    }
    keys.push(part(format!("@{host}")));
    keys
}

/// A key with a local part, before it the same with quotes where RFC 5321 wants some.
fn push_both(keys: &mut Vec<Key>, key: Key) {
    let text = if key.text.contains('@') {
        Address::from(key.text.as_str()).to_external()
    } else {
        // With a domain behind it: alone, it would be taken for a whole address.
        let mut text = Address::new(format!("{}@", key.text)).to_external();
        text.pop();
        text
    };
    match String::from_utf8(text) {
        Ok(text) if text != key.text && !key.text.is_empty() && !key.text.starts_with('@') => {
            keys.push(Key { text, part: key.part });
        }
        _ => {}
    }
    keys.push(key);
}

/// Keys of mailbox, recipient and sender lists (virtual_mailbox_maps, relay_recipient_maps, …): as `mapping`.
pub fn mailbox(address: &str, delimiters: &str) -> Vec<Key> {
    mapping(address, delimiters, false)
}

/// Stands among delimiters where the addresses of owners and requests have extensions like others.
const OWNERS_TOO: char = '\0';

/// The delimiters of the searches: `recipient_delimiter`, and whether owner-LIST and LIST-request are left whole where
/// `-` is among them (`owner_request_special`).
pub fn delimiters(recipient_delimiter: &str, owner_request_special: bool) -> String {
    let mut all = recipient_delimiter.to_owned();
    if !owner_request_special && !all.is_empty() {
        all.push(OWNERS_TOO);
    }
    all
}

/// Divides a local part into user and extension at the first of the delimiters; nothing where it has no extension,
/// or is one of the names that never have one.
pub fn split_extension<'a>(local: &'a str, delimiters: &str) -> Option<(&'a str, &'a str)> {
    let is = |name: &str| local.eq_ignore_ascii_case(name);
    if delimiters.is_empty() || is("postmaster") || is("mailer-daemon") || is("double-bounce") {
        return None;
    }
    if delimiters.contains('-') && !delimiters.contains(OWNERS_TOO) {
        let lower = local.to_ascii_lowercase();
        if lower.starts_with("owner-") || lower.len() > "-request".len() && lower.ends_with("-request") {
            return None;
        }
    }
    let at = local.find(|c| delimiters.contains(c)).filter(|&at| at > 0)?;
    let delimiter = local[at..].chars().next()?;
    Some((&local[..at], &local[at + delimiter.len_utf8()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(keys: &[Key]) -> Vec<&str> {
        keys.iter().map(|k| k.text.as_str()).collect()
    }

    #[test]
    fn domains_have_parents_in_the_style_of_the_list() {
        assert_eq!(texts(&domain("a.b.org", Parents::Bare)), ["a.b.org", "b.org", "org"]);
        assert_eq!(texts(&domain("a.b.org", Parents::Dotted)), ["a.b.org", ".b.org", ".org"]);
        assert_eq!(texts(&domain("192.0.2.1", Parents::Bare)), ["192.0.2.1"]);
        assert_eq!(texts(&domain("", Parents::Bare)), [""]);
        assert_eq!(texts(&domain("a.", Parents::Bare)), ["a."]);
    }

    #[test]
    fn client_addresses_have_networks() {
        let keys =
            |a: &str| client_address(a.parse().unwrap()).into_iter().map(|k| k.text).collect::<Vec<_>>();
        assert_eq!(keys("192.0.2.7"), ["192.0.2.7", "192.0.2", "192.0", "192"]);
        assert_eq!(keys("::ffff:192.0.2.7"), ["192.0.2.7", "192.0.2", "192.0", "192"]);
        assert_eq!(keys("2001:db8::7"), ["2001:db8::7", "2001:db8:", "2001:db8", "2001"]);
        assert_eq!(keys("::1"), ["::1", ":"]);
    }

    #[test]
    fn addresses_are_searched_as_access_5_says() {
        assert_eq!(
            texts(&access_address("ann+x@a.org", "+", Parents::Bare)),
            ["ann+x@a.org", "ann@a.org", "a.org", "org", "ann+x@", "ann@"]
        );
        assert_eq!(
            texts(&access_address("ann@a.org", "+", Parents::Dotted)),
            ["ann@a.org", "a.org", ".org", "ann@"]
        );
        assert_eq!(texts(&access_address("<>", "+", Parents::Bare)), ["<>"]);
    }

    #[test]
    fn addresses_are_searched_as_transport_5_and_virtual_5_say() {
        assert_eq!(
            texts(&transport("ann+x@a.org", "a.org", "+", Parents::Dotted)),
            ["ann+x@a.org", "ann@a.org", "a.org", ".org", "*"]
        );
        assert_eq!(
            texts(&mapping("ann+x@a.org", "+", true)),
            ["ann+x@a.org", "ann@a.org", "ann+x", "ann", "@a.org"]
        );
        assert_eq!(texts(&mailbox("ann@a.org", "+")), ["ann@a.org", "@a.org"]);
        assert_eq!(texts(&mailbox("", "+")), [""]);
    }

    #[test]
    fn what_wants_quotes_is_asked_for_with_them_first() {
        assert_eq!(
            texts(&mapping("a,b+x@a.org", "+", true)),
            [
                "\"a,b+x\"@a.org",
                "a,b+x@a.org",
                "\"a,b\"@a.org",
                "a,b@a.org",
                "\"a,b+x\"",
                "a,b+x",
                "\"a,b\"",
                "a,b",
                "@a.org"
            ]
        );
        assert_eq!(texts(&mapping("<>", "", true)), ["\"<>\"", "<>"]);
        assert_eq!(
            texts(&transport("a+,@a.org", "a.org", "+", Parents::Dotted))[..3],
            ["\"a+,\"@a.org", "a+,@a.org", "a@a.org"]
        );
    }

    #[test]
    fn some_names_have_no_extension() {
        assert_eq!(split_extension("ann-x+y", "+-"), Some(("ann", "x+y")));
        for name in
            ["owner-list", "list-request", "Postmaster", "MAILER-DAEMON", "double-bounce", "-x", "ann"]
        {
            assert_eq!(split_extension(name, "-"), None, "{name}");
        }
        assert_eq!(split_extension("ann-request", "+"), None);
        let all = delimiters("-", false);
        assert_eq!(split_extension("owner-list", &all), Some(("owner", "list")));
        assert_eq!(split_extension("list-request", &all), Some(("list", "request")));
        assert_eq!(split_extension("owner-list", &delimiters("-", true)), None);
    }
}
