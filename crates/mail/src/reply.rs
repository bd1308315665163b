//! An SMTP reply (RFC 5321 4.2).

use crate::Dsn;
use std::fmt;

/// A reply as a server gives it or a client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced code, where one stands before the text of the first line.
    pub dsn: Option<Dsn>,
    /// The text, without codes; `\n` divides lines.
    pub text: String,
}

impl Reply {
    /// A reply with an enhanced code.
    pub fn new(code: u16, dsn: Dsn, text: impl Into<String>) -> Self {
        Reply { code, dsn: Some(dsn), text: text.into() }
    }

    /// A reply without an enhanced code, as for EHLO, DATA and the greeting.
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Reply { code, dsn: None, text: text.into() }
    }

    /// The same for now instead of for good (`soft_bounce`).
    pub fn softened(mut self) -> Self {
        if self.is_permanent() {
            self.code -= 100;
            self.dsn = self.dsn.map(|dsn| dsn.with_class(4));
        }
        self
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

impl fmt::Display for Reply {
    /// One line, as Postfix logs it: code, enhanced code, text, with lines joined by a blank and as printable as it is
    /// on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(dsn) = self.dsn {
            write!(f, " {dsn}")?;
        }
        write!(f, " {}", self.text.replace(|c: char| c.is_ascii_control(), " "))
    }
}
