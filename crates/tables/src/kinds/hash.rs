//! `hash:/file`: Berkeley DB's hash files, and our index beside them.

use super::Kind;
use super::indexed;
use crate::index::Format;

/// The kind `hash`.
pub const KIND: Kind =
    Kind { name: "hash", open: |name, spec, settings| indexed::open(name, spec, settings, FORMATS) };

const FORMATS: &[Format] = &[Format::BerkeleyHash, Format::Own];
