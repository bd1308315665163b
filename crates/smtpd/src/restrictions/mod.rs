//! The restrictions, one file each: what may stand in `smtpd_…_restrictions`.

mod check_ccert_access;
mod check_client_a_access;
mod check_client_access;
mod check_client_mx_access;
mod check_client_ns_access;
mod check_etrn_access;
mod check_helo_a_access;
mod check_helo_access;
mod check_helo_mx_access;
mod check_helo_ns_access;
mod check_policy_service;
mod check_recipient_a_access;
mod check_recipient_access;
mod check_recipient_mx_access;
mod check_recipient_ns_access;
mod check_reverse_client_hostname_a_access;
mod check_reverse_client_hostname_access;
mod check_reverse_client_hostname_mx_access;
mod check_reverse_client_hostname_ns_access;
mod check_sasl_access;
mod check_sender_a_access;
mod check_sender_access;
mod check_sender_mx_access;
mod check_sender_ns_access;
mod defer;
mod defer_if_permit;
mod defer_if_reject;
mod defer_unauth_destination;
mod permit;
mod permit_auth_destination;
mod permit_dnswl_client;
mod permit_inet_interfaces;
mod permit_mx_backup;
mod permit_mynetworks;
mod permit_rhswl_client;
mod permit_sasl_authenticated;
mod permit_tls_all_clientcerts;
mod permit_tls_clientcerts;
mod reject;
mod reject_authenticated_sender_login_mismatch;
mod reject_invalid_helo_hostname;
mod reject_known_sender_login_mismatch;
mod reject_multi_recipient_bounce;
mod reject_non_fqdn_helo_hostname;
mod reject_non_fqdn_recipient;
mod reject_non_fqdn_sender;
mod reject_plaintext_session;
mod reject_rbl_client;
mod reject_rhsbl_client;
mod reject_rhsbl_helo;
mod reject_rhsbl_recipient;
mod reject_rhsbl_reverse_client;
mod reject_rhsbl_sender;
mod reject_sender_login_mismatch;
mod reject_unauth_destination;
mod reject_unauth_pipelining;
mod reject_unauthenticated_sender_login_mismatch;
mod reject_unknown_client_hostname;
mod reject_unknown_helo_hostname;
mod reject_unknown_recipient_domain;
mod reject_unknown_reverse_client_hostname;
mod reject_unknown_sender_domain;
mod reject_unlisted_recipient;
mod reject_unlisted_sender;
mod reject_unverified_recipient;
mod reject_unverified_sender;
mod sleep;

use crate::about::About;
use crate::complaint::Complaint;
use crate::list::Nested;
use crate::permits::Grant;
use crate::policy::Defaults;
use mail::{Address, Dsn, Reply};
use std::future::Future;
use std::pin::Pin;
use tables::Table;

/// What a restriction finds.
#[derive(Clone)]
pub enum Verdict {
    /// Nothing: the next one decides.
    Dunno,
    /// The rest of this list is passed over.
    Permit,
    /// The same, as a table says; the log may have to tell.
    Granted(Box<Grant>),
    /// A table says so where that would open a hole: refused for now.
    Ungranted(Box<Grant>, Complaint),
    /// No.
    Refuse(Reply),
    /// It cannot be known: refused for now; behind `warn_if_reject` a warning, as a refusal is.
    NotNow(Reply),
    /// It cannot be known: refused for now, also behind `warn_if_reject`.
    Unable(Reply),
    /// If all is permitted in the end, it is put off instead, with this reply.
    DeferIfPermit(Reply),
    /// If something behind it refuses for good, it is put off instead, with this reply.
    DeferIfReject(Reply),
    /// Something is done with the message, and the next one decides.
    Act(Act),
    /// The connection is closed without a reply; the text is for the log.
    HangUp(String),
    /// Something makes no sense, and nothing comes of it: the next one decides.
    Complain(Complaint),
    /// Something makes no sense and might have been a refusal.
    Broken(Complaint, Reply),
    /// Something for the log, and then what was found.
    Told(Complaint, Box<Verdict>),
    /// Another list decides in its place.
    List(Nested),
}

/// What is done with a message without deciding about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// As the log names it: `hold`, `filter`, …
    pub name: &'static str,
    /// For the log.
    pub text: String,
    /// What is done.
    pub effect: Effect,
}

/// What an action does to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Only the log tells.
    None,
    /// It goes to the hold queue.
    Hold,
    /// It is taken and thrown away.
    Discard,
    /// It goes through `transport:nexthop`.
    Filter(String),
    /// It goes to this recipient instead of all.
    Redirect(Address),
    /// It goes to this recipient too.
    Bcc(Address),
    /// This header stands above its own.
    Prepend(String),
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

/// A restriction, or what is wrong with the word that it was to be made of.
pub type Made = Result<Box<dyn Restriction>, String>;

/// Opens a table.
pub type OpenTable<'a> = &'a mut dyn FnMut(&str) -> Option<Table>;

/// The same where a table is opened on the way; nothing where that has failed, which has been told.
pub type MadeWithTable = Result<Option<Box<dyn Restriction>>, String>;

/// What stands behind the name in the list.
pub enum Make {
    /// Nothing.
    Alone(fn() -> Box<dyn Restriction>),
    /// A table.
    WithTable(fn(Table) -> Box<dyn Restriction>),
    /// A table, perhaps in braces with settings of its own; who opens it has told where it cannot be opened.
    WithTableIn(fn(&str, OpenTable<'_>) -> MadeWithTable),
    /// A word; the error says what is wrong with it.
    WithWord(&'static str, fn(&str) -> Made),
    /// A policy service; the error says what was expected.
    WithService(fn(&str, &Defaults) -> Made),
}

/// `451 4.3.5 Server configuration error`.
pub fn misconfigured() -> Reply {
    Reply::new(451, Dsn::new(4, 3, 5), "Server configuration error")
}

/// All kinds, sorted by name.
pub const KINDS: &[Kind] = &[
    check_ccert_access::KIND,
    check_client_a_access::KIND,
    check_client_access::KIND,
    check_client_mx_access::KIND,
    check_client_ns_access::KIND,
    check_etrn_access::KIND,
    check_helo_a_access::KIND,
    check_helo_access::KIND,
    check_helo_mx_access::KIND,
    check_helo_ns_access::KIND,
    check_policy_service::KIND,
    check_recipient_a_access::KIND,
    check_recipient_access::KIND,
    check_recipient_mx_access::KIND,
    check_recipient_ns_access::KIND,
    check_reverse_client_hostname_a_access::KIND,
    check_reverse_client_hostname_access::KIND,
    check_reverse_client_hostname_mx_access::KIND,
    check_reverse_client_hostname_ns_access::KIND,
    check_sasl_access::KIND,
    check_sender_a_access::KIND,
    check_sender_access::KIND,
    check_sender_mx_access::KIND,
    check_sender_ns_access::KIND,
    defer::KIND,
    defer_if_permit::KIND,
    defer_if_reject::KIND,
    defer_unauth_destination::KIND,
    permit::KIND,
    permit_auth_destination::KIND,
    permit_dnswl_client::KIND,
    permit_inet_interfaces::KIND,
    permit_mx_backup::KIND,
    permit_mynetworks::KIND,
    permit_rhswl_client::KIND,
    permit_sasl_authenticated::KIND,
    permit_tls_all_clientcerts::KIND,
    permit_tls_clientcerts::KIND,
    reject::KIND,
    reject_authenticated_sender_login_mismatch::KIND,
    reject_invalid_helo_hostname::KIND,
    reject_known_sender_login_mismatch::KIND,
    reject_multi_recipient_bounce::KIND,
    reject_non_fqdn_helo_hostname::KIND,
    reject_non_fqdn_recipient::KIND,
    reject_non_fqdn_sender::KIND,
    reject_plaintext_session::KIND,
    reject_rbl_client::KIND,
    reject_rhsbl_client::KIND,
    reject_rhsbl_helo::KIND,
    reject_rhsbl_recipient::KIND,
    reject_rhsbl_reverse_client::KIND,
    reject_rhsbl_sender::KIND,
    reject_sender_login_mismatch::KIND,
    reject_unauth_destination::KIND,
    reject_unauth_pipelining::KIND,
    reject_unauthenticated_sender_login_mismatch::KIND,
    reject_unknown_client_hostname::KIND,
    reject_unknown_helo_hostname::KIND,
    reject_unknown_recipient_domain::KIND,
    reject_unknown_reverse_client_hostname::KIND,
    reject_unknown_sender_domain::KIND,
    reject_unlisted_recipient::KIND,
    reject_unlisted_sender::KIND,
    reject_unverified_recipient::KIND,
    reject_unverified_sender::KIND,
    sleep::KIND,
];

/// Restrictions that always decide, so that whatever stands behind them is ignored.
pub const FINAL: &[&str] = &["defer", "permit", "reject"];

/// Postfix's older names, and what they are now.
const OLDER_NAMES: &[(&str, &str)] = &[
    ("check_recipient_maps", "reject_unlisted_recipient"),
    ("reject_invalid_hostname", "reject_invalid_helo_hostname"),
    ("reject_non_fqdn_hostname", "reject_non_fqdn_helo_hostname"),
    ("reject_rbl", "reject_rbl_client"),
    ("reject_unknown_address", "reject_unknown_sender_domain"),
    ("reject_unknown_client", "reject_unknown_client_hostname"),
    ("reject_unknown_hostname", "reject_unknown_helo_hostname"),
];

/// Names that Postfix took away, and what to write instead.
pub const REMOVED: &[(&str, &str)] = &[
    ("check_relay_domains", "reject_unauth_destination"),
    ("permit_naked_ip_address", "permit_mynetworks or permit_sasl_authenticated"),
    ("reject_maps_rbl", "reject_rbl_client and a domain"),
];

/// The kind of that name; Postfix's older names are understood.
pub fn find(name: &str) -> Option<&'static Kind> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let newer = OLDER_NAMES.iter().find(|(older, _)| is(older)).map_or(name, |(_, newer)| newer);
    KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(newer))
}
