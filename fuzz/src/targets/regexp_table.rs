//! Files of POSIX patterns.

use crate::{Target, rule_files};

pub(super) const TARGET: Target = Target {
    name: "regexp_table",
    dictionary: rule_files::PATTERN_WORDS,
    run: |input| rule_files::run("regexp", input),
};
