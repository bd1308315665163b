//! What resolution needs of the configuration: lists and tables, opened once.

use crate::Rules;
use crate::canonical::SERVICE;
use config::parameters::{Global, ProbeRoutes, Rewrite};
use config::{Config, Errors, ServiceType};
use std::net::IpAddr;
use tables::lists::{DomainList, NameList};
use tables::search::{self, Parents};
use tables::{Maps, Opener, Settings as TableSettings};

/// The lists, tables and names that addresses are resolved by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The typed parameters.
    pub view: Rewrite,
    /// The rules for addresses found within local parts.
    pub rules: Rules,
    /// `myhostname`.
    pub myhostname: String,
    /// `myorigin`.
    pub myorigin: String,
    /// Whether domains may hold UTF-8 (`smtputf8_enable`).
    pub utf8: bool,
    /// Our own addresses: those of inet_interfaces and proxy_interfaces.
    pub own_addresses: Vec<IpAddr>,
    /// `mydestination`.
    pub mydestination: NameList,
    /// `virtual_alias_domains`.
    pub virtual_alias_domains: NameList,
    /// `virtual_mailbox_domains`.
    pub virtual_mailbox_domains: NameList,
    /// `relay_domains`.
    pub relay_domains: DomainList,
    /// `transport_maps`.
    pub transport_maps: Maps,
    /// Whether a domain in transport_maps stands for its subdomains.
    pub transport_parents: Parents,
    /// `sender_dependent_default_transport_maps`.
    pub sender_transports: Maps,
    /// `sender_dependent_relayhost_maps`.
    pub sender_relayhosts: Maps,
    /// `relocated_maps`.
    pub relocated_maps: Maps,
}

impl Settings {
    /// Opens what the configuration names; the errors name file and line.
    pub fn open(config: &Config, tables: &TableSettings) -> Result<Settings, Errors> {
        let service = config.service(SERVICE, ServiceType::Unix);
        let (global, mut view) = (Global::read(config, service)?, Rewrite::read(config, service)?);
        view.recipient_delimiter = search::delimiters(&view.recipient_delimiter, view.owner_request_special);
        let mut opener = Opener::new(config.scope(service), tables);
        let relay = Parents::of("relay_domains", &global.parent_domain_matches_subdomains);
        let settings = Settings {
            rules: Rules::local(&global, &view),
            utf8: global.smtputf8_enable,
            own_addresses: config.own_addresses(&global, opener.errors()),
            mydestination: opener.names("mydestination", &view.mydestination),
            virtual_alias_domains: opener.names("virtual_alias_domains", &view.virtual_alias_domains),
            virtual_mailbox_domains: opener.names("virtual_mailbox_domains", &view.virtual_mailbox_domains),
            relay_domains: opener.domains("relay_domains", &view.relay_domains, relay),
            transport_maps: opener.routes("transport_maps", &view.transport_maps),
            transport_parents: Parents::of("transport_maps", &global.parent_domain_matches_subdomains),
            sender_transports: opener.routes(
                "sender_dependent_default_transport_maps",
                &view.sender_dependent_default_transport_maps,
            ),
            sender_relayhosts: opener
                .routes("sender_dependent_relayhost_maps", &view.sender_dependent_relayhost_maps),
            relocated_maps: opener.maps("relocated_maps", &view.relocated_maps),
            myhostname: global.myhostname,
            myorigin: global.myorigin,
            view,
        };
        opener.finish()?;
        Ok(settings)
    }

    /// The same for probes of addresses (`address_verify_…`); tables that are no others are shared.
    pub fn of_probes(&self, config: &Config, tables: &TableSettings) -> Result<Settings, Errors> {
        let service = config.service(SERVICE, ServiceType::Unix);
        let p = ProbeRoutes::read(config, service)?;
        let (mut opener, own) = (Opener::new(config.scope(service), tables), &self.view);
        let mut maps = |name: &str, specs: &[String], usual: (&[String], &Maps)| match specs == usual.0 {
            true => usual.1.clone(),
            false => opener.routes(name, specs),
        };
        let transport_maps = maps(
            "address_verify_transport_maps",
            &p.address_verify_transport_maps,
            (&own.transport_maps, &self.transport_maps),
        );
        let sender_transports = maps(
            "address_verify_sender_dependent_default_transport_maps",
            &p.address_verify_sender_dependent_default_transport_maps,
            (&own.sender_dependent_default_transport_maps, &self.sender_transports),
        );
        let sender_relayhosts = maps(
            "address_verify_sender_dependent_relayhost_maps",
            &p.address_verify_sender_dependent_relayhost_maps,
            (&own.sender_dependent_relayhost_maps, &self.sender_relayhosts),
        );
        opener.finish()?;
        let view = Rewrite {
            local_transport: p.address_verify_local_transport,
            virtual_transport: p.address_verify_virtual_transport,
            relay_transport: p.address_verify_relay_transport,
            default_transport: p.address_verify_default_transport,
            relayhost: p.address_verify_relayhost,
            transport_maps: p.address_verify_transport_maps,
            sender_dependent_default_transport_maps: p.address_verify_sender_dependent_default_transport_maps,
            sender_dependent_relayhost_maps: p.address_verify_sender_dependent_relayhost_maps,
            ..own.clone()
        };
        Ok(Settings { view, transport_maps, sender_transports, sender_relayhosts, ..self.clone() })
    }
}
