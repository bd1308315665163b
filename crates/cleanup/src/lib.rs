//! What a message gets and loses before it is queued: Received, missing headers, dropped headers, its limits.
//!
//! [`Message`] stands between a receiver (smtpd, pickup, bounce) and the queue's draft. It looks at the header only;
//! the body passes through as it came.

pub mod checks;
mod date;
mod header;
mod mapping;
mod message;
pub mod pickup;
mod received;
mod settings;
mod stray;
pub mod submitted;

pub use date::mail_date;
pub use mapping::{Addresses, map_addresses, map_copies};
pub use message::{Context, Finished, Message, Sink};
pub use received::{Origin, SmtpSession, received};
pub use settings::Settings;
