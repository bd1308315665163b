//! Envelope addresses as clients write them: `<a@b>`, `a@b`, quotes, source routes, and what is no address.
//!
//! As tolerant as Postfix's `extract_addr`; what comes out is an [`Address`] in internal form.

use mail::Address;

/// How strict to be with an address.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `<>` is an address (senders).
    pub may_be_null: bool,
    /// `strict_rfc821_envelopes`.
    pub strict: bool,
    /// Bytes outside ASCII are letters (`smtputf8_enable`).
    pub utf8: bool,
}

/// The address that `word` holds, or `None` where it is no valid one.
pub fn parse(word: &[u8], rules: Rules) -> Option<Address> {
    let inner = match word.iter().position(|&b| b == b'<' || b == b'"') {
        Some(open) if word[open] == b'<' => {
            let close = end_of_angle(word, open)?;
            // A name may stand before the address, but nothing behind it.
            if close + 1 < word.len() || (rules.strict && open > 0) {
                return None;
            }
            &word[open + 1..close]
        }
        _ if rules.strict => return None,
        _ => word,
    };
    let local_and_domain = without_route(inner);
    let internal = internal_form(local_and_domain)?;
    if internal.is_empty() {
        return rules.may_be_null.then(Address::null);
    }
    let address = Address::new(internal);
    let valid = match address.domain() {
        None => true,
        Some(domain) => is_valid_domain(domain, rules.utf8),
    };
    valid.then_some(address)
}

fn end_of_angle(word: &[u8], open: usize) -> Option<usize> {
    let mut in_quotes = false;
    let mut i = open + 1;
    while i < word.len() {
        match word[i] {
            b'\\' => i += 1,
            b'"' => in_quotes = !in_quotes,
            b'>' if !in_quotes => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

/// RFC 5321 appendix C: a source route is accepted and ignored.
fn without_route(path: &[u8]) -> &[u8] {
    let path = path.trim_ascii();
    match path.iter().position(|&b| b == b':') {
        Some(colon) if path.first() == Some(&b'@') => path[colon + 1..].trim_ascii(),
        _ => path,
    }
}

/// Removes quotes, escapes and comments; `None` for two addresses or a quote without end.
fn internal_form(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let (mut in_quotes, mut in_literal, mut comment) = (false, false, 0u32);
    let mut bytes = path.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => {
                let escaped = bytes.next()?;
                if comment == 0 {
                    out.push(escaped);
                }
            }
            b'(' if !in_quotes && !in_literal => comment += 1,
            b')' if comment > 0 => comment -= 1,
            _ if comment > 0 => {}
            b'"' if !in_literal => in_quotes = !in_quotes,
            _ if in_quotes => out.push(b),
            b'[' => {
                in_literal = true;
                out.push(b);
            }
            b']' => {
                in_literal = false;
                out.push(b);
            }
            _ if in_literal => out.push(b),
            b',' | b';' | b'<' => return None,
            // One bracket too many, as `a@b>`.
            b'>' => {}
            b if b.is_ascii_whitespace() => return None,
            _ => out.push(b),
        }
    }
    (!in_quotes && !in_literal && comment == 0).then_some(out)
}

/// Longest domain and label (RFC 1035 2.3.4).
const DOMAIN_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// Whether `domain` is a host name or an address literal; one trailing dot is tolerated.
pub fn is_valid_domain(domain: &[u8], utf8: bool) -> bool {
    if let Some(literal) = domain.strip_prefix(b"[") {
        return literal.strip_suffix(b"]").is_some_and(is_address);
    }
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let labels_ok = domain.split(|&b| b == b'.').all(|label| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label
                .iter()
                .all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || (utf8 && b >= 0x80))
    });
    // A name of digits only is an address without brackets (resolve_numeric_domain = no).
    let numeric = domain.iter().all(|&b| b.is_ascii_digit() || b == b'.');
    domain.len() <= DOMAIN_MAX && labels_ok && !numeric
}

fn is_address(literal: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(literal) else { return false };
    match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => text[5..].parse::<std::net::Ipv6Addr>().is_ok(),
        _ => text.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Rules = Rules { may_be_null: true, strict: false, utf8: true };
    const RECIPIENT: Rules = Rules { may_be_null: false, strict: false, utf8: true };
    const STRICT: Rules = Rules { may_be_null: false, strict: true, utf8: true };

    fn parsed(text: &str, rules: Rules) -> Option<String> {
        parse(text.as_bytes(), rules).map(|a| String::from_utf8_lossy(a.as_bytes()).into_owned())
    }

    #[test]
    fn brackets_quotes_comments_and_routes_are_understood() {
        for (text, address) in [
            ("<a@b.c>", "a@b.c"),
            ("a@b.c", "a@b.c"),
            ("<\"a b\"@b.c>", "a b@b.c"),
            ("\"a>b\"@b.c", "a>b@b.c"),
            ("<a(x)@b.c>", "a@b.c"),
            ("<@r1,@r2:a@b.c>", "a@b.c"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
            ("<postmaster>", "postmaster"),
            ("<a\\@b@b.c>", "a@b@b.c"),
            ("<ä@ü.example>", "ä@ü.example"),
            ("<a@b.c.>", "a@b.c."),
            ("foo<a@b.c>", "a@b.c"),
            ("a@b.c>", "a@b.c"),
        ] {
            assert_eq!(parsed(text, RECIPIENT).as_deref(), Some(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "<>",
            "",
            "<a@b,c@d>",
            "<a@-b>",
            "<a@b..c>",
            "<a@[1.2.3]>",
            "<a@1.2.3.4>",
            "<a@b c>",
            "<a b@c>",
            "<a@b>x",
            "<a\\",
            "<a",
        ] {
            assert_eq!(parsed(text, RECIPIENT), None, "{text}");
        }
        assert_eq!(parsed("<>", SENDER).as_deref(), Some(""));
    }

    #[test]
    fn strict_envelopes_need_brackets_and_nothing_else() {
        assert_eq!(parsed("<a@b.c>", STRICT).as_deref(), Some("a@b.c"));
        assert_eq!(parsed("<@r:a@b.c>", STRICT).as_deref(), Some("a@b.c"), "RFC 5321 appendix C");
        for text in ["a@b.c", "x<a@b.c>", "<a@b.c>x"] {
            assert_eq!(parsed(text, STRICT), None, "{text}");
        }
    }
}
