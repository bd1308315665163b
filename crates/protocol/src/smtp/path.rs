//! Envelope addresses as clients write them: `<a@b>`, `a@b`, quotes, source routes, and what is no address.
//!
//! As tolerant as Postfix's `extract_addr`; what comes out is an [`Address`] in internal form.

use mail::Address;
use mail::domain::is_host_name;
use std::net::IpAddr;

/// How strict to be with an address.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `<>` is an address (senders).
    pub may_be_null: bool,
    /// `strict_rfc821_envelopes`.
    pub strict: bool,
    /// The domain may be in UTF-8: SMTPUTF8 was asked for.
    pub utf8: bool,
}

/// The address that `word` holds, or `None` where it is no valid one.
pub fn parse(word: &[u8], rules: Rules) -> Option<Address> {
    let inner = match word.iter().position(|&b| b == b'<' || b == b'"') {
        Some(open) if word[open] == b'<' => {
            if rules.strict && open > 0 {
                return None;
            }
            inside_angles(word, open)?
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

/// What the first `<` encloses. A name may stand before it, but nothing behind it; brackets may be doubled.
fn inside_angles(word: &[u8], open: usize) -> Option<&[u8]> {
    let inner = open + word[open..].iter().take_while(|&&b| b == b'<').count();
    let close = end_of_angle(word, inner)?;
    word[close..].iter().all(|&b| b == b'>').then(|| &word[inner..close])
}

fn end_of_angle(word: &[u8], inner: usize) -> Option<usize> {
    let mut in_quotes = false;
    let mut i = inner;
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
    let mut path = path.trim_ascii();
    while path.first() == Some(&b'@')
        && let Some(colon) = path.iter().position(|&b| b == b':')
    {
        path = path[colon + 1..].trim_ascii();
    }
    path
}

/// Removes quotes, escapes, comments, and blanks beside `@`, `.` and their like; `None` for two addresses, two words
/// with nothing between them, or a quote without end.
fn internal_form(path: &[u8]) -> Option<Vec<u8>> {
    let mut form = Form {
        out: Vec::with_capacity(path.len()),
        inside: Inside::Nothing,
        behind: Behind::Divider,
        apart: false,
    };
    let mut bytes = path.iter().copied();
    while let Some(b) = bytes.next() {
        if b == b'\\' {
            form.text(bytes.next()?)?;
        } else {
            form.byte(b)?;
        }
    }
    form.finish()
}

/// An address on its way to the internal form.
struct Form {
    out: Vec<u8>,
    inside: Inside,
    behind: Behind,
    /// A blank or a comment came since.
    apart: bool,
}

#[derive(Clone, Copy)]
enum Inside {
    Nothing,
    Quotes,
    Literal,
    /// So many comments within each other.
    Comment(u32),
}

/// What the next thing would stand behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// `@`, `.`, or nothing.
    Divider,
    /// Text without quotes.
    Word,
    /// Quotes or an address literal: a whole word.
    Whole,
}

impl Form {
    fn byte(&mut self, b: u8) -> Option<()> {
        match (self.inside, b) {
            (Inside::Comment(depth), b'(') => self.inside = Inside::Comment(depth + 1),
            (Inside::Comment(1), b')') | (Inside::Quotes, b'"') => self.inside = Inside::Nothing,
            (Inside::Comment(depth), b')') => self.inside = Inside::Comment(depth - 1),
            (Inside::Literal, b']') => {
                self.inside = Inside::Nothing;
                self.out.push(b);
            }
            (Inside::Nothing, b'(') => (self.inside, self.apart) = (Inside::Comment(1), true),
            (Inside::Nothing, b'"') => self.whole(Inside::Quotes)?,
            (Inside::Nothing, b'[') => {
                self.whole(Inside::Literal)?;
                self.out.push(b);
            }
            (Inside::Nothing, b',' | b';' | b'<') => return None,
            // One bracket too many, as `a@b>`.
            (Inside::Nothing, b'>') => {}
            (Inside::Nothing, b'@' | b'.' | b':') => {
                (self.behind, self.apart) = (Behind::Divider, false);
                self.out.push(b);
            }
            (Inside::Nothing, b) if b.is_ascii_whitespace() => self.apart = true,
            _ => self.text(b)?,
        }
        Some(())
    }

    /// A byte that means nothing but itself.
    fn text(&mut self, b: u8) -> Option<()> {
        match self.inside {
            Inside::Comment(_) => return Some(()),
            Inside::Quotes | Inside::Literal => {}
            Inside::Nothing
                if self.behind == Behind::Whole || (self.behind == Behind::Word && self.apart) =>
            {
                return None;
            }
            Inside::Nothing => (self.behind, self.apart) = (Behind::Word, false),
        }
        self.out.push(b);
        Some(())
    }

    /// Quotes or a literal begin.
    fn whole(&mut self, inside: Inside) -> Option<()> {
        if self.behind != Behind::Divider {
            return None;
        }
        (self.inside, self.behind, self.apart) = (inside, Behind::Whole, false);
        Some(())
    }

    /// A comment or a literal without end is closed by the address's end.
    fn finish(mut self) -> Option<Vec<u8>> {
        match self.inside {
            Inside::Quotes => return None,
            Inside::Literal => self.out.push(b']'),
            Inside::Nothing | Inside::Comment(_) => {}
        }
        Some(self.out)
    }
}

/// Whether `domain` is a host name or an address literal; one trailing dot is tolerated.
pub fn is_valid_domain(domain: &[u8], utf8: bool) -> bool {
    if domain.starts_with(b"[") {
        return std::str::from_utf8(domain).ok().and_then(address_literal).is_some();
    }
    is_host_name(domain.strip_suffix(b".").unwrap_or(domain), utf8)
}

/// The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3).
pub fn address_literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inner[5..].parse().ok().map(IpAddr::V6),
        _ => inner.parse().ok().map(IpAddr::V4),
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
            ("<<a@b.c>>", "a@b.c"),
            ("<a@b.c>>", "a@b.c"),
            ("<a@[192.0.2.1>", "a@[192.0.2.1]"),
            ("<a(@b.c>", "a"),
            ("< (x) a @ b . c (y) >", "a@b.c"),
            ("<a\\ b@c>", "a b@c"),
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
            "<\"a\" \"b\"@c>",
            "<a(x)b@c>",
            "x\"a b\"@c",
            "<a@[192.0.2.1)>",
            "<a@b><c@d>",
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
