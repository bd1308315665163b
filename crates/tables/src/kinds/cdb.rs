//! `cdb:/file`: constant databases.

use super::Kind;
use super::indexed;
use crate::index::Format;

/// The kind `cdb`.
pub const KIND: Kind =
    Kind { name: "cdb", open: |name, spec, settings| indexed::open(name, spec, settings, FORMATS) };

const FORMATS: &[Format] = &[Format::Cdb];
