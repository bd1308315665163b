//! Reads the settings of a service: values, lists and tables, with all that is wrong with them.

use super::{LocalClients, Settings, Surroundings};
use crate::about::{BlocklistReplies, Codes, Rules};
use crate::anvil::Bits;
use crate::commands::{self, Commands};
use crate::footer::{self, Footer};
use crate::listed::Listed;
use crate::lists::Lists;
use crate::macros;
use crate::rates::Limits;
use crate::unverified;
use config::parameters::{Cleanup, Global, Mapping, Smtpd, Unverified, Virtual};
use config::{Errors, Scope, ServiceType};
use protocol::smtp::server::{self, BareNewline, EhloKeywords};
use std::sync::Arc;
use std::time::Duration;
use tables::lists::AddressList;
use tables::search::Parents;
use tables::{Maps, Opener};

/// Stands in the default of alias_maps; on a host without NIS Postfix finds nothing there.
const DEFAULT_NIS: &str = "nis:mail.aliases";

/// What cleanup does with mail of a service: as the line that cleanup_service_name names has it, but for what smtpd does
/// itself.
pub(super) fn cleanup_of(scope: &Scope<'_>) -> Result<Cleanup, Errors> {
    let line = scope.config().service(&scope.expanded("cleanup_service_name")?, ServiceType::Unix);
    let own = Cleanup::read_in(scope)?;
    Ok(Cleanup {
        message_size_limit: own.message_size_limit,
        local_header_rewrite_clients: own.local_header_rewrite_clients,
        ..Cleanup::read(scope.config(), line)?
    })
}

/// Tables whose recipients exist, whatever their class.
fn known_in_all_classes(mapping: &Mapping) -> Vec<String> {
    let Mapping { recipient_canonical_maps, canonical_maps, virtual_alias_maps, .. } = mapping;
    [&recipient_canonical_maps[..], canonical_maps, virtual_alias_maps].concat()
}

/// The value of `stress`: a text for policy services, and nothing in quiet times.
pub(super) fn stress_of(scope: &Scope<'_>) -> String {
    scope.expanded("stress").unwrap_or_default()
}

/// Reads the parameters of one scope.
pub(crate) struct Reader<'a> {
    pub(crate) open: Opener<'a>,
    /// All recipients exist (`no_unknown_recipient_checks`).
    pub(super) all_exist: bool,
}

impl Reader<'_> {
    pub(super) fn settings(
        &mut self,
        global: &Global,
        p: &Smtpd,
        (c, mapper): (&Cleanup, rewrite::Mapper),
        (v, m, (unverified, sender)): (&Virtual, &Mapping, (Unverified, verify::ProbeSender)),
        around: &Surroundings,
    ) -> Settings {
        let scope = self.open.scope();
        let lists = Lists::read(&scope, p, self.open.tables(), self.open.errors());
        let parents_of = |name: &str| Parents::of(name, &global.parent_domain_matches_subdomains);
        let networks = parents_of("mynetworks");
        let rules = Rules {
            utf8: global.smtputf8_enable,
            mynetworks: self.open.clients("mynetworks", &global.mynetworks, networks),
            mx_backup_networks: self.mx_backup_networks(p, parents_of("permit_mx_backup_networks")),
            own_addresses: around.own_addresses.clone(),
            addresses: Arc::clone(&around.addresses),
            listed: Listed {
                local: self.known_recipients("local_recipient_maps", &p.local_recipient_maps),
                relay: self.known_recipients("relay_recipient_maps", &p.relay_recipient_maps),
                virtual_mailbox: self.known_recipients("virtual_mailbox_maps", &v.virtual_mailbox_maps),
                aliases: self.open.maps("virtual_alias_maps", &known_in_all_classes(m)),
                sender_canonical: self.open.maps("sender_canonical_maps", &m.sender_canonical_maps),
                show_table_name: p.show_user_unknown_table_name,
                all_exist: self.all_exist,
            },
            unverified: unverified::Unverified::new(&unverified, around.verifier.clone(), sender),
            codes: codes(p),
            parents: parents_of("smtpd_access_maps"),
            recipient_delimiter: tables::search::delimiters(
                &global.recipient_delimiter,
                m.owner_request_special,
            ),
            null_access_lookup_key: p.smtpd_null_access_lookup_key.clone(),
            allow_untrusted_routing: p.allow_untrusted_routing,
            sasl_enabled: self.open.scope().expanded("smtpd_sasl_auth_enable").is_ok_and(|on| on == "yes"),
            myhostname: global.myhostname.clone(),
            families: families(&global.inet_protocols),
            unknown_helo_defers: p.unknown_helo_hostname_tempfail_action == "defer",
            unknown_address_defers: p.unknown_address_tempfail_action == "defer",
            blocklist_replies: BlocklistReplies {
                default: p.default_rbl_reply.clone(),
                by_domain: self.open.maps("rbl_reply_maps", &p.rbl_reply_maps),
            },
            expansion_filter: macros::allowed(&p.smtpd_expansion_filter),
            sender_login_maps: self.open.maps("smtpd_sender_login_maps", &p.smtpd_sender_login_maps),
            permits_logged: self
                .open
                .names("smtpd_log_access_permit_actions", &p.smtpd_log_access_permit_actions),
            // Not a parameter of the view: TLS is not built yet.
            asks_for_certificates: self
                .open
                .scope()
                .expanded("smtpd_tls_ask_ccert")
                .is_ok_and(|v| v == "yes"),
            relay_clientcerts: self.open.maps("relay_clientcerts", &p.relay_clientcerts),
        };
        let bare_newline = match p.smtpd_forbid_bare_newline.as_str() {
            "no" => BareNewline::Allow,
            "note" => BareNewline::Note,
            "reject" => BareNewline::Reject,
            _ => BareNewline::Normalize,
        };
        Settings {
            dialogue: Arc::new(self.dialogue(global, p, c, around)),
            cleanup: Arc::new(cleanup::Settings::new(global, c, mapper)),
            cleanup_program: "postfix/cleanup".into(),
            tables: rewrite::Tables::Asked,
            checks_content: true,
            content_filter: None,
            polls: unverified.address_verify_poll_count,
            lists: Arc::new(lists),
            commands: self.commands(p),
            footer: self.footer(p),
            reject_filter: self.open.maps("smtpd_reject_filter_maps", &p.smtpd_reject_filter_maps),
            fast_flush_domains: self.open.domains(
                "fast_flush_domains",
                &p.fast_flush_domains,
                parents_of("fast_flush_domains"),
            ),
            timeout: p.smtpd_timeout,
            per_request_deadline: p.smtpd_per_request_deadline,
            min_data_rate: p.smtpd_min_data_rate.max(1),
            peername_lookup: p.smtpd_peername_lookup,
            client_port_logging: p.smtpd_client_port_logging,
            delay_open: p.smtpd_delay_open_until_valid_rcpt,
            limits: Limits::of(p),
            network_bits: Bits {
                v4: bits(p.smtpd_client_ipv4_prefix_length),
                v6: bits(p.smtpd_client_ipv6_prefix_length),
            },
            event_limit_exceptions: self.open.clients(
                "smtpd_client_event_limit_exceptions",
                &p.smtpd_client_event_limit_exceptions,
                parents_of("smtpd_client_event_limit_exceptions"),
            ),
            bare_newline,
            bare_newline_exclusions: self.open.clients(
                "smtpd_forbid_bare_newline_exclusions",
                &p.smtpd_forbid_bare_newline_exclusions,
                parents_of("smtpd_forbid_bare_newline_exclusions"),
            ),
            note_bare_newline: bare_newline == BareNewline::Note,
            discard_ehlo: keywords(p.smtpd_discard_ehlo_keywords.iter().map(String::as_str)),
            discard_ehlo_maps: self
                .open
                .maps("smtpd_discard_ehlo_keyword_address_maps", &p.smtpd_discard_ehlo_keyword_address_maps),
            local_clients: self.local_clients(&c.local_header_rewrite_clients),
            peers: self.peers(p, &parents_of),
            dns_reply_filter: self.open.maps("smtpd_dns_reply_filter", &p.smtpd_dns_reply_filter),
            notices: self.notices(global, p),
            delay_warning_time: self.delay_warning_time(),
            detects_smtputf8: global.detects_smtputf8("smtpd"),
            families: families(&global.inet_protocols),
            exceptions_are_mynetworks: global.mynetworks == p.smtpd_client_event_limit_exceptions,
            stress_calm_time: p.posthaste_stress_calm_time,
            stress: stress_of(&scope),
            rules: Arc::new(rules),
        }
    }

    /// What maps addresses for the cleanup service that mail goes through, and the name of that in the log.
    pub(super) fn mapper(&mut self) -> Result<(rewrite::Mapper, Arc<str>), Errors> {
        let config = self.open.scope().config();
        let line = config.service(&self.open.scope().expanded("cleanup_service_name")?, ServiceType::Unix);
        let name = config.scope(line).expanded("syslog_name")?;
        Ok((rewrite::Mapper::open(config, line, self.open.tables())?, format!("{name}/cleanup").into()))
    }

    /// What the same service looks at content for.
    pub(super) fn checks(&mut self) -> Result<cleanup::checks::Checks, Errors> {
        let config = self.open.scope().config();
        let line = config.service(&self.open.scope().expanded("cleanup_service_name")?, ServiceType::Unix);
        cleanup::checks::Checks::open(config, line, self.open.tables())
    }

    pub(super) fn dialogue(
        &mut self,
        global: &Global,
        p: &Smtpd,
        c: &Cleanup,
        around: &Surroundings,
    ) -> server::Settings {
        server::Settings {
            myhostname: global.myhostname.clone(),
            banner: p.smtpd_banner.clone(),
            helo_required: p.smtpd_helo_required,
            disable_vrfy_command: p.disable_vrfy_command,
            delay_reject: p.smtpd_delay_reject,
            allow_min_user: around.allow_min_user,
            strict_rfc821_envelopes: p.strict_rfc821_envelopes,
            smtputf8_enable: global.smtputf8_enable,
            strict_smtputf8: global.strict_smtputf8,
            replace_stray_cr: c.cleanup_replace_stray_cr_lf,
            line_length_limit: count(p.line_length_limit),
            soft_bounce: global.soft_bounce,
            message_size_limit: c.message_size_limit,
            recipient_limit: count(p.smtpd_recipient_limit),
            recipient_overshoot_limit: count(p.smtpd_recipient_overshoot_limit),
            soft_error_limit: small(p.smtpd_soft_error_limit),
            hard_error_limit: small(p.smtpd_hard_error_limit),
            error_sleep_time: p.smtpd_error_sleep_time,
            junk_command_limit: small(p.smtpd_junk_command_limit),
            forbid_bare_newline_reject_code: code(p.smtpd_forbid_bare_newline_reject_code),
            forbid_unauth_pipelining: p.smtpd_forbid_unauth_pipelining,
            forbidden_commands: commands::list(&p.smtpd_forbidden_commands),
            noop_commands: commands::list(&p.smtpd_noop_commands),
            command_filter: !p.smtpd_command_filter.is_empty(),
            verp_delimiters: self.verp_delimiters(p),
            verp_delimiter_filter: p.verp_delimiter_filter.clone(),
            hand_over_refusals: footer::changes(p),
        }
    }

    fn verp_delimiters(&mut self, p: &Smtpd) -> [u8; 2] {
        const NAME: &str = "default_verp_delimiters";
        let (text, filter) = (&p.default_verp_delimiters, &p.verp_delimiter_filter);
        let allowed = |both: &[u8; 2]| both.iter().all(|b| filter.as_bytes().contains(b));
        text.as_bytes().try_into().ok().filter(allowed).unwrap_or_else(|| {
            let expected = format!("expected two of the characters of verp_delimiter_filter, `{filter}`");
            self.open.wrong(NAME, format!("{expected}, found `{text}`"));
            *b"+="
        })
    }

    fn commands(&mut self, p: &Smtpd) -> Commands {
        Commands {
            filter: self.open.maps("smtpd_command_filter", &p.smtpd_command_filter),
            noop: self.open.names("smtpd_noop_commands", &p.smtpd_noop_commands),
            forbidden: self.open.names("smtpd_forbidden_commands", &p.smtpd_forbidden_commands),
        }
    }

    fn footer(&mut self, p: &Smtpd) -> Footer {
        Footer {
            text: p.smtpd_reject_footer.clone(),
            maps: self.open.maps("smtpd_reject_footer_maps", &p.smtpd_reject_footer_maps),
        }
    }

    fn mx_backup_networks(&mut self, p: &Smtpd, parents: Parents) -> Option<AddressList> {
        let networks = &p.permit_mx_backup_networks;
        (!networks.is_empty()).then(|| self.open.clients("permit_mx_backup_networks", networks, parents))
    }

    /// Tables of recipients that exist; without any, all do.
    fn known_recipients(&mut self, name: &str, specs: &[String]) -> Option<Maps> {
        let chosen = self.open.scope().origin("alias_maps").is_some();
        let counts = |spec: &&String| chosen || *spec != DEFAULT_NIS;
        let specs: Vec<String> = specs.iter().filter(counts).cloned().collect();
        (!specs.is_empty()).then(|| self.open.maps(name, &specs))
    }

    fn local_clients(&mut self, words: &[String]) -> LocalClients {
        const NAME: &str = "local_header_rewrite_clients";
        let mut local = LocalClients::default();
        let mut specs = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_str() {
                "permit_inet_interfaces" => local.own = true,
                "permit_mynetworks" => local.mynetworks = true,
                "permit_sasl_authenticated" => local.logged_in = true,
                // Nobody has shown a certificate yet.
                "permit_tls_all_clientcerts" | "permit_tls_clientcerts" => {}
                "check_address_map" => specs.extend(words.next().cloned()),
                _ if word.contains(':') => specs.push(word.clone()),
                _ => self.open.wrong(
                    NAME,
                    format!("expected permit_inet_interfaces, permit_mynetworks or a table, found `{word}`"),
                ),
            }
        }
        local.tables = self.open.maps(NAME, &specs);
        local
    }

    fn delay_warning_time(&mut self) -> Duration {
        match config::parameters::Qmgr::read_in(&self.open.scope()) {
            Ok(p) => p.delay_warning_time,
            // The queue manager's own reading reports it.
            Err(_) => Duration::ZERO,
        }
    }
}

fn codes(p: &Smtpd) -> Codes {
    Codes {
        reject: code(p.reject_code),
        defer: code(p.defer_code),
        access_map_reject: code(p.access_map_reject_code),
        access_map_defer: code(p.access_map_defer_code),
        relay_domains: code(p.relay_domains_reject_code),
        invalid_hostname: code(p.invalid_hostname_reject_code),
        non_fqdn: code(p.non_fqdn_reject_code),
        multi_recipient_bounce: code(p.multi_recipient_bounce_reject_code),
        plaintext_reject: code(p.plaintext_reject_code),
        unknown_client: code(p.unknown_client_reject_code),
        unknown_hostname: code(p.unknown_hostname_reject_code),
        unknown_address: code(p.unknown_address_reject_code),
        maps_rbl: code(p.maps_rbl_reject_code),
        unknown_local_recipient: code(p.unknown_local_recipient_reject_code),
        unknown_relay_recipient: code(p.unknown_relay_recipient_reject_code),
        unknown_virtual_alias: code(p.unknown_virtual_alias_reject_code),
        unknown_virtual_mailbox: code(p.unknown_virtual_mailbox_reject_code),
    }
}

/// Reply codes are limited to three digits by their parameters' ranges.
pub(crate) fn code(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(554)
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The parameters' ranges keep it below 129.
fn bits(n: u64) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

pub(crate) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn families(words: &[String]) -> net::Families {
    net::Families::parse(&words.join(",")).unwrap_or(net::Families::ALL)
}

pub(crate) fn keywords<'a>(words: impl Iterator<Item = &'a str>) -> EhloKeywords {
    let mut off = EhloKeywords::default();
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "auth" => off.auth = true,
            "starttls" => off.starttls = true,
            "verp" => off.verp = true,
            "pipelining" => off.pipelining = true,
            "size" => off.size = true,
            "vrfy" => off.vrfy = true,
            "etrn" => off.etrn = true,
            "xclient" => off.xclient = true,
            "xforward" => off.xforward = true,
            "enhancedstatuscodes" => off.enhancedstatuscodes = true,
            "8bitmime" => off.eightbitmime = true,
            "dsn" => off.dsn = true,
            "smtputf8" => off.smtputf8 = true,
            "chunking" => off.chunking = true,
            "silent-discard" => off.silently = true,
            // Keywords of what we do not offer: nothing to leave out.
            _ => {}
        }
    }
    off
}
