//! Hand-over ③ and ④: what a delivery agent is asked to do, and what became of each recipient.

use crate::{Address, Content, Dsn, Encoding, Origin, Purpose, QueueId, Recipient, Ret, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Names a job among those of one queue manager; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// One recipient of a job.
#[derive(Clone, Debug)]
pub struct JobRecipient {
    /// Its place in the message's envelope.
    pub index: u32,
    /// Address, original address and options.
    pub recipient: Recipient,
}

/// When the stages of a delivery were reached, for `delay=` and `delays=a/b/c/d`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// The message arrived.
    pub arrival: Timestamp,
    /// It became active in the queue manager.
    pub active: Timestamp,
    /// An agent got it.
    pub handed_off: Timestamp,
    /// The connection was ready; `None` where there was none or it was kept from an earlier message.
    pub connected: Option<Timestamp>,
}

impl Stamps {
    /// `delay=` and the four parts of `delays=`, for a delivery done at `now`.
    pub fn delays(&self, now: Timestamp) -> (Duration, [Duration; 4]) {
        let connected = self.connected.unwrap_or(self.handed_off);
        let parts = [
            self.active.since(self.arrival),
            self.handed_off.since(self.active),
            connected.since(self.handed_off),
            now.since(connected),
        ];
        (now.since(self.arrival), parts)
    }
}

/// One delivery request: one message, one transport and nexthop, and recipients up to the destination's limit.
#[derive(Clone, Debug)]
pub struct Job {
    /// Names this job in its outcomes.
    pub id: JobId,
    /// The message.
    pub queue_id: QueueId,
    /// Whether it is delivered, or only asked what a delivery would come to.
    pub purpose: Purpose,
    /// Envelope sender.
    pub sender: Address,
    /// `ENVID=`, decoded; empty where there was none.
    pub envid: String,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// What the client declared of the content.
    pub encoding: Encoding,
    /// Postfix's `sender options` bits.
    pub smtputf8: u32,
    /// Where the message came from first.
    pub origin: Arc<Origin>,
    /// Name of the transport in master.cf.
    pub transport: Arc<str>,
    /// Where it goes next, in the transport's own notation.
    pub nexthop: Arc<str>,
    /// The recipients, at least one.
    pub recipients: Vec<JobRecipient>,
    /// Header and body.
    pub content: Content,
    /// When the stages so far were reached.
    pub stamps: Stamps,
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivered, relayed, or discarded by order.
    Sent,
    /// To be tried again.
    Deferred,
    /// Failed for good.
    Bounced,
}

/// What the other side said or what was found, for reports (RFC 3464 `Diagnostic-Code`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `smtp`, `x-unix` or `x-posthaste`, …
    pub kind: String,
    /// The text.
    pub text: String,
}

/// One recipient's result. The agent has already logged the `to=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The job.
    pub job: JobId,
    /// The recipient's place in the message's envelope.
    pub index: u32,
    /// Sent, deferred or bounced.
    pub status: Status,
    /// Enhanced code; its class agrees with `status`.
    pub dsn: Dsn,
    /// The text in the log's parentheses; also the report's and `mailq`'s reason.
    pub reason: String,
    /// What the remote said.
    pub diagnostic: Option<Diagnostic>,
    /// The remote mail server's name, where one was involved (`Remote-MTA`).
    pub remote_mta: Option<String>,
    /// Over what it was delivered, as the log's `relay=` has it: `host[address]:port`, or the agent's service.
    pub relay: Option<String>,
    /// `relayed` (another server takes over, RFC 3464) as against `delivered`.
    pub relayed: bool,
    /// Where an alias made several recipients of it: those that failed, for the report; all of them where the sender
    /// asked what becomes of each.
    pub parts: Vec<FailedPart>,
    /// The next server knows DSN and was told what the sender asked for: a success is for it to report (RFC 3461 5.2.1).
    pub next_hop_reports: bool,
}

impl Outcome {
    /// A result found here: no other server was involved.
    pub fn new(job: JobId, index: u32, status: Status, dsn: Dsn, reason: impl Into<String>) -> Self {
        Outcome {
            job,
            index,
            status,
            dsn,
            reason: reason.into(),
            diagnostic: None,
            remote_mta: None,
            relay: None,
            relayed: false,
            next_hop_reports: false,
            parts: Vec::new(),
        }
    }
}

/// One of those that a recipient became, and why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedPart {
    /// Who it is.
    pub address: Address,
    /// It failed; where the sender asked what becomes of each, it may also have been delivered to or deferred.
    pub status: Status,
    /// Enhanced code.
    pub dsn: Dsn,
    /// The reason.
    pub reason: String,
    /// What an external command said.
    pub diagnostic: Option<Diagnostic>,
    /// Whether reports tell of what recipient it was made.
    pub expanded_is_told: bool,
    /// Who is told of it in the sender's place: a list has an owner.
    pub owner: Option<Address>,
}

/// Why a whole destination failed, so that its concurrency goes down (reference section 2.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFailure {
    /// Enhanced code.
    pub dsn: Dsn,
    /// The reason, as in `delivery temporarily suspended: REASON`.
    pub reason: String,
}
