//! What tables make of the addresses of a message on its way into the queue.
//!
//! Postfix: canonical(5), virtual(5), ADDRESS_REWRITING_README; cleanup(8). The sender and each recipient are brought to
//! canonical form, mapped by the canonical tables, masqueraded; recipients are expanded by the virtual aliases; copies
//! are added. Headers get the first three. No I/O of its own: the tables are asked, the rest follows.

mod canonical;
mod copies;
mod envelope;
mod expand;
mod header;
mod lookup;
mod masquerade;
mod settings;
mod witness;

pub use header::HeaderClass;
pub use settings::{Mapped, Mapper};
pub use witness::{Step, Witness};

/// Why a message is not taken for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A table cannot be asked: 451 4.3.0.
    Unanswered,
    /// The aliases lead too far: 451 4.6.0.
    Expansion,
}

/// Whether tables are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tables {
    /// As the configuration says.
    #[default]
    Asked,
    /// Only the form of addresses is looked at (`no_address_mappings`).
    Ignored,
}
