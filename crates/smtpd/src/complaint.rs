//! What makes no sense in lists and access tables, and is found only when it is used.

use observe::events::smtpd as events;
use observe::{Tag, emit};

/// Something for the administrator; each is a warning in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// An access table names this as a result, which is none.
    Unknown(String),
    /// An access table has an action for a message before there is one (`smtpd_delay_reject = no`).
    TooEarly {
        /// The table.
        table: String,
        /// The action.
        action: &'static str,
    },
    /// Behind a restriction that always decides stands another.
    Ignored {
        /// The one that decides.
        first: &'static str,
        /// The next.
        next: String,
    },
}

impl Complaint {
    /// Logs it.
    pub(crate) fn log(&self, tag: &Tag) {
        match self {
            Complaint::Unknown(name) => emit(tag, &events::UnknownRestriction { name }),
            Complaint::TooEarly { table, action } => emit(tag, &events::ActionTooEarly { table, action }),
            Complaint::Ignored { first, next } => emit(tag, &events::RestrictionIgnored { first, next }),
        }
    }
}
