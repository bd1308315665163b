//! What resolution needs of the configuration: lists and tables, opened once.

use crate::Rules;
use crate::canonical::SERVICE;
use config::parameters::{Global, Rewrite};
use config::{Config, Error, Errors, ServiceType};
use std::net::IpAddr;
use tables::lists::{DomainList, NameList};
use tables::search::{self, Parents};
use tables::{Maps, Settings as TableSettings, Trust};

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
        let mut opener = Opener::new(config, tables);
        let relay = Parents::of("relay_domains", &global.parent_domain_matches_subdomains);
        let relay_domains =
            opener.list("relay_domains", |tables| DomainList::parse(&view.relay_domains, relay, tables));
        let settings = Settings {
            rules: Rules::local(&global, &view),
            utf8: global.smtputf8_enable,
            own_addresses: config.own_addresses(&global, &mut opener.errors),
            mydestination: opener.names("mydestination", &view.mydestination),
            virtual_alias_domains: opener.names("virtual_alias_domains", &view.virtual_alias_domains),
            virtual_mailbox_domains: opener.names("virtual_mailbox_domains", &view.virtual_mailbox_domains),
            relay_domains: relay_domains.unwrap_or_else(|| DomainList::empty(relay)),
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
}

pub(crate) struct Opener<'a> {
    config: &'a Config,
    tables: &'a TableSettings,
    errors: Vec<Error>,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(config: &'a Config, tables: &'a TableSettings) -> Self {
        Opener { config, tables, errors: Vec::new() }
    }

    pub(crate) fn errors(&mut self) -> &mut Vec<Error> {
        &mut self.errors
    }

    /// All mistakes that were found.
    pub(crate) fn finish(self) -> Result<(), Errors> {
        Errors::check(self.errors)
    }

    fn list<T>(
        &mut self,
        name: &str,
        open: impl FnOnce(&TableSettings) -> Result<T, Vec<String>>,
    ) -> Option<T> {
        let result = open(self.tables);
        result.map_err(|texts| self.report(name, texts)).ok()
    }

    pub(crate) fn names(&mut self, name: &str, list: &[String]) -> NameList {
        self.list(name, |tables| NameList::parse(list, tables)).unwrap_or_default()
    }

    pub(crate) fn maps(&mut self, name: &str, specs: &[String]) -> Maps {
        self.trusted(name, specs, Trust::Any)
    }

    /// Tables that say where mail goes.
    fn routes(&mut self, name: &str, specs: &[String]) -> Maps {
        self.trusted(name, specs, Trust::NoSubstitution)
    }

    fn trusted(&mut self, name: &str, specs: &[String], trust: Trust) -> Maps {
        let open = |tables: &TableSettings| {
            let tables = if trust == Trust::Any { tables.clone() } else { tables.with_trust(trust) };
            Maps::open(specs, &tables).map_err(|errors| errors.iter().map(ToString::to_string).collect())
        };
        self.list(name, open).unwrap_or_default()
    }

    fn report(&mut self, name: &str, texts: Vec<String>) {
        let origin = self.config.main().get(name).map(|entry| entry.origin.clone());
        self.errors.extend(texts.into_iter().map(|text| Error::new(origin.clone(), name, text)));
    }
}
