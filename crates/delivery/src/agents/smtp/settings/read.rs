//! What the client's settings are read from: main.cf and master.cf, with tables opened.

use super::{CONNECTIONS_MAX, Keep, Settings, Timeouts};
use crate::ReportStyle;
use crate::agents::smtp::checks::Checks;
use config::parameters::{Client, ClientRoutes, Global, Mime, Rewrite};
use config::{Error, Errors, Scope};
use net::Families;
use net::dns::Filter;
use observe::Tag;
use protocol::smtp::client::{EhloUse, Probe, Protocol, Settings as Dialogue};
use rewrite::{Generic, Resolver};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tables::Maps;
use tables::lists::NameList;

/// Where `lmtp_connect_timeout = 0` leaves it to the system: what Linux waits with six SYN packets.
pub(super) const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

impl Settings {
    /// Reads the settings as a service of master.cf sees them, by their `smtp_` or `lmtp_` names.
    pub fn read(
        scope: &Scope<'_>,
        protocol: Protocol,
        tables: &tables::Settings,
        resolver: &Resolver,
    ) -> Result<Settings, Errors> {
        let global = Global::read_in(scope)?;
        let rewrite = Rewrite::read_in(scope)?;
        let client = Client::read_in(scope, protocol == Protocol::Lmtp)?;
        let ports = scope.config().ports().clone();
        let port = ports.to_connect(&client.tcp_port).ok_or_else(|| {
            let name = if protocol == Protocol::Lmtp { "lmtp_tcp_port" } else { "smtp_tcp_port" };
            Error::new(None, name, format!("expected a port, found `{}`", client.tcp_port))
        })?;
        let open = tables::Opener::new(*scope, tables);
        let mut opener = Opener { open, lmtp: protocol == Protocol::Lmtp };
        let families = Families::parse(&global.inet_protocols.join(" ")).unwrap_or(Families::ALL);
        let routes = ClientRoutes::read_in(scope)?;
        let mime = Mime::read_in(scope)?;
        let has = |words: &[String], word: &str| words.iter().any(|w| w == word);
        let dns = match client.dns_support_level.as_str() {
            "" => !routes.disable_dns_lookups,
            level => level != "disabled",
        };
        let source = opener.sources(&global, &client);
        let checks = opener.checks(&client);
        let keep_for = opener.names("connection_cache_destinations", &client.connection_cache_destinations);
        let own_addresses = scope.config().own_addresses(&global, opener.open.errors());
        let report = ReportStyle::read_in(scope)?;
        let settings = Settings {
            dialogue: dialogue(protocol, &client),
            timeouts: timeouts(&client),
            request_rate: client.per_request_deadline.then_some(client.min_data_rate),
            port,
            service: client.tcp_port,
            ports,
            families,
            own_addresses,
            myhostname: global.myhostname,
            relayhost: rewrite.relayhost,
            fallback_relays: client.fallback_relay,
            prefer_v6: match client.address_preference.as_str() {
                "ipv4" => Some(false),
                "ipv6" => Some(true),
                _ => None,
            },
            balance_families: client.balance_inet_protocols,
            randomize: client.randomize_addresses,
            address_limit: bounded(client.mx_address_limit),
            session_limit: bounded(client.mx_session_limit),
            defer_if_no_mx_address: client.defer_if_no_mx_address_found,
            dns,
            native_lookup: !dns || !has(&client.host_lookup, "dns"),
            native_fallback: dns && has(&client.host_lookup, "dns") && has(&client.host_lookup, "native"),
            search_own: has(&client.dns_resolver_options, "res_defnames"),
            search_parents: has(&client.dns_resolver_options, "res_dnsrch"),
            cname_overrides: client.cname_overrides_servername,
            ignore_mx_lookup_error: routes.ignore_mx_lookup_error,
            srv_services: routes.use_srv_lookup,
            allow_srv_fallback: routes.allow_srv_lookup_fallback,
            ignore_srv_lookup_error: routes.ignore_srv_lookup_error,
            best_mx_transport: routes.best_mx_transport,
            probe: if client.address_verify_target == "data" { Probe::Data } else { Probe::Rcpt },
            skip_5xx_greeting: client.skip_5xx_greeting,
            skip_quit_response: client.skip_quit_response,
            send_xforward: client.send_xforward_command,
            line_bytes_max: bounded(client.line_length_limit),
            keep_for,
            keep: if client.connection_cache_on_demand { Keep::OnDemand } else { Keep::Never },
            idle_limit: client.connection_cache_time_limit.min(routes.connection_cache_ttl_limit),
            reuse_time_limit: client.connection_reuse_time_limit,
            reuse_count_limit: u32::try_from(client.connection_reuse_count_limit).unwrap_or(u32::MAX),
            source,
            bind_enforce: client.bind_address_enforce,
            discard_maps: opener
                .maps("discard_ehlo_keyword_address_maps", &client.discard_ehlo_keyword_address_maps),
            pix_maps: opener.maps("pix_workaround_maps", &client.pix_workaround_maps),
            pix_threshold: client.pix_workaround_threshold_time,
            pix_delay: client.pix_workaround_delay_time,
            converts: !mime.disable_mime_output_conversion,
            reading: mail::mime::Reading {
                nesting_max: bounded(mime.mime_nesting_limit),
                boundary_bytes_max: bounded(mime.mime_boundary_length_limit),
                header_bytes_max: bounded(mime.header_size_limit),
                ..Default::default()
            },
            checks,
            generic: Some(Generic {
                maps: opener.maps("generic_maps", &client.generic_maps),
                resolver: resolver.clone(),
                propagates: has(&mime.propagate_unmatched_extensions, "generic"),
                token_limit: bounded(mime.header_address_token_limit),
            })
            .filter(|generic| !generic.maps.is_empty()),
            reply_filter: opener.maps("reply_filter", &client.reply_filter),
            dns_reply_filter: opener.maps("dns_reply_filter", &client.dns_reply_filter),
            queue_directory: global.queue_directory.into(),
            chrooted: scope.service().is_some_and(|service| scope.config().is_chrooted(service)),
            connections_max: CONNECTIONS_MAX,
            report,
        };
        opener.open.finish()?;
        Ok(settings)
    }
}

impl Settings {
    /// A resolver that leaves out what `smtp_dns_reply_filter` does not believe; the same one where it is not set.
    pub(in crate::agents::smtp) fn filtered(
        &self,
        resolver: Rc<dyn net::Resolver>,
        tag: &Tag,
    ) -> Rc<dyn net::Resolver> {
        if self.dns_reply_filter.is_empty() {
            return resolver;
        }
        let parameter = match self.dialogue.protocol {
            Protocol::Smtp => "smtp_dns_reply_filter",
            Protocol::Lmtp => "lmtp_dns_reply_filter",
        };
        let tables = Rc::new(self.dns_reply_filter.clone());
        resolver.filtered(Filter { parameter, tables, tag: tag.clone() })
    }

    /// `best_mx_transport` as transport and nexthop.
    pub(in crate::agents::smtp) fn best_mx(&self) -> (&str, &str) {
        self.best_mx_transport.split_once(':').unwrap_or((&self.best_mx_transport, ""))
    }
}

/// `smtp_discard_ehlo_keywords` as they are logged, in Postfix's order; nothing where there are none or
/// `silent-discard` is among them.
pub(in crate::agents::smtp) fn logged_keywords(discarded: &[String]) -> Option<String> {
    const ORDER: [&str; 15] = [
        "8BITMIME",
        "AUTH",
        "ETRN",
        "PIPELINING",
        "SIZE",
        "VERP",
        "VRFY",
        "XCLIENT",
        "XFORWARD",
        "STARTTLS",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "SMTPUTF8",
        "CHUNKING",
        "REQUIRETLS",
    ];
    let has = |word: &str| discarded.iter().any(|d| d.eq_ignore_ascii_case(word));
    let logged: Vec<&str> = ORDER.into_iter().filter(|word| has(word)).collect();
    (!logged.is_empty() && !has("silent-discard")).then(|| logged.join(" "))
}

fn bounded(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn dialogue(protocol: Protocol, client: &Client) -> Dialogue {
    Dialogue {
        protocol,
        helo_name: client.helo_name.clone(),
        ehlo: match (client.never_send_ehlo, client.always_send_ehlo) {
            (true, _) => EhloUse::Never,
            (false, true) => EhloUse::Always,
            (false, false) => EhloUse::WhereGreeted,
        },
        discard_keywords: client.discard_ehlo_keywords.iter().map(|w| w.to_ascii_lowercase()).collect(),
        quote_addresses: client.quote_rfc821_envelope,
        pix_workarounds: client.pix_workarounds.clone(),
    }
}

fn timeouts(client: &Client) -> Timeouts {
    let connect = client.connect_timeout;
    Timeouts {
        connect: if connect.is_zero() { SYSTEM_CONNECT_TIMEOUT } else { connect },
        helo: client.helo_timeout,
        mail: client.mail_timeout,
        rcpt: client.rcpt_timeout,
        data_init: client.data_init_timeout,
        data_xfer: client.data_xfer_timeout,
        data_done: client.data_done_timeout,
        xforward: client.xforward_timeout,
        rset: client.rset_timeout,
        quit: client.quit_timeout,
    }
}

/// Reads what is more than a value.
struct Opener<'a> {
    open: tables::Opener<'a>,
    lmtp: bool,
}

impl Opener<'_> {
    /// A parameter's name.
    fn name(&self, smtp: &str) -> String {
        match smtp {
            "discard_ehlo_keyword_address_maps" if self.lmtp => {
                "lmtp_discard_lhlo_keyword_address_maps".into()
            }
            _ => format!("{}_{smtp}", if self.lmtp { "lmtp" } else { "smtp" }),
        }
    }

    fn maps(&mut self, smtp: &str, specs: &[String]) -> Maps {
        self.open.maps(&self.name(smtp), specs)
    }

    fn names(&mut self, smtp: &str, list: &[String]) -> NameList {
        self.open.names(&self.name(smtp), list)
    }

    fn checks(&mut self, client: &Client) -> Checks {
        Checks {
            header: self.maps("header_checks", &client.header_checks),
            mime: self.maps("mime_header_checks", &client.mime_header_checks),
            nested: self.maps("nested_header_checks", &client.nested_header_checks),
            body: self.maps("body_checks", &client.body_checks),
            prefix: if self.lmtp { "lmtp" } else { "smtp" },
        }
    }

    /// Our own addresses for connections.
    fn sources(&mut self, global: &Global, client: &Client) -> Vec<IpAddr> {
        let mut sources = Vec::new();
        for (smtp, text, v6) in
            [("bind_address", &client.bind_address, false), ("bind_address6", &client.bind_address6, true)]
        {
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
            match bare.parse::<IpAddr>() {
                Ok(address) => sources.push(address),
                Err(_) if !text.is_empty() => {
                    self.open.wrong(&self.name(smtp), format!("expected an address, found `{text}`"));
                }
                Err(_) => sources.extend(self.only_interface(global, v6)),
            }
        }
        sources
    }

    /// The address of a family that `inet_interfaces` names alone: mail leaves from there.
    fn only_interface(&self, global: &Global, v6: bool) -> Option<IpAddr> {
        if global.inet_interfaces.iter().any(|word| word == "all") {
            return None;
        }
        let interfaces = Global { proxy_interfaces: Vec::new(), ..global.clone() };
        // Mistakes were told when our own addresses were read.
        let own = self.open.scope().config().own_addresses(&interfaces, &mut Vec::new());
        let mut own = own.into_iter().filter(|address| address.is_ipv6() == v6);
        own.next().filter(|address| own.next().is_none() && !address.is_loopback())
    }
}
