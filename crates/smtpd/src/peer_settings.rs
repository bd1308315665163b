//! What a service must know about clients that speak for others, and about showing clients.

use crate::settings::Reader;
use crate::upstream::Upstream;
use crate::watch::{self, Watch};
use config::parameters::Smtpd;
use tables::lists::AddressList;
use tables::search::Parents;

/// The settings of one service.
#[derive(Clone)]
pub(crate) struct PeerSettings {
    /// `smtpd_authorized_xclient_hosts`.
    pub(crate) xclient_hosts: AddressList,
    /// `smtpd_authorized_xforward_hosts`.
    pub(crate) xforward_hosts: AddressList,
    /// `smtpd_authorized_verp_clients`.
    pub(crate) verp_clients: AddressList,
    /// `smtpd_sasl_auth_enable`: restrictions believe logins.
    pub(crate) sasl_auth_enable: bool,
    /// `smtpd_sasl_authenticated_header`.
    pub(crate) authenticated_header: bool,
    /// `smtpd_hide_client_session`.
    pub(crate) hide_client_session: bool,
    /// `smtpd_upstream_proxy_protocol`.
    pub(crate) upstream: Option<Upstream>,
    /// `debug_peer_list`, and `-v`.
    pub(crate) watch: Watch,
}

impl Reader<'_> {
    /// Reads them.
    pub(crate) fn peers(&mut self, p: &Smtpd, parents_of: &dyn Fn(&str) -> Parents) -> PeerSettings {
        const XCLIENT: &str = "smtpd_authorized_xclient_hosts";
        const XFORWARD: &str = "smtpd_authorized_xforward_hosts";
        const VERP: &str = "smtpd_authorized_verp_clients";
        const WATCHED: &str = "debug_peer_list";
        PeerSettings {
            xclient_hosts: self.open.clients(XCLIENT, &p.smtpd_authorized_xclient_hosts, parents_of(XCLIENT)),
            xforward_hosts: self.open.clients(
                XFORWARD,
                &p.smtpd_authorized_xforward_hosts,
                parents_of(XFORWARD),
            ),
            verp_clients: self.open.clients(VERP, &p.smtpd_authorized_verp_clients, parents_of(VERP)),
            // Not a parameter of the view: AUTH itself is not built yet.
            sasl_auth_enable: self.open.scope().expanded("smtpd_sasl_auth_enable").is_ok_and(|v| v == "yes"),
            authenticated_header: p.smtpd_sasl_authenticated_header,
            hide_client_session: p.smtpd_hide_client_session,
            upstream: self.upstream(p),
            watch: Watch {
                all: self.open.scope().service().is_some_and(watch::is_verbose),
                peers: self.open.clients(WATCHED, &p.debug_peer_list, parents_of(WATCHED)),
            },
        }
    }

    fn upstream(&mut self, p: &Smtpd) -> Option<Upstream> {
        const NAME: &str = "smtpd_upstream_proxy_protocol";
        match p.smtpd_upstream_proxy_protocol.as_str() {
            "" => return None,
            "haproxy" => {}
            other => self.open.wrong(NAME, format!("expected `haproxy` or nothing, found `{other}`")),
        }
        let (timeout, direct) = (p.smtpd_upstream_proxy_timeout, p.posthaste_upstream_proxy_direct);
        Some(Upstream { timeout, direct })
    }
}
