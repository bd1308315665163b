//! Where a recipient's mail goes: transport, nexthop and address class.
//!
//! Postfix: trivial-rewrite(8), ADDRESS_CLASS_README, transport(5). The golden files hold what Postfix answered.

use crate::canonical::{memrchr, strip_dot};
use crate::domain::Domain;
use crate::settings::Settings;
use mail::Address;
use std::sync::Arc;
use tables::lists::Unanswered;
use tables::{Lookup, Maps, now, search};

/// Rewritings of one address at most; each takes an operator off the local part, but `@` may bring a domain of
/// ours with routing in it, again and again.
const ROUNDS_MAX: usize = 100;

/// The class of an address, by its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// mydestination and our own addresses.
    Local,
    /// virtual_alias_domains.
    VirtualAlias,
    /// virtual_mailbox_domains.
    VirtualMailbox,
    /// relay_domains.
    Relay,
    /// All others.
    Default,
}

/// Where mail for one recipient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The transport: a service's name in master.cf.
    pub transport: Arc<str>,
    /// Where the transport delivers to: `example.org`, `[192.0.2.1]:25`, an error's text …
    pub nexthop: Arc<str>,
    /// The recipient as it is delivered.
    pub recipient: Address,
    /// The class of the recipient's domain.
    pub class: AddressClass,
    /// Whether the local part routes on, as in `a%b@c`; strangers may not relay such mail.
    pub routed: bool,
}

/// What resolution found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A way to go.
    Route(Route),
    /// An address that cannot be delivered to: 5.1.3.
    Invalid {
        /// The recipient as far as it was understood.
        recipient: Address,
    },
    /// A table could not be asked: 4.3.0, try later.
    TempFail {
        /// The recipient as far as it was understood.
        recipient: Address,
        /// What the table said; for the log.
        reason: String,
    },
}

impl Resolved {
    /// The route, if there is one.
    pub fn route(&self) -> Option<&Route> {
        match self {
            Resolved::Route(route) => Some(route),
            _ => None,
        }
    }
}

/// Resolves recipients by one snapshot of the configuration; clones share it.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Settings>);

/// An address without the domains that are ours.
enum Peeled {
    /// A recipient here: local part, domain, and whether the domain is local (it was none where it is not).
    Here(Vec<u8>, Vec<u8>, bool),
    /// A recipient elsewhere.
    Elsewhere(Vec<u8>),
}

impl Resolver {
    /// A resolver over opened lists and tables.
    pub fn new(settings: Settings) -> Resolver {
        Resolver(Arc::new(settings))
    }

    /// The lists and tables behind this resolver.
    pub fn settings(&self) -> &Settings {
        &self.0
    }

    /// Where mail from `sender` for `recipient` goes.
    pub async fn resolve(&self, recipient: &Address, sender: &Address) -> Resolved {
        let mut known = recipient.clone();
        match self.try_resolve(recipient, sender, &mut known).await {
            Ok(resolved) => resolved,
            Err(Unanswered(reason)) => Resolved::TempFail { recipient: known, reason },
        }
    }

    /// `resolve` with tables that hold their content in memory; others fail for the time being.
    pub fn resolve_now(&self, recipient: &Address, sender: &Address) -> Resolved {
        now(self.resolve(recipient, sender)).unwrap_or_else(|| Resolved::TempFail {
            recipient: recipient.clone(),
            reason: "a table has to be waited for".to_owned(),
        })
    }

    /// Whether mail for this domain (a name or an address literal) is delivered here.
    pub async fn is_local(&self, domain: &str) -> Result<bool, Unanswered> {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if self.0.mydestination.matches(domain).await? {
            return Ok(true);
        }
        Ok(match Domain::of(domain, self.0.utf8) {
            Domain::Literal(address) => self.0.own_addresses.contains(&address.to_canonical()),
            _ => false,
        })
    }

    async fn try_resolve(
        &self,
        recipient: &Address,
        sender: &Address,
        known: &mut Address,
    ) -> Result<Resolved, Unanswered> {
        let settings = &*self.0;
        let (address, domain) = match self.peel(recipient.as_bytes()).await? {
            Peeled::Here(local, domain, is_local) => {
                let routed = has_routing(&local);
                let address = [local, domain.clone()].join(&b'@');
                *known = Address::new(&address);
                let domain = text(&domain);
                if domain.is_empty() {
                    return Ok(Resolved::Invalid { recipient: known.clone() });
                }
                let class = match is_local {
                    true => AddressClass::Local,
                    false => self.class_of(&domain).await?,
                };
                return self.route_from(known, class, routed, &domain, sender).await;
            }
            Peeled::Elsewhere(address) => {
                let domain = text(&address[memrchr(b'@', &address).map_or(0, |at| at + 1)..]);
                (address, domain)
            }
        };
        *known = Address::new(&address);
        let domain = match Domain::of(&domain, settings.utf8) {
            Domain::Name | Domain::Literal(_) => domain,
            Domain::Numeric | Domain::Invalid => return Ok(Resolved::Invalid { recipient: known.clone() }),
        };
        let local = &address[..memrchr(b'@', &address).unwrap_or(0)];
        let routed = has_routing(local);
        let class = self.class_of(&domain).await?;
        self.route_from(known, class, routed, &domain, sender).await
    }

    /// Takes domains of ours off, with the routing that is found in the local part before them.
    async fn peel(&self, recipient: &[u8]) -> Result<Peeled, Unanswered> {
        let settings = &*self.0;
        let mut address = recipient.to_vec();
        let (mut domain, mut quoted) = (None::<Vec<u8>>, true);
        for _ in 0..ROUNDS_MAX {
            // Without a domain the dot is the local part's.
            if address.contains(&b'@') {
                strip_dot(&mut address);
            }
            if settings.view.resolve_null_domain && address.ends_with(b"@") {
                address.pop();
            } else if let Some(at) = memrchr(b'@', &address) {
                let mut found = address.split_off(at + 1);
                if settings.view.resolve_numeric_domain
                    && Domain::of(&text(&found), settings.utf8) == Domain::Numeric
                {
                    found = [b"[", &found[..], b"]"].concat();
                }
                if !found.is_empty() && !self.is_local(&text(&found)).await? {
                    address.extend(found);
                    return Ok(Peeled::Elsewhere(address));
                }
                address.truncate(at);
                domain = Some(found);
            }
            if !self.routes_on(&address) {
                break;
            }
            strip_source_route(&mut address);
            // In what stands in quotes `%` is looked at before `!`; without them it is the other way about, and what has
            // been read without them once has none any more.
            quoted = quoted && needs_quotes(&address);
            if quoted
                && !address.contains(&b'@')
                && settings.view.allow_percent_hack
                && let Some(at) = memrchr(b'%', &address)
            {
                address[at] = b'@';
            }
            address = settings.rules.apply(address, true);
        }
        if address.is_empty() {
            address = settings.view.empty_address_recipient.clone().into_bytes();
        }
        Ok(match domain {
            Some(domain) => Peeled::Here(address, domain, true),
            // An address without a domain is at this host, whose name need not be one of mydestination.
            None => {
                let is_local = self.is_local(&settings.myhostname).await?;
                Peeled::Here(address, settings.myhostname.clone().into_bytes(), is_local)
            }
        })
    }

    /// Whether a local part holds routing: `@`, `!` or `%`, as far as they count.
    fn routes_on(&self, local: &[u8]) -> bool {
        let view = &self.0.view;
        if !view.resolve_dequoted_address && needs_quotes(local) {
            return false;
        }
        local.contains(&b'@')
            || (view.swap_bangpath && local.contains(&b'!'))
            || (view.allow_percent_hack && local.contains(&b'%'))
    }

    async fn class_of(&self, domain: &str) -> Result<AddressClass, Unanswered> {
        let settings = &*self.0;
        Ok(if settings.virtual_alias_domains.matches(domain).await? {
            AddressClass::VirtualAlias
        } else if settings.virtual_mailbox_domains.matches(domain).await? {
            AddressClass::VirtualMailbox
        } else if settings.relay_domains.matches(domain).await? {
            AddressClass::Relay
        } else {
            AddressClass::Default
        })
    }

    /// Transport and nexthop of the class, then what transport_maps and relocated_maps make of them.
    async fn route_from(
        &self,
        recipient: &Address,
        class: AddressClass,
        routed: bool,
        domain: &str,
        sender: &Address,
    ) -> Result<Resolved, Unanswered> {
        let settings = &*self.0;
        // Programs that get it as an argument would take it for an option.
        if recipient.as_bytes().starts_with(b"-") && !settings.view.allow_min_user {
            return Ok(Resolved::Invalid { recipient: recipient.clone() });
        }
        let (mut transport, mut nexthop) = self.of_class(class, domain, sender).await?;
        let whole = text(recipient.as_bytes());
        let delimiters = &settings.view.recipient_delimiter;
        if class != AddressClass::VirtualAlias && !settings.transport_maps.is_empty() {
            let keys = search::transport(&whole, domain, delimiters, settings.transport_parents);
            if let Some(value) = answer(settings.transport_maps.find(keys).await)? {
                let (new_transport, new_nexthop) = value.split_once(':').unwrap_or((&value, ""));
                let (new_transport, new_nexthop) = (new_transport.trim(), new_nexthop.trim());
                if !new_transport.is_empty() {
                    transport = new_transport.to_owned();
                    nexthop = match (new_nexthop, new_transport) {
                        ("", "error" | "retry") => "Address is undeliverable",
                        ("", _) => domain,
                        (nexthop, _) => nexthop,
                    }
                    .to_owned();
                } else if !new_nexthop.is_empty() {
                    nexthop = new_nexthop.to_owned();
                }
            }
        }
        if let Some(value) = self.mapped(&settings.relocated_maps, &whole).await? {
            let prefix = if settings.view.relocated_prefix_enable { "5.1.6 User has moved to " } else { "" };
            (transport, nexthop) = ("error".to_owned(), format!("{prefix}{value}"));
        }
        let (transport, nexthop) = (transport.into(), nexthop.into());
        Ok(Resolved::Route(Route { transport, nexthop, recipient: recipient.clone(), class, routed }))
    }

    async fn of_class(
        &self,
        class: AddressClass,
        domain: &str,
        sender: &Address,
    ) -> Result<(String, String), Unanswered> {
        let view = &self.0.view;
        let value = match class {
            AddressClass::Local => view.local_transport.clone(),
            AddressClass::VirtualAlias => "error:5.1.1 User unknown in virtual alias table".to_owned(),
            AddressClass::VirtualMailbox => view.virtual_transport.clone(),
            AddressClass::Relay => view.relay_transport.clone(),
            AddressClass::Default => {
                let null = &view.empty_address_default_transport_maps_lookup_key;
                let own = self.by_sender(&self.0.sender_transports, sender, null).await?;
                own.unwrap_or_else(|| view.default_transport.clone())
            }
        };
        let (transport, nexthop) = value.split_once(':').unwrap_or((&value, ""));
        let (transport, nexthop) = (transport.trim(), nexthop.trim());
        if transport.is_empty() {
            return Err(Unanswered(format!("null transport is not allowed: {value}")));
        }
        let mut hop = domain.to_owned();
        if matches!(class, AddressClass::Relay | AddressClass::Default) {
            // Asked even where the transport names its nexthop: a table that fails defers, as in Postfix.
            let null = &view.empty_address_relayhost_maps_lookup_key;
            match self.by_sender(&self.0.sender_relayhosts, sender, null).await? {
                Some(relayhost) => hop = relayhost,
                None if !view.relayhost.is_empty() => hop = view.relayhost.clone(),
                None => {}
            }
        }
        if !nexthop.is_empty() {
            hop = nexthop.to_owned();
        }
        Ok((transport.to_owned(), hop))
    }

    /// What a table says of the sender; `DUNNO` is no answer.
    async fn by_sender(
        &self,
        maps: &Maps,
        sender: &Address,
        null: &str,
    ) -> Result<Option<String>, Unanswered> {
        let sender = text(sender.as_bytes());
        let key = if sender.is_empty() { null } else { &sender };
        let found = self.mapped(maps, key).await?;
        Ok(found.filter(|value| !value.eq_ignore_ascii_case("DUNNO")))
    }

    /// Looks an address up as canonical(5) does.
    async fn mapped(&self, maps: &Maps, address: &str) -> Result<Option<String>, Unanswered> {
        if maps.is_empty() {
            return Ok(None);
        }
        let ours = match address.rsplit_once('@') {
            Some((_, domain)) => {
                domain.eq_ignore_ascii_case(&self.0.myorigin) || self.is_local(domain).await?
            }
            None => true,
        };
        answer(maps.find(search::mapping(address, &self.0.view.recipient_delimiter, ours)).await)
    }
}

fn answer(lookup: Lookup) -> Result<Option<String>, Unanswered> {
    match lookup {
        Lookup::Found(value) => Ok(Some(value)),
        Lookup::NotFound => Ok(None),
        Lookup::TempFail(reason) => Err(Unanswered(reason)),
    }
}

/// Whether a local part has what may be routing for another server, whatever counts here.
fn has_routing(local: &[u8]) -> bool {
    local.iter().any(|byte| b"@!%".contains(byte))
}

/// Whether a local part is written with quotes.
fn needs_quotes(local: &[u8]) -> bool {
    // With a domain behind it: alone, `x@y` would be taken for an address.
    Address::new([local, b"@x"].concat()).to_external().starts_with(b"\"")
}

/// `@site,@site:user@domain` becomes user@domain.
fn strip_source_route(address: &mut Vec<u8>) {
    if address.starts_with(b"@")
        && let Some(colon) = address.iter().position(|&b| b == b':')
    {
        address.drain(..=colon);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
