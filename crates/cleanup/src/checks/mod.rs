//! Header and body checks: what tables say of a message's lines, as they come.
//!
//! An [`Inspection`] stands in front of a [`Message`](crate::Message): content goes in, and what is kept of it comes
//! out. It holds one header and one line at most, so a message of any size costs the same.

mod action;
mod characters;
mod inspection;
mod lines;
mod settings;

pub use characters::Characters;
pub(crate) use inspection::Kept;
pub use inspection::{Found, Inspection, Source};
pub use settings::Checks;
