//! postscreen: a look at clients before smtpd talks to them, as a stage of the same process.
//!
//! Decide and do are two halves. [`early`] judges a client before it is greeted, [`engine`] talks SMTP with one that
//! smtpd is not to see; both are pure: bytes, answers of DNS and time go in, replies and log lines come out. The
//! [`driver`] beside them owns sockets, clocks, DNS and the [`cache`]. Who passes goes on to the service that
//! `smtpd_service_name` names as it is: the same connection, with what was not read yet.

mod access;
mod cache;
mod clients;
mod dnsbl;
mod driver;
mod early;
mod engine;
mod kinds;
mod names;
mod recording;
mod screen;
mod settings;
mod sites;
mod upstream;

pub use cache::{Cache, Cleaning};
pub use screen::{Screen, Service};
pub use settings::Settings;

pub(crate) use driver::{Loop, accept};
