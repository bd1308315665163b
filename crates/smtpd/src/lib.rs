//! The SMTP server: sessions, restrictions, and the way into the queue.
//!
//! [`run`] serves the listeners of one event loop. A session is `protocol`'s pure machine with a [`driver`] around it:
//! sockets, clocks, restrictions, the draft, the log.

pub mod about;
mod acceptor;
mod access;
pub mod addresses;
pub mod anvil;
mod blocklists;
mod catch;
mod commands;
pub mod complaint;
mod content;
mod dns;
mod dns_lists;
pub mod driver;
mod etrn;
pub mod explain;
pub mod facts;
mod footer;
mod forward;
pub mod hall;
mod list;
mod listed;
mod listener;
pub mod lists;
pub mod login;
mod macros;
mod names;
mod notes;
mod notices;
mod owners;
mod packed;
mod passed;
pub mod peer;
mod peer_settings;
pub mod permits;
pub mod policy;
pub mod postscreen;
pub mod rates;
mod reading;
mod readings;
pub mod recent;
mod recording;
pub mod restrictions;
mod serve;
mod servers;
mod settings;
mod socket;
mod status;
pub mod stress;
pub mod tls;
pub mod trail;
mod transaction;
mod upstream;
mod watch;
mod witness;
mod written;
mod xclient;

pub use anvil::Anvil;
pub use hall::Sessions;
pub use listener::Listener;
pub use readings::Readings;
pub use serve::{Inputs, Service, run};
pub use settings::{Settings, Surroundings};
pub use stress::Stress;
