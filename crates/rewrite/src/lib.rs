//! Address rewriting and resolution: from an address to transport and nexthop.
//!
//! Postfix: trivial-rewrite(8). Asked by the SMTP server for each recipient and by the queue manager for each
//! recipient of a message that becomes active.

mod canonical;
mod domain;
pub mod explain;
mod extension;
mod generic;
mod mapping;
mod resolve;
mod settings;

pub use canonical::Rules;
pub use generic::Generic;
pub use mapping::{HeaderClass, Mapped, Mapper, Step, Tables, Trouble, Witness};
pub use resolve::{AddressClass, Resolved, Resolver, Route};
pub use settings::Settings;
