//! Log lines about policy services: `warning: problem talking to server 127.0.0.1:10023: Connection refused`.

use crate::escape::Escaped;
use crate::event::{Event, Level};
use std::fmt::Write as _;

/// A connection cannot be opened.
#[derive(Debug)]
pub struct PolicyUnreachable<'a> {
    /// `127.0.0.1:10023`, `private/policy`.
    pub server: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl Event for PolicyUnreachable<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "connect to {}: {}", self.server, self.reason);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// A try failed, or the last one: the service did not answer.
#[derive(Debug)]
pub struct PolicyUnanswered<'a> {
    /// The server.
    pub server: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl Event for PolicyUnanswered<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "problem talking to server {}: {}", self.server, self.reason);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// What came is no answer: `missing attribute action in input from 127.0.0.1:10023`.
#[derive(Debug)]
pub struct PolicyNonsense<'a> {
    /// What is wrong, in front of the server's name.
    pub problem: &'a str,
    /// The server.
    pub server: &'a str,
    /// What comes behind it.
    pub detail: &'a str,
}

impl Event for PolicyNonsense<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "{} {}{}", self.problem, self.server, self.detail);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// An action is no UTF-8.
#[derive(Debug)]
pub struct PolicyNoText<'a> {
    /// The server as it stands in the list: `inet:127.0.0.1:10023`.
    pub service: &'a str,
    /// The action.
    pub action: &'a [u8],
}

impl Event for PolicyNoText<'_> {
    fn line(&self, out: &mut String) {
        let (service, action) = (self.service, Escaped(self.action));
        let _ = write!(out, "malformed UTF-8 in policy server {service} response: \"{action}\"");
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// An answer has nothing behind `action=`.
#[derive(Debug)]
pub struct PolicyEmpty<'a> {
    /// The server as it stands in the list.
    pub service: &'a str,
}

impl Event for PolicyEmpty<'_> {
    fn line(&self, out: &mut String) {
        // Postfix's words are those for tables, with the action where a key would stand.
        let _ = write!(out, "access table {} entry  has empty value", self.service);
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// A server that was left in peace answers again.
#[derive(Debug)]
pub struct PolicyBack<'a> {
    /// The server.
    pub server: &'a str,
}

impl Event for PolicyBack<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "policy server {} answers again", self.server);
    }
}
