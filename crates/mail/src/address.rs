//! An envelope address in Postfix's internal (unquoted) form.

use std::fmt;
use std::sync::Arc;

/// An envelope address, unquoted, as Postfix writes it into queue files; empty is the null sender.
///
/// The bytes are what the client sent: usually ASCII or UTF-8 (RFC 6531), but nothing promises that.
/// Comparison is by byte; lookups fold case themselves, as each search defines it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<[u8]>);

impl Address {
    /// The null sender, `<>`.
    pub fn null() -> Self {
        Address(Arc::from(&[][..]))
    }

    /// An address from its internal form.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Address(Arc::from(bytes.as_ref()))
    }

    /// Whether this is the null sender.
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }

    /// The internal form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands before the last `@`, or everything where there is none.
    pub fn local_part(&self) -> &[u8] {
        match self.at() {
            Some(at) => &self.0[..at],
            None => &self.0,
        }
    }

    /// What stands behind the last `@`.
    pub fn domain(&self) -> Option<&[u8]> {
        self.at().map(|at| &self.0[at + 1..])
    }

    /// The domain as text in lower case; an empty string where there is none.
    pub fn domain_lower(&self) -> String {
        String::from_utf8_lossy(self.domain().unwrap_or_default()).to_lowercase()
    }

    /// Whether any byte is outside ASCII, so that the address needs SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.0.is_ascii()
    }

    /// The form of RFC 5321 4.1.2, with the local part quoted where it must be; what stands between `<` and `>`.
    pub fn to_external(&self) -> Vec<u8> {
        let local = self.local_part();
        let mut out = Vec::with_capacity(self.0.len() + 2);
        if self.is_null() || is_dot_string(local) {
            out.extend_from_slice(local);
        } else {
            out.push(b'"');
            for &b in local {
                if matches!(b, b'"' | b'\\' | b'\r' | b'\n') {
                    out.push(b'\\');
                }
                out.push(b);
            }
            out.push(b'"');
        }
        if let Some(domain) = self.domain() {
            out.push(b'@');
            out.extend_from_slice(domain);
        }
        out
    }

    fn at(&self) -> Option<usize> {
        memchr::memrchr(b'@', &self.0)
    }
}

/// RFC 5321 `Dot-string`, with UTF-8 allowed as in RFC 6531.
pub(crate) fn is_dot_string(local: &[u8]) -> bool {
    !local.is_empty()
        && local.split(|&b| b == b'.').all(|atom| !atom.is_empty() && atom.iter().all(|&b| is_atext(b)))
}

fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

impl fmt::Display for Address {
    /// The external form; bytes that are no text are shown as the replacement character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_external()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Address::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_at_sign_divides_local_part_and_domain() {
        let a = Address::from("a@b@example.org");
        assert_eq!((a.local_part(), a.domain()), (&b"a@b"[..], Some(&b"example.org"[..])));
        assert_eq!(Address::from("root").domain(), None);
    }

    #[test]
    fn a_local_part_that_is_no_dot_string_is_quoted() {
        for (internal, external) in [
            ("ann@example.org", "ann@example.org"),
            ("ann smith@example.org", "\"ann smith\"@example.org"),
            ("a\"b@example.org", "\"a\\\"b\"@example.org"),
            ("a..b@example.org", "\"a..b\"@example.org"),
            ("@example.org", "\"\"@example.org"),
            ("postmaster", "postmaster"),
            ("", ""),
        ] {
            assert_eq!(Address::from(internal).to_string(), external);
        }
    }
}
