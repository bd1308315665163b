//! Listening, dialling, names, deadlines, and when a server is left in peace.

pub mod breaker;
pub mod clock;
mod deadline;
mod dial;
pub mod dns;
mod families;
mod listen;
mod shutdown;

pub use breaker::Breaker;
pub use deadline::{TimedOut, deadline};
pub use dial::{DialError, dial, dial_from};
pub use dns::Resolver;
pub use families::Families;
pub use listen::{accept_nonblocking, interface_addresses, listen};
pub use shutdown::{Shutdown, ShutdownTrigger};
