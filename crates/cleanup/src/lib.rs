//! What a message gets and loses before it is queued: Received, missing headers, dropped headers, its limits.
//!
//! [`Message`] stands between a receiver (smtpd, pickup) and the queue's draft. It works on the header; the body passes
//! through as it came, unless header and body checks ([`checks`]), which stand in front, change it.

pub mod checks;
mod date;
mod header;
mod mapping;
mod message;
pub mod pickup;
mod received;
mod refusal;
mod settings;
mod stray;
pub mod submitted;

pub use date::mail_date;
pub use mapping::{Addresses, Log, map_addresses, map_copies};
pub use message::{Context, Finished, Message, Sink};
pub use received::{Origin, SmtpSession, received};
pub use refusal::{Cause, Refusal};
pub use settings::Settings;
