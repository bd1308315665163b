//! Files of Perl-like patterns.

use crate::{Target, rule_files};

pub(super) const TARGET: Target = Target {
    name: "pcre_table",
    dictionary: rule_files::PATTERN_WORDS,
    run: |input| rule_files::run("pcre", input),
};
