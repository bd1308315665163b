//! Whether addresses can get mail: what probes found, and when an address is asked about again.
//!
//! smtpd asks by [`Client`]; the [`Desk`], which lives in the queue manager's process, answers from its [`Cache`] and says
//! when a probe is to be sent. A probe is a message that goes the way of all mail up to the point of delivery; what comes
//! of it the queue manager tells the desk.
//!
//! Postfix: verify(8), ADDRESS_VERIFICATION_README.

mod cache;
mod client;
mod desk;
mod entry;
mod sender;
mod serve;
mod settings;

pub use cache::Cache;
pub use client::{Asking, Client};
pub use desk::Desk;
pub use entry::{Entry, Finding};
pub use sender::ProbeSender;
pub use serve::serve;
pub use settings::{Settings, Times};

/// Where the desk is asked, below queue_directory.
pub const SOCKET: &str = "private/verify";
