//! Lookup tables: one file per kind, search orders and lists in one place.
//!
//! A lookup is a future, since some kinds ask a server; the kinds that hold their content in memory answer at
//! once, and [`now`] takes their answer without an executor.

pub mod cache;
mod check;
mod endpoint;
mod entries;
pub mod expansion;
#[cfg(any(feature = "mysql", feature = "pgsql"))]
mod hosts;
pub mod index;
pub mod keeper;
pub mod kinds;
pub mod lists;
mod lookup;
mod maps;
mod needle;
mod networks;
mod opener;
mod pattern_rules;
mod pool;
pub mod postmap;
mod reply_filter;
mod rules;
pub mod search;
// What blocks comes with features.
#[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
mod service;
mod several;
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "sqlite"))]
mod sql;
mod substitute;
mod table;
#[allow(dead_code)]
mod table_config;
#[cfg(any(feature = "ldap", feature = "pgsql"))]
mod tls;
mod watched;

pub use check::{Named, proxied, survey, unknown_kinds, unopenable};
pub use endpoint::Endpoint;
pub use lookup::{Lookup, LookupFuture, now, wait};
pub use maps::Maps;
pub use opener::Opener;
pub use table::{Directories, Entries, Opened, Parameter, Settings, Table, TableError, Trust, Warn};
