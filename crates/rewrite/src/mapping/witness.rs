//! Who is told what happens to an address: the log, or somebody who wants it explained.

use tables::Lookup;

/// Told of each step. All but warnings may be ignored.
pub trait Witness {
    /// Something that the log warns of; the message is named by the log.
    fn warning(&self, text: &str);

    /// A table was asked.
    fn asked(&self, _parameter: &'static str, _table: &str, _key: &str, _answer: &Lookup) {}

    /// An address became another.
    fn became(&self, _step: Step, _from: &[u8], _to: &[u8]) {}
}

/// What made an address another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The rules for missing domains and routing.
    CanonicalForm,
    /// The tables of this parameter.
    Tables(&'static str),
    /// masquerade_domains.
    Masquerade,
}
