//! The steps of restriction lists in the log of watched clients, in the words that people look for in Postfix's.
//!
//! `debug_peer_list` and `-v`. Each step is logged as it happens, so what it waits for stands behind it. Where nobody
//! watches, a step costs the look at one flag.

use crate::about::About;
use crate::list::{Decision, Effects};
use crate::notices::Class;
use observe::info;

impl About<'_> {
    /// A list begins.
    pub(crate) fn debug_start(&self) {
        if self.is_watched {
            info(self.tag, format_args!(">>> START {} RESTRICTIONS <<<", self.class()));
        }
    }

    /// A list has ended; one that makes no sense does not come to its end.
    pub(crate) fn debug_end(&self, effects: &Effects) {
        if self.is_watched && !makes_no_sense(effects) {
            info(self.tag, format_args!(">>> END {} RESTRICTIONS <<<", self.class()));
        }
    }

    /// An entry of a list is asked.
    pub(crate) fn debug_asked(&self, entry: &str, warns: bool) {
        if self.is_watched && warns {
            info(self.tag, format_args!("generic_checks: name=warn_if_reject"));
        }
        if self.is_watched {
            info(self.tag, format_args!("generic_checks: name={}", name(entry)));
        }
    }

    /// What came of it: 0 goes on, 1 permits, 2 refuses.
    pub(crate) fn debug_decided(&self, entry: &str, decision: &Decision, effects: &Effects) {
        if self.is_watched && !makes_no_sense(effects) {
            let status = match decision {
                Decision::Open => 0,
                Decision::Permit => 1,
                Decision::Refuse(_) => 2,
            };
            info(self.tag, format_args!("generic_checks: name={} status={status}", name(entry)));
        }
    }

    /// A table or a policy service has a result.
    pub(crate) fn debug_result(&self, source: &str, result: &str, key: &str) {
        if self.is_watched {
            info(self.tag, format_args!("check_table_result: {source} {result} {key}"));
        }
    }

    /// It is looked up whether an address of ours exists.
    pub(crate) fn debug_validation(&self) {
        if self.is_watched {
            info(self.tag, format_args!(">>> CHECKING {} VALIDATION MAPS <<<", self.class()));
        }
    }
}

/// Postfix leaves all lists at once where the configuration makes no sense.
fn makes_no_sense(effects: &Effects) -> bool {
    effects.class == Some(Class::Software)
}

/// The restriction without its table.
fn name(entry: &str) -> &str {
    entry.split(' ').next().unwrap_or_default()
}
