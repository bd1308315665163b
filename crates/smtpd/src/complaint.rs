//! What makes no sense in lists and access tables, and is found only when it is used.

use mail::Dsn;
use observe::events::smtpd as events;
use observe::{Tag, emit, info, warn};

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
    /// An access table has an action for a message where ETRN asks for none.
    AtEtrn {
        /// The table.
        table: String,
        /// The action.
        action: &'static str,
    },
    /// An entry of an access table has no meaning.
    Entry {
        /// The table.
        source: String,
        /// The key of the entry.
        key: String,
        /// What is wrong with it.
        mistake: Mistake,
    },
    /// The result of an access table names a table.
    TableInResult {
        /// The access table.
        source: String,
        /// Its result.
        result: String,
    },
    /// This restriction stands without its table.
    NoTable(&'static str),
    /// A table by itself in a list whose stage gives it no meaning.
    BareTable(String),
    /// These restrictions mean nothing where nobody can log in.
    NoSasl(&'static [&'static str]),
    /// A certificate is looked up where no client is asked for one.
    NoCertificates,
    /// Lists within lists, too many.
    TooDeep,
    /// Something permits where that would open a hole.
    ForbidsPermit {
        /// The restriction.
        restriction: &'static str,
        /// What was looked up.
        value: String,
    },
    /// A host behind a name could not be looked up.
    Lookup(String),
    /// The reply of a list in DNS cannot be made.
    Template {
        /// The list.
        domain: String,
        /// What is wrong.
        wrong: String,
    },
    /// An enhanced code is none of what is refused.
    StatusMapped {
        /// As it was written.
        own: Dsn,
        /// What stands in its place.
        fitting: Dsn,
        /// What is refused: `Sender address`.
        class: String,
    },
    /// A list in DNS could not be asked.
    Blocklist {
        /// The question.
        query: String,
        /// Why there is no answer.
        reason: String,
    },
    /// Behind a restriction that always decides stands another.
    Ignored {
        /// The one that decides.
        first: &'static str,
        /// The next.
        next: String,
    },
}

/// What is wrong with an entry of an access table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// `FILTER` alone.
    NoFilter,
    /// `FILTER` with a word that is no `transport:destination`.
    NoDestination,
    /// `REDIRECT` or `BCC` without an address.
    BadAddress,
    /// `PREPEND` without a header.
    BadHeader,
}

impl Complaint {
    /// Logs it.
    pub(crate) fn log(&self, tag: &Tag) {
        match self {
            Complaint::Unknown(name) => emit(tag, &events::UnknownRestriction { name }),
            Complaint::TooEarly { table, action } => emit(tag, &events::ActionTooEarly { table, action }),
            Complaint::AtEtrn { table, action } => warn(
                tag,
                format_args!(
                    "access table {table}: action {action} is unavailable in smtpd_etrn_restrictions"
                ),
            ),
            Complaint::Entry { source, key, mistake } => {
                let entry = format_args!("access table {source} entry \"{key}\"");
                match mistake {
                    Mistake::NoFilter => warn(tag, format_args!("{entry} has FILTER entry without value")),
                    Mistake::NoDestination => {
                        warn(tag, format_args!("{entry} requires transport:destination"))
                    }
                    Mistake::BadAddress => warn(tag, format_args!("{entry} requires user@domain target")),
                    Mistake::BadHeader => warn(tag, format_args!("{entry} requires header: text")),
                }
            }
            Complaint::TableInResult { source, result } => {
                warn(tag, format_args!("access table {source} has entry with lookup table: {result}"));
                warn(tag, format_args!("do not specify lookup tables inside SMTPD access maps"));
                warn(tag, format_args!("define a restriction class and specify its name instead."));
            }
            Complaint::NoTable(name) => {
                let argument = format_args!("bad argument \"{name}\": need maptype:mapname");
                warn(tag, format_args!("restriction {name}: {argument}"));
            }
            Complaint::StatusMapped { own, fitting, class } => {
                info(tag, format_args!("mapping DSN status {own} into {class} status {fitting}"));
            }
            Complaint::BareTable(table) => {
                warn(tag, format_args!("specify a restriction before the table \"{table}\""));
            }
            Complaint::NoSasl(names) => {
                for name in *names {
                    warn(tag, format_args!("restriction `{name}' ignored: no SASL support"));
                }
            }
            Complaint::NoCertificates => {
                warn(tag, format_args!("check_ccert_access is requested, but \"smtpd_tls_ask_ccert = no\""));
            }
            Complaint::TooDeep => {
                warn(
                    tag,
                    format_args!("restriction lists name each other without end: 100 lists within lists"),
                );
            }
            Complaint::ForbidsPermit { restriction, value } => {
                warn(tag, format_args!("restriction {restriction} returns OK for {value}"));
                warn(tag, format_args!("this is not allowed for security reasons"));
                warn(tag, format_args!("use DUNNO instead of OK if you want to make an exception"));
            }
            Complaint::Lookup(text) => warn(tag, format_args!("{text}")),
            Complaint::Template { domain, wrong } => {
                warn(tag, format_args!("bad rbl reply template syntax: {domain}: {wrong}"));
            }
            Complaint::Blocklist { query, reason } => {
                warn(tag, format_args!("{query}: RBL lookup error: {reason}"));
            }
            Complaint::Ignored { first, next } => emit(tag, &events::RestrictionIgnored { first, next }),
        }
    }
}
