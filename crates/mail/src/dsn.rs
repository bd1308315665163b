//! Enhanced status codes (RFC 3463) and delivery status options (RFC 3461).

use std::fmt;

/// An enhanced status code, as in `5.1.1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dsn {
    /// 2 success, 4 try again, 5 for good.
    pub class: u8,
    /// What it is about: address, mailbox, system, network, protocol, content, security.
    pub subject: u16,
    /// Which problem.
    pub detail: u16,
}

impl Dsn {
    /// A code from its three numbers.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Dsn { class, subject, detail }
    }

    /// Reads a code from the beginning of `text`; gives it and the rest behind following blanks.
    pub fn parse_prefix(text: &str) -> Option<(Dsn, &str)> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (code, rest) = text.split_at(end);
        if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return None;
        }
        Some((Dsn::parse(code)?, rest.trim_start_matches([' ', '\t'])))
    }

    /// Reads a code that is the whole of `text`.
    pub fn parse(text: &str) -> Option<Dsn> {
        let mut parts = text.split('.');
        let class = parts.next().filter(|c| matches!(*c, "2" | "4" | "5"))?.parse().ok()?;
        let subject = small(parts.next()?)?;
        let detail = small(parts.next()?)?;
        parts.next().is_none().then_some(Dsn { class, subject, detail })
    }

    /// The same code with another class: what `soft_bounce` and forced agreement with a reply code do.
    pub const fn with_class(self, class: u8) -> Self {
        Dsn { class, ..self }
    }
}

/// RFC 3463: one to three digits.
fn small(text: &str) -> Option<u16> {
    ((1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// When the sender wants a report about a recipient: the bits of `NOTIFY=` as Postfix stores them.
///
/// Zero means that nothing was asked for: failures are reported, success is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notify(pub u8);

impl Notify {
    /// Never a report.
    pub const NEVER: Notify = Notify(1);
    /// A report on delivery.
    pub const SUCCESS: Notify = Notify(2);
    /// A report on failure.
    pub const FAILURE: Notify = Notify(4);
    /// A report on delay.
    pub const DELAY: Notify = Notify(8);

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Notify) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a failure is to be reported.
    pub const fn on_failure(self) -> bool {
        self.0 == 0 || self.has(Notify::FAILURE)
    }

    /// Whether a delay is to be reported (RFC 3461 leaves it to us where nothing was asked for).
    pub const fn on_delay(self) -> bool {
        self.0 == 0 || self.has(Notify::DELAY)
    }
}

/// How much of the message a report returns (`RET=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// The whole message.
    Full,
    /// The header only.
    Hdrs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_split_from_the_text_behind_it() {
        assert_eq!(Dsn::parse_prefix("5.1.1  no such user"), Some((Dsn::new(5, 1, 1), "no such user")));
        for bad in ["3.1.1 x", "5.1 x", "5.1.1.1", "5.1.1x", "5.1.1234 x", "ok"] {
            assert_eq!(Dsn::parse_prefix(bad), None, "{bad}");
        }
    }
}
