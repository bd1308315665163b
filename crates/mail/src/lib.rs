//! Values of mail: addresses, envelopes, queue ids, status codes, jobs and outcomes.
//!
//! The ground floor: no I/O, no clock, no randomness, no threads. Everything that crosses from one crate to
//! another is defined here, so that the services need not know each other.

mod address;
mod addresses;
mod content;
pub mod domain;
mod dsn;
mod envelope;
mod expanded;
mod fold;
mod job;
pub mod mime;
mod origin;
mod purpose;
mod queue_id;
mod quoted_printable;
mod reply;
pub mod smtputf8;
mod time;
mod verp;
pub mod wire;

pub use address::Address;
pub use addresses::{AddressHeader, Written};
pub use content::{Content, ContentFlags, ContentReader, ContentSource, LINE_RECORD_MAX, WIDE_LINE};
pub use dsn::{Dsn, Notify, Ret};
pub use envelope::{Client, Encoding, Envelope, Recipient, RewriteContext};
pub use fold::fold;
pub use job::{Diagnostic, FailedPart, Job, JobId, JobRecipient, Outcome, SiteFailure, Stamps, Status};
pub use origin::Origin;
pub use purpose::Purpose;
pub use queue_id::{QueueId, QueueIdForm};
pub use quoted_printable::QuotedPrintable;
pub use reply::Reply;
pub use time::{Timestamp, format_delay};
pub use verp::verp_sender;
