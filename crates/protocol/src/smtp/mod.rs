//! SMTP (RFC 5321 and its extensions): commands, replies, and the ends of the dialogue.

pub mod server;
