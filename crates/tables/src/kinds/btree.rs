//! `btree:/file`: Berkeley DB's B-trees, and our index beside them.

use super::Kind;
use super::indexed;
use crate::index::Format;

/// The kind `btree`.
pub const KIND: Kind =
    Kind { name: "btree", open: |name, spec, settings| indexed::open(name, spec, settings, FORMATS) };

const FORMATS: &[Format] = &[Format::BerkeleyBtree, Format::Own];
