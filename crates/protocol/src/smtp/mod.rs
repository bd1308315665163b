//! SMTP (RFC 5321 and its extensions): commands, replies, and the ends of the dialogue.

pub mod client;
pub mod command;
pub mod path;
pub mod reply;
pub mod server;
pub mod xtext;
