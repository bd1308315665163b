//! What the world outside the queue knows, and what a run is to find.

use mail::{Address, Timestamp};
use queue::faults::Fault;
use std::fmt;

/// How a run is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// A fault in the queue's code that the run has to find.
    pub fault: Option<Fault>,
    /// Print what happens.
    pub verbose: bool,
}

/// What must hold did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Replays it.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "powercut {}: {}", self.seed, self.what)
    }
}

/// What the world outside knows of a recipient.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) delivered: u32,
    /// The outcome was handed to the store and written out: a kill keeps it.
    pub(crate) written: bool,
    /// Time from which on a power cut keeps it, too.
    pub(crate) synced: bool,
    /// When the outcome was written; synced 50 ms later.
    pub(crate) written_at: Option<Timestamp>,
    /// Reports that say that it failed.
    pub(crate) reports: Vec<String>,
    /// The store said that one of them is queued.
    pub(crate) bounced: bool,
}

/// What the world outside knows of a message.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) content: Vec<u8>,
    pub(crate) acked: bool,
    pub(crate) recipients: Vec<Known>,
    /// Recipients in the envelope, for reports one.
    pub(crate) addresses: Vec<Address>,
}
