//! The queue manager: a pure scheduler and its driver.
//!
//! [`scheduler`] decides which message is tried when; the driver joins it with the queue, the tables and the
//! delivery agents; [`run`] is the event loop around it. Everything stays on one thread.

mod driver;
mod hand;
mod order;
mod route;
mod run;
pub mod scheduler;
mod settings;
mod spool;
mod watchdog;

pub use driver::{After, Driver, Parts};
pub use hand::{Back, Hand};
pub use order::Order;
pub use route::{Addressing, Router, Routing, Target};
pub use run::{Inputs, Snapshot, run};
pub use settings::Settings;
pub use spool::Spool;
