//! `$client_address`, `$sender` and their like in texts for clients.
//!
//! Postfix: the names that `smtpd_reject_footer` may use; `smtpd_expansion_filter` says which bytes their values may
//! have, since clients choose them.

use crate::driver::Driver;
use crate::peer::PeerInfo;
use crate::transaction::Smtpd;
use config::expand::{Names, try_expand};
use mail::Address;
use observe::Tag;
use protocol::smtp::server::Session;
use std::borrow::Cow;

/// What names stand for.
pub(crate) trait Values {
    /// The value of a name; nothing for one that means nothing here.
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// Expands `text`; of the values, only the allowed bytes are shown, and names that mean nothing are empty and told to the
/// log. The error is in Postfix's words.
pub(crate) fn expand(text: &str, values: &dyn Values, allowed: &[u8], tag: &Tag) -> Result<String, String> {
    try_expand(text, &Filtered { values, allowed, tag }).map_err(|fault| fault.postfix)
}

/// What the names stand for in one reply of smtpd.
#[derive(Clone, Copy)]
pub(crate) struct Macros<'a> {
    pub(crate) peer: &'a PeerInfo,
    pub(crate) server_name: &'a str,
    pub(crate) helo: Option<&'a str>,
    pub(crate) sender: Option<&'a Address>,
    pub(crate) recipient: Option<&'a Address>,
    /// Names that only this text knows.
    pub(crate) own: &'a [(&'a str, &'a str)],
    pub(crate) tag: &'a Tag,
}

impl Driver {
    /// The names for a reply about this envelope.
    pub(crate) fn macros<'a>(
        &'a self,
        session: &'a Session<Smtpd>,
        envelope: Option<&'a (Address, Option<Address>)>,
    ) -> Macros<'a> {
        Macros {
            peer: &self.peer,
            server_name: &self.settings.dialogue.myhostname,
            helo: session.helo(),
            sender: envelope.map(|e| &e.0),
            recipient: envelope.and_then(|e| e.1.as_ref()),
            own: &[],
            tag: &self.tag,
        }
    }
}

impl Macros<'_> {
    /// Expands `text`; of the values, only the allowed bytes are shown. The error is in Postfix's words.
    pub(crate) fn expand(&self, text: &str, allowed: &[u8]) -> Result<String, String> {
        expand(text, self, allowed, self.tag)
    }

    fn of_envelope(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let (address, part) = match name.strip_prefix("sender") {
            Some(part) => (self.sender, part),
            None => (self.recipient, name.strip_prefix("recipient")?),
        };
        let of = |part: fn(&Address) -> &[u8]| address.map(part).unwrap_or_default();
        let null = address.is_some_and(Address::is_null);
        Some(Cow::Borrowed(match part {
            "" | "_name" if null => b"<>",
            "" => of(Address::as_bytes),
            "_name" => of(Address::local_part),
            "_domain" => of(|a| a.domain().unwrap_or_default()),
            _ => return None,
        }))
    }
}

impl Values for Macros<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if let Some((_, value)) = self.own.iter().find(|(own, _)| *own == name) {
            return Some(Cow::Borrowed(value.as_bytes()));
        }
        let peer = self.peer;
        let text = match name {
            "client" => peer.name_and_address.as_str().into(),
            "client_address" => peer.address_text().into(),
            "client_name" => peer.name.as_str().into(),
            "client_port" => peer.port_text().into(),
            "reverse_client_name" => peer.reverse_name.as_str().into(),
            "helo_name" => self.helo.unwrap_or_default().into(),
            "server_name" => self.server_name.into(),
            "localtime" => local_time().into(),
            _ => return self.of_envelope(name),
        };
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(str::as_bytes(text)),
            Cow::Owned(text) => Cow::Owned(String::into_bytes(text)),
        })
    }
}

/// `Nov 05 16:33:27`: unlike in the log, the day has two digits.
pub(crate) fn local_time() -> String {
    match sys::local_time(net::clock::now().secs()) {
        Ok(time) => time.log_time().replacen("  ", " 0", 1),
        Err(_) => String::new(),
    }
}

struct Filtered<'a> {
    values: &'a dyn Values,
    allowed: &'a [u8],
    tag: &'a Tag,
}

impl Names for Filtered<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        let Some(value) = self.values.value(name) else {
            observe::warn(self.tag, format_args!("unknown macro name \"{name}\" in expansion request"));
            return None;
        };
        let mut text = String::with_capacity(value.len());
        for &b in value.iter() {
            match self.allowed.contains(&b).then_some(b).filter(u8::is_ascii) {
                // A value is no text to expand.
                Some(b'$') => text.push_str("$$"),
                Some(b) => text.push(b.into()),
                None => text.push('_'),
            }
        }
        Some(text.into())
    }
}

/// The bytes of `smtpd_expansion_filter`: `\t`, `\40` and the like stand for what they do in C.
pub(crate) fn allowed(filter: &str) -> Vec<u8> {
    let mut bytes = filter.bytes().peekable();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let mut octal = None;
        while let Some(digit) = bytes.peek().filter(|b| (b'0'..=b'7').contains(b) && octal < Some(0o40)) {
            octal = Some(octal.unwrap_or(0) * 8 + (digit - b'0'));
            bytes.next();
        }
        out.extend(octal.or_else(|| {
            bytes.next().map(|b| match b {
                b'a' => 7,
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 11,
                b'f' => 12,
                b'r' => b'\r',
                other => other,
            })
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_filter_are_those_of_c() {
        assert_eq!(allowed("\\t\\40!\\\\a"), b"\t !\\a");
        assert_eq!(allowed("\\0401\\n"), b" 1\n");
        assert_eq!(allowed("x\\"), b"x");
        assert_eq!(allowed(r"\t\40!\\\]a"), b"\t !\\]a");
    }
}
