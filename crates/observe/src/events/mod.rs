//! The events, one file a service; exact shapes stand in each file's examples.

pub mod anvil;
pub mod bounce;
pub mod cache;
pub mod checks;
pub mod cleanup;
pub mod delivery;
pub mod master;
pub mod pickup;
pub mod policy;
pub mod postscreen;
pub mod qmgr;
pub mod smtpd;
