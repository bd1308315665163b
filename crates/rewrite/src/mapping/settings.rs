//! The tables and lists that addresses are mapped by, opened once.

use super::HeaderClass;
use crate::canonical::{Rules, SERVICE};
use crate::domain::Domain;
use config::parameters::{Cleanup, Global, Mapping, Rewrite};
use config::{Config, Errors, ServiceLine, ServiceType};
use mail::{Address, Recipient};
use std::net::IpAddr;
use std::sync::Arc;
use tables::Maps;
use tables::lists::{NameList, Unanswered};
use tables::search;

/// Maps the addresses of messages by one snapshot of the configuration; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Mapper(pub(super) Arc<Inner>);

/// Tables with the parameter that names them.
#[derive(Clone, Debug, Default)]
pub(super) struct MapTables {
    pub parameter: &'static str,
    pub maps: Maps,
}

/// Which addresses something is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Classes {
    pub envelope_sender: bool,
    pub envelope_recipient: bool,
    pub header_sender: bool,
    pub header_recipient: bool,
}

/// `masquerade_domains` and its exceptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Masquerade {
    pub domains: Vec<String>,
    pub exceptions: NameList,
    pub classes: Classes,
}

/// How far aliases may lead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AliasLimits {
    pub expansion: usize,
    pub recursion: usize,
    pub address_length: usize,
}

/// Domains whose users are found by their names alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Ours {
    myorigin: String,
    mydestination: NameList,
    own_addresses: Vec<IpAddr>,
    utf8: bool,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub local: Rules,
    /// For headers of strangers; nothing leaves them as they are.
    pub remote: Option<Rules>,
    pub ours: Ours,
    pub delimiters: String,
    pub canonical: (MapTables, Classes),
    pub sender_canonical: (MapTables, Classes),
    pub recipient_canonical: (MapTables, Classes),
    pub masquerade: Masquerade,
    pub aliases: MapTables,
    pub alias_limits: AliasLimits,
    pub propagate_canonical: bool,
    pub propagate_virtual: bool,
    pub always_copy: Option<Address>,
    pub sender_copies: MapTables,
    pub recipient_copies: MapTables,
    pub keeps_original: bool,
    pub duplicate_limit: usize,
    pub token_limit: usize,
}

/// Recipients with all that tables have made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Who gets the message; each one once.
    pub recipients: Vec<Recipient>,
    /// Recipients who are aliases and whose sender wants to know: it is told that they were expanded.
    pub expanded: Vec<Recipient>,
    /// A recipient, before aliases were followed, is not ASCII.
    pub needs_smtputf8: bool,
}

impl Ours {
    pub(super) async fn contains(&self, domain: &str) -> Result<bool, Unanswered> {
        if domain.eq_ignore_ascii_case(&self.myorigin) || self.mydestination.matches(domain).await? {
            return Ok(true);
        }
        Ok(match Domain::of(domain, self.utf8) {
            Domain::Literal(address) => self.own_addresses.contains(&address.to_canonical()),
            _ => false,
        })
    }
}

impl Mapper {
    /// Opens what the configuration names for a cleanup service (its line of master.cf, if it has one).
    pub fn open(
        config: &Config,
        cleanup: Option<&ServiceLine>,
        tables: &tables::Settings,
    ) -> Result<Mapper, Errors> {
        let rewrite = config.service(SERVICE, ServiceType::Unix);
        let (rules, forms) = (Global::read(config, rewrite)?, Rewrite::read(config, rewrite)?);
        let (global, own) = (Global::read(config, cleanup)?, Cleanup::read(config, cleanup)?);
        let view = Mapping::read(config, cleanup)?;
        let mut opener = tables::Opener::new(config.scope(cleanup), tables);
        let mut maps = |parameter: &'static str, specs: &[String]| MapTables {
            parameter,
            maps: opener.maps(parameter, specs),
        };
        let canonical = (maps("canonical_maps", &view.canonical_maps), Classes::of(&view.canonical_classes));
        let sender_canonical = (
            maps("sender_canonical_maps", &view.sender_canonical_maps),
            Classes::of(&view.sender_canonical_classes),
        );
        let recipient_canonical = (
            maps("recipient_canonical_maps", &view.recipient_canonical_maps),
            Classes::of(&view.recipient_canonical_classes),
        );
        let aliases = maps("virtual_alias_maps", &view.virtual_alias_maps);
        let sender_copies = maps("sender_bcc_maps", &view.sender_bcc_maps);
        let recipient_copies = maps("recipient_bcc_maps", &view.recipient_bcc_maps);
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let propagates = |class: &str| view.propagate_unmatched_extensions.iter().any(|c| c == class);
        let inner = Inner {
            local: Rules::local(&rules, &forms),
            remote: remote(&own.remote_header_rewrite_domain, &forms),
            ours: Ours {
                own_addresses: config.own_addresses(&rules, opener.errors()),
                mydestination: opener.names("mydestination", &forms.mydestination),
                myorigin: global.myorigin,
                utf8: global.smtputf8_enable,
            },
            delimiters: search::delimiters(&global.recipient_delimiter, view.owner_request_special),
            canonical,
            sender_canonical,
            recipient_canonical,
            masquerade: Masquerade {
                domains: view.masquerade_domains.iter().map(|d| d.to_ascii_lowercase()).collect(),
                exceptions: opener.names("masquerade_exceptions", &view.masquerade_exceptions),
                classes: Classes::of(&view.masquerade_classes),
            },
            aliases,
            alias_limits: AliasLimits {
                expansion: number(own.virtual_alias_expansion_limit),
                recursion: number(own.virtual_alias_recursion_limit),
                address_length: number(view.virtual_alias_address_length_limit),
            },
            propagate_canonical: propagates("canonical"),
            propagate_virtual: propagates("virtual"),
            always_copy: (!view.always_bcc.is_empty()).then(|| Address::new(&view.always_bcc)),
            sender_copies,
            recipient_copies,
            keeps_original: own.enable_original_recipient,
            duplicate_limit: number(own.duplicate_filter_limit),
            token_limit: number(own.header_address_token_limit),
        };
        opener.finish()?;
        Ok(Mapper(Arc::new(inner)))
    }

    /// A mapper that only brings addresses to canonical form.
    pub fn of_rules(local: Rules) -> Mapper {
        Mapper(Arc::new(Inner { local, keeps_original: true, token_limit: 10_240, ..Inner::default() }))
    }

    /// The rules for addresses of our own hosts.
    pub fn rules(&self) -> &Rules {
        &self.0.local
    }

    /// Whether headers of strangers are rewritten, too, and get what they lack (`remote_header_rewrite_domain`).
    pub fn rewrites_strangers(&self) -> bool {
        self.0.remote.is_some()
    }
}

/// The rules for headers of strangers.
fn remote(domain: &str, forms: &Rewrite) -> Option<Rules> {
    let some = |on: bool| on.then(|| domain.to_owned());
    (!domain.is_empty()).then(|| Rules {
        origin: some(forms.append_at_myorigin),
        parent: some(forms.append_dot_mydomain),
        swap_bangpath: forms.swap_bangpath,
        allow_percent_hack: forms.allow_percent_hack,
    })
}

impl Classes {
    fn of(names: &[String]) -> Classes {
        let has = |name: &str| names.iter().any(|n| n == name);
        Classes {
            envelope_sender: has("envelope_sender"),
            envelope_recipient: has("envelope_recipient"),
            header_sender: has("header_sender"),
            header_recipient: has("header_recipient"),
        }
    }

    pub(super) fn has(self, class: HeaderClass) -> bool {
        match class {
            HeaderClass::Sender => self.header_sender,
            HeaderClass::Recipient => self.header_recipient,
        }
    }
}
