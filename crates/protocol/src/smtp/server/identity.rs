//! What XCLIENT and XFORWARD say of a client: attributes in xtext, checked one by one.
//!
//! Postfix: XCLIENT_README, XFORWARD_README. A value that is no xtext stands for itself, and one ends at its first NUL.

use crate::smtp::command::Word;
use crate::smtp::path;
use mail::{Dsn, Reply};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The attributes of XCLIENT, as EHLO announces them.
pub const XCLIENT_ATTRIBUTES: &str = "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";

/// The attributes of XFORWARD, as EHLO announces them.
pub const XFORWARD_ATTRIBUTES: &str = "NAME ADDR PROTO HELO SOURCE PORT IDENT";

/// Bytes of a value as it came, as in Postfix.
const VALUE_BYTES_MAX: usize = 255;

/// Bytes of XFORWARD's PROTO, as in Postfix.
const PROTOCOL_BYTES_MAX: usize = 64;

/// Characters that become `?`: the value goes into headers and log lines.
const UNSAFE: &[char] = &[' ', '<', '>', '(', ')', '\\', '"', ';', '@'];

/// What is said of something that may not be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// This.
    Is(T),
    /// `[UNAVAILABLE]`: nobody knows.
    Unavailable,
    /// `[TEMPUNAVAIL]`: it could not be found out now.
    NotNow,
}

/// What XCLIENT says: `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xclient {
    /// NAME; it is the reverse name, too, unless that comes behind it.
    pub name: Option<Told<String>>,
    /// REVERSE_NAME.
    pub reverse_name: Option<Told<String>>,
    /// ADDR.
    pub address: Option<Told<IpAddr>>,
    /// PORT.
    pub port: Option<Told<u16>>,
    /// LOGIN; without one nobody is logged in.
    pub login: Option<String>,
    /// DESTADDR.
    pub server_address: Option<Told<IpAddr>>,
    /// DESTPORT.
    pub server_port: Option<Told<u16>>,
    /// HELO; without one the client has yet to say it.
    pub helo: Option<String>,
    /// PROTO is ESMTP.
    pub esmtp: bool,
}

/// What XFORWARD says: it is for the log and for those who get the message, and decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xforward {
    /// NAME.
    pub name: Option<Told<String>>,
    /// ADDR.
    pub address: Option<Told<IpAddr>>,
    /// PORT.
    pub port: Option<Told<u16>>,
    /// HELO.
    pub helo: Option<Told<String>>,
    /// PROTO.
    pub protocol: Option<Told<String>>,
    /// IDENT: the message's queue id there.
    pub ident: Option<String>,
    /// SOURCE: whether headers are completed as those of our own clients.
    pub local: Option<bool>,
}

impl Xforward {
    /// Something is said of the client itself.
    pub fn tells_client(&self) -> bool {
        self.name.is_some()
            || self.address.is_some()
            || self.port.is_some()
            || self.helo.is_some()
            || self.protocol.is_some()
    }
}

impl Xclient {
    /// Reads the words behind the command; the error is the reply.
    pub fn parse(words: &[Word<'_>]) -> Result<Self, Reply> {
        let mut said = Xclient::default();
        for word in words {
            let attribute = Attribute::of(*word)?;
            let text = attribute.decoded();
            match attribute.name.as_str() {
                "NAME" => {
                    let name = host_name(&text, true).ok_or_else(|| bad("NAME", &text))?;
                    // Whether a name is known says nothing of where the address leads.
                    if let Told::Is(_) = &name {
                        said.reverse_name = Some(name.clone());
                    }
                    said.name = Some(name);
                }
                "REVERSE_NAME" => {
                    let name = host_name(&text, true).ok_or_else(|| bad("REVERSE_NAME", &text))?;
                    said.reverse_name = Some(name);
                }
                "ADDR" => said.address = Some(address(&text).ok_or_else(|| bad("ADDR", &text))?),
                "PORT" => said.port = Some(port(&text).ok_or_else(|| bad("PORT", &text))?),
                "DESTADDR" => {
                    said.server_address = Some(address(&text).ok_or_else(|| bad("DESTADDR", &text))?);
                }
                "DESTPORT" => said.server_port = Some(port(&text).ok_or_else(|| bad("DESTPORT", &text))?),
                "HELO" => said.helo = available(&text).map(safe),
                "LOGIN" => said.login = available(&text).map(printable),
                "PROTO" if text.eq_ignore_ascii_case("ESMTP") => said.esmtp = true,
                "PROTO" if text.eq_ignore_ascii_case("SMTP") => said.esmtp = false,
                "PROTO" => return Err(bad("PROTO", &text)),
                _ => return Err(attribute.unknown("XCLIENT")),
            }
        }
        Ok(said)
    }
}

impl Xforward {
    /// Adds what the words behind the command say; the error is the reply, and what was known stays as it was.
    pub fn with(&self, words: &[Word<'_>]) -> Result<Self, Reply> {
        let mut said = self.clone();
        for word in words {
            let attribute = Attribute::of(*word)?;
            // All of it is for the log.
            let text = safe(&attribute.decoded());
            match attribute.name.as_str() {
                "NAME" => said.name = Some(host_name(&text, false).ok_or_else(|| bad("NAME", &text))?),
                "ADDR" => said.address = Some(address(&text).ok_or_else(|| bad("ADDR", &text))?),
                "PORT" => said.port = Some(port(&text).ok_or_else(|| bad("PORT", &text))?),
                "HELO" => said.helo = Some(told(text)),
                "PROTO" if text.len() > PROTOCOL_BYTES_MAX => return Err(bad("PROTO", &text)),
                "PROTO" => said.protocol = Some(told(text)),
                "IDENT" => said.ident = available(&text).map(str::to_owned),
                "SOURCE" if text.eq_ignore_ascii_case("LOCAL") => said.local = Some(true),
                "SOURCE" if text.eq_ignore_ascii_case("REMOTE") => said.local = Some(false),
                // As with Postfix: of whom nobody says that he is strange.
                "SOURCE" if available(&text).is_none() => said.local = Some(true),
                "SOURCE" => return Err(bad("SOURCE", &text)),
                _ => return Err(attribute.unknown("XFORWARD")),
            }
        }
        Ok(said)
    }
}

/// `NAME=value`, the name in capitals and as it came.
struct Attribute<'a> {
    name: String,
    shown: &'a [u8],
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn of(word: Word<'a>) -> Result<Self, Reply> {
        let divide = memchr::memchr(b'=', word.text).filter(|at| at + 1 < word.text.len());
        let Some(divide) = divide else { return Err(mistake("Error: attribute=value expected")) };
        let (shown, value) = (&word.text[..divide], &word.text[divide + 1..]);
        if value.len() > VALUE_BYTES_MAX {
            return Err(mistake("Error: attribute value too long"));
        }
        Ok(Attribute { name: String::from_utf8_lossy(shown).to_ascii_uppercase(), shown, value })
    }

    fn decoded(&self) -> String {
        let mut bytes = unquoted(self.value).unwrap_or_else(|| self.value.to_vec());
        bytes.truncate(memchr::memchr(0, &bytes).unwrap_or(bytes.len()));
        String::from_utf8_lossy(&bytes).replace(char::REPLACEMENT_CHARACTER, "?")
    }

    fn unknown(&self, command: &str) -> Reply {
        mistake(&format!("Bad {command} attribute name: {}", String::from_utf8_lossy(self.shown)))
    }
}

/// xtext without its rules for what must be escaped: only the escapes themselves must be whole.
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    let hex = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            b => out.push(b),
        }
    }
    Some(out)
}

fn mistake(text: &str) -> Reply {
    Reply::new(501, Dsn::new(5, 5, 4), text)
}

fn bad(name: &str, text: &str) -> Reply {
    mistake(&format!("Bad {name} syntax: {}", printable(text)))
}

fn available(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.eq_ignore_ascii_case("[UNAVAILABLE]"))
}

fn told(text: String) -> Told<String> {
    if available(&text).is_some() { Told::Is(text) } else { Told::Unavailable }
}

/// A name that a host may have; `[TEMPUNAVAIL]` is understood where `may_come_later`.
fn host_name(text: &str, may_come_later: bool) -> Option<Told<String>> {
    if available(text).is_none() {
        return Some(Told::Unavailable);
    }
    if may_come_later && text.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
        return Some(Told::NotNow);
    }
    let is_name =
        !text.starts_with('[') && !text.ends_with('.') && path::is_valid_domain(text.as_bytes(), false);
    is_name.then(|| Told::Is(text.to_owned()))
}

/// `192.0.2.1`, `IPV6:2001:db8::1`; an IPv4 address in IPv6's clothes is one of IPv4.
fn address(text: &str) -> Option<Told<IpAddr>> {
    if available(text).is_none() {
        return Some(Told::Unavailable);
    }
    let address = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPV6:") => text[5..].parse::<Ipv6Addr>().ok()?.into(),
        _ => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
    };
    Some(Told::Is(address.to_canonical()))
}

fn port(text: &str) -> Option<Told<u16>> {
    if available(text).is_none() {
        return Some(Told::Unavailable);
    }
    // `parse` alone would take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?.map(Told::Is)
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn safe(text: &str) -> String {
    printable(text).replace(UNSAFE, "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command;

    fn xclient(line: &str) -> Result<Xclient, String> {
        Xclient::parse(&command::words(line.as_bytes())[1..]).map_err(|reply| reply.to_string())
    }

    fn xforward(line: &str) -> Result<Xforward, String> {
        Xforward::default().with(&command::words(line.as_bytes())[1..]).map_err(|reply| reply.to_string())
    }

    #[test]
    fn the_name_is_the_reverse_name_too_unless_that_is_told() {
        let is = |name: &str| Some(Told::Is(name.to_owned()));
        let said = xclient("XCLIENT NAME=a.example name=b.example").unwrap();
        assert_eq!((said.name, said.reverse_name), (is("b.example"), is("b.example")));
        let said = xclient("XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=[tempunavail]").unwrap();
        assert_eq!((said.name, said.reverse_name), (Some(Told::Unavailable), Some(Told::NotNow)));
    }

    #[test]
    fn addresses_of_ipv6_have_a_prefix() {
        for (value, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("IPV6:2001:db8::1", Some("2001:db8::1")),
            ("ipv6:::ffff:192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", None),
            ("IPV6:192.0.2.1", None),
            ("192.0.2", None),
            ("[192.0.2.1]", None),
        ] {
            let said = xclient(&format!("XCLIENT ADDR={value}"));
            let expected = address.map(|a| Some(Told::Is(a.parse().unwrap())));
            assert_eq!(said.ok().map(|s| s.address), expected, "{value}");
        }
    }

    #[test]
    fn mistakes_are_told_as_postfix_tells_them() {
        for (line, reply) in [
            ("XCLIENT NAME", "501 5.5.4 Error: attribute=value expected"),
            ("XCLIENT NAME=", "501 5.5.4 Error: attribute=value expected"),
            ("XCLIENT =x", "501 5.5.4 Bad XCLIENT attribute name: "),
            ("XCLIENT Foo=x", "501 5.5.4 Bad XCLIENT attribute name: Foo"),
            ("XCLIENT NAME=a+20b", "501 5.5.4 Bad NAME syntax: a b"),
            ("XCLIENT NAME=a+0A250", "501 5.5.4 Bad NAME syntax: a?250"),
            ("XCLIENT NAME=+4", "501 5.5.4 Bad NAME syntax: +4"),
            ("XCLIENT PORT=+2B25", "501 5.5.4 Bad PORT syntax: +25"),
            ("XCLIENT PROTO=LMTP", "501 5.5.4 Bad PROTO syntax: LMTP"),
        ] {
            assert_eq!(xclient(line).unwrap_err(), reply, "{line}");
        }
        let long = format!("XFORWARD IDENT={}", "x".repeat(256));
        assert_eq!(xforward(&long).unwrap_err(), "501 5.5.4 Error: attribute value too long");
        assert_eq!(
            xforward("XFORWARD NAME=[TEMPUNAVAIL]").unwrap_err(),
            "501 5.5.4 Bad NAME syntax: [TEMPUNAVAIL]"
        );
    }

    #[test]
    fn values_are_made_harmless() {
        assert_eq!(xclient("XCLIENT HELO=+28x+0Ay+00z").unwrap().helo.as_deref(), Some("?x?y"));
        assert_eq!(
            xclient("XCLIENT LOGIN=a(b+0Ac+5Cd\"+29 HELO=h").unwrap().login.as_deref(),
            Some("a(b?c\\d\") HELO=h")
        );
        assert_eq!(xclient("XCLIENT LOGIN=ann+40x").unwrap().login.as_deref(), Some("ann@x"));
        assert_eq!(xforward("XFORWARD IDENT=4X(").unwrap().ident.as_deref(), Some("4X?"));
    }

    #[test]
    fn what_xforward_says_adds_up() {
        let first = xforward("XFORWARD NAME=a.example").unwrap();
        let second = first.with(&command::words(b"X ADDR=192.0.2.1 SOURCE=local")[1..]).unwrap();
        assert_eq!((second.name.clone(), second.local), (first.name, Some(true)));
        assert!(second.tells_client() && !xforward("XFORWARD IDENT=4X SOURCE=LOCAL").unwrap().tells_client());
    }
}
