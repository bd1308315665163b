//! `lmdb:/file`: LMDB files.

use super::Kind;
use super::indexed;
use crate::index::Format;

/// The kind `lmdb`.
pub const KIND: Kind =
    Kind { name: "lmdb", open: |name, spec, settings| indexed::open(name, spec, settings, FORMATS) };

const FORMATS: &[Format] = &[Format::Lmdb];
