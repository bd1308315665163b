//! The five tests, and what each does with who fails.

use std::time::Duration;

/// A test; the order is that of the cache's stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Waits for its turn to speak.
    Pregreet,
    /// Is on no DNS list.
    Dnsbl,
    /// Waits for replies.
    Pipelining,
    /// Sends SMTP commands only.
    NonSmtp,
    /// Ends lines with CR LF.
    BareNewline,
}

impl Test {
    /// All of them.
    pub const ALL: [Test; 5] =
        [Test::Pregreet, Test::Dnsbl, Test::Pipelining, Test::NonSmtp, Test::BareNewline];

    /// Those that need a dialogue.
    pub const DEEP: [Test; 3] = [Test::Pipelining, Test::NonSmtp, Test::BareNewline];
}

/// What follows a failed test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing but the log line; the test is made again next time.
    Ignore,
    /// The other tests go on, then each recipient is refused.
    Enforce,
    /// The connection ends at once.
    Drop,
}

impl Action {
    /// One of the words that the parameters allow.
    pub fn of(word: &str) -> Action {
        match word {
            "drop" => Action::Drop,
            "enforce" => Action::Enforce,
            _ => Action::Ignore,
        }
    }
}

/// How a test is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Whether it is made at all.
    pub enabled: bool,
    /// What follows where it fails.
    pub action: Action,
    /// How long who passed is not tested again; a DNS list says that itself.
    pub time_to_live: Duration,
}

/// A set of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tests(u8);

impl Tests {
    /// Whether it is in the set.
    pub fn has(self, test: Test) -> bool {
        self.0 & (1 << test as u8) != 0
    }

    /// Puts it into the set.
    pub fn add(&mut self, test: Test) {
        self.0 |= 1 << test as u8;
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any of these is in the set.
    pub fn has_any(self, tests: &[Test]) -> bool {
        tests.iter().any(|test| self.has(*test))
    }
}
