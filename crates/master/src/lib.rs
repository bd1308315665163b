//! Supervision: locks, listeners, roles as child processes, reload and stop.
//!
//! Master binds, forks and watches; it parses no byte from the network. A role is a child process that runs this
//! same program, gets its listeners over the [`link`] and gives up its privileges by itself.

mod children;
pub mod columns;
pub mod directories;
pub mod environment;
pub mod history;
pub mod inspection;
pub mod link;
mod listening;
pub mod lock;
pub mod owners;
pub mod plan;
pub mod programs;
pub mod reloading;
pub mod role;
mod supervise;

pub use plan::{LogPlan, Plan};
pub use role::{Inherited, RoleArguments, RoleKind, inherit};
pub use supervise::{Options, PROGRAM, VERSION, run};
