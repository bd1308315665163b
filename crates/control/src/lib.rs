//! What the administrator sees and orders: lists of the queue, messages in it, triggers for the queue manager.
//!
//! [`serve_showq`] answers `postqueue -p` and `-j` on `public/showq` and asks the queue manager's [`serve_live`]; [`serve_orders`] takes Postfix's trigger bytes
//! (and ours) on `public/qmgr`; [`postcat::run`] prints messages in files and in the journal; [`serve_tables`] answers for
//! tables to processes below another root. [`inquiry`] is how commands ask the running processes.

pub mod inquiry;
mod live;
mod orders;
pub mod postcat;
mod proxymap;
mod showq;

pub use live::serve_live;
pub use orders::serve_orders;
pub use proxymap::{Proxied, serve_tables};
pub use showq::{Showq, serve_showq};
