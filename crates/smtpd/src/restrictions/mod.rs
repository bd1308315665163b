//! The restrictions, one file each: what may stand in `smtpd_…_restrictions`.

mod check_client_access;
mod check_helo_access;
mod check_recipient_access;
mod check_sender_access;
mod defer;
mod defer_unauth_destination;
mod permit;
mod permit_auth_destination;
mod permit_inet_interfaces;
mod permit_mynetworks;
mod permit_sasl_authenticated;
mod reject;
mod reject_unauth_destination;
mod reject_unlisted_recipient;

use crate::about::About;
use crate::complaint::Complaint;
use mail::Reply;
use std::future::Future;
use std::pin::Pin;
use tables::Table;

/// What a restriction finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the next one decides.
    Dunno,
    /// The rest of this list is passed over.
    Permit,
    /// No.
    Refuse(Reply),
    /// The message is taken and thrown away, with a text for the log; nothing more is decided about it.
    Discard(String),
    /// Something makes no sense, and nothing comes of it: the next one decides.
    Complain(Complaint),
    /// Something makes no sense and might have been a refusal.
    Broken(Complaint, Reply),
    /// A verdict behind which more stands in the same list that is never asked.
    Final(Box<Verdict>, Complaint),
    /// Something for the log: `hold` (the message goes to the hold queue), `info`, `warn`. The next one decides.
    Note(&'static str, String),
}

/// A finding, at once or later.
pub enum Checked<'a> {
    /// It is known already.
    Now(Verdict),
    /// A table is asked, which may be somebody else.
    Later(Pin<Box<dyn Future<Output = Verdict> + 'a>>),
}

impl Checked<'_> {
    /// The finding.
    pub async fn verdict(self) -> Verdict {
        match self {
            Checked::Now(verdict) => verdict,
            Checked::Later(future) => future.await,
        }
    }
}

/// One restriction in a list. Contract: it has no effects; what it wants is told by its verdict.
pub trait Restriction: Send + Sync {
    /// Looks at what is known so far.
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a>;
}

/// A kind of restriction.
pub struct Kind {
    /// Its name in the list.
    pub name: &'static str,
    /// How it is made.
    pub make: Make,
    /// It stops strangers from relaying: one such must stand in the lists for recipients.
    pub guards_relaying: bool,
}

/// What stands behind the name in the list.
pub enum Make {
    /// Nothing.
    Alone(fn() -> Box<dyn Restriction>),
    /// A table.
    WithTable(fn(Table) -> Box<dyn Restriction>),
}

/// All kinds, sorted by name.
pub const KINDS: &[Kind] = &[
    check_client_access::KIND,
    check_helo_access::KIND,
    check_recipient_access::KIND,
    check_sender_access::KIND,
    defer::KIND,
    defer_unauth_destination::KIND,
    permit::KIND,
    permit_auth_destination::KIND,
    permit_inet_interfaces::KIND,
    permit_mynetworks::KIND,
    permit_sasl_authenticated::KIND,
    reject::KIND,
    reject_unauth_destination::KIND,
    reject_unlisted_recipient::KIND,
];

/// Restrictions that always decide, so that whatever stands behind them is ignored.
pub const FINAL: &[&str] = &["defer", "permit", "reject"];

/// The kind of that name; Postfix's older names are understood.
pub fn find(name: &str) -> Option<&'static Kind> {
    let name = match name {
        "check_recipient_maps" => "reject_unlisted_recipient",
        name => name,
    };
    KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
}

/// Restrictions of Postfix that are not built yet.
pub const NOT_YET: &[&str] = &[
    "check_ccert_access",
    "check_client_a_access",
    "check_client_mx_access",
    "check_client_ns_access",
    "check_etrn_access",
    "check_helo_a_access",
    "check_helo_mx_access",
    "check_helo_ns_access",
    "check_policy_service",
    "check_recipient_a_access",
    "check_recipient_mx_access",
    "check_recipient_ns_access",
    "check_reverse_client_hostname_a_access",
    "check_reverse_client_hostname_access",
    "check_reverse_client_hostname_mx_access",
    "check_reverse_client_hostname_ns_access",
    "check_sasl_access",
    "check_sender_a_access",
    "check_sender_mx_access",
    "check_sender_ns_access",
    "defer_if_permit",
    "defer_if_reject",
    "permit_dnswl_client",
    "permit_mx_backup",
    "permit_rhswl_client",
    "permit_tls_all_clientcerts",
    "permit_tls_clientcerts",
    "reject_authenticated_sender_login_mismatch",
    "reject_invalid_helo_hostname",
    "reject_known_sender_login_mismatch",
    "reject_multi_recipient_bounce",
    "reject_non_fqdn_helo_hostname",
    "reject_non_fqdn_recipient",
    "reject_non_fqdn_sender",
    "reject_plaintext_session",
    "reject_rbl_client",
    "reject_rhsbl_client",
    "reject_rhsbl_helo",
    "reject_rhsbl_recipient",
    "reject_rhsbl_reverse_client",
    "reject_rhsbl_sender",
    "reject_sender_login_mismatch",
    "reject_unauth_pipelining",
    "reject_unauthenticated_sender_login_mismatch",
    "reject_unknown_client",
    "reject_unknown_client_hostname",
    "reject_unknown_helo_hostname",
    "reject_unknown_hostname",
    "reject_unknown_recipient_domain",
    "reject_unknown_reverse_client_hostname",
    "reject_unknown_sender_domain",
    "reject_unlisted_sender",
    "reject_unverified_recipient",
    "reject_unverified_sender",
    "sleep",
    "warn_if_reject",
];
