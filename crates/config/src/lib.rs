//! main.cf and master.cf: values, defaults, origins and errors with file and line.

mod attributes;
mod check;
mod config;
mod docs;
mod error;
pub mod expand;
pub mod honoured;
mod host;
pub mod kinds;
pub mod known;
pub mod lines;
mod main_cf;
mod master_cf;
pub mod octets;
pub mod parameters;
mod pieces;
mod port;
pub mod postconf;
pub mod table_settings;
pub mod templates;
pub mod words;

pub use attributes::{Attributes, MACROS_OF_MESSAGE, MACROS_OF_RECIPIENT, PIPE_FLAGS};
pub use check::{Finding, Severity, report};
pub use config::{Config, Found, Scope};
pub use docs::parameters_page;
pub use error::{Error, Errors, Origin};
pub use host::Host;
pub use main_cf::{Entry, MainCf};
pub use master_cf::{MasterCf, ServiceLine, ServiceType, Wakeup, split_endpoint};
pub use port::Ports;
