//! What smtpd must know of an address: its full form, and which class its domain belongs to.
//!
//! A trait, so that sessions do not depend on how addresses are resolved; `rewrite` does it for real.

use mail::Address;

/// The class of a domain (ADDRESS_CLASS_README).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `mydestination` and our own addresses.
    Local,
    /// `virtual_alias_domains`.
    VirtualAlias,
    /// `virtual_mailbox_domains`.
    VirtualMailbox,
    /// `relay_domains`.
    Relay,
    /// Everywhere else.
    Default,
}

/// What became known of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its class.
    pub class: Class,
    /// The address in full form, as tables have it.
    pub address: Address,
    /// It asks for routing by us (`a%b@c`), which strangers may not.
    pub routed: bool,
    /// Where it would be delivered, if that is a fixed failure: the services `error` and `retry`.
    pub undeliverable: Option<Undeliverable>,
}

/// A fixed failure in place of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeliverable {
    /// It may be delivered later: the service `retry` rather than `error`.
    pub for_now: bool,
    /// Why, perhaps with an enhanced code in front.
    pub reason: String,
}

/// Knows addresses. Contract: never waits for long, since tables of domains lie in memory.
pub trait Addresses: Send + Sync {
    /// The full form: `ann` becomes `ann@example.org` where `myorigin` is that.
    fn complete(&self, address: &Address) -> Address;

    /// Resolves a recipient; an error is a table that cannot answer now.
    fn resolve(&self, recipient: &Address, sender: &Address) -> Result<Resolved, String>;
}

impl Addresses for rewrite::Resolver {
    fn complete(&self, address: &Address) -> Address {
        self.settings().rules.canonical(address)
    }

    fn resolve(&self, recipient: &Address, sender: &Address) -> Result<Resolved, String> {
        use rewrite::AddressClass;
        let full = self.complete(recipient);
        match self.resolve_now(&full, sender) {
            rewrite::Resolved::Route(route) => {
                let class = match route.class {
                    AddressClass::Local => Class::Local,
                    AddressClass::VirtualAlias => Class::VirtualAlias,
                    AddressClass::VirtualMailbox => Class::VirtualMailbox,
                    AddressClass::Relay => Class::Relay,
                    AddressClass::Default => Class::Default,
                };
                let undeliverable = matches!(&*route.transport, "error" | "retry").then(|| Undeliverable {
                    for_now: &*route.transport == "retry",
                    reason: route.nexthop.to_string(),
                });
                Ok(Resolved { class, address: route.recipient, routed: route.routed, undeliverable })
            }
            // Nobody's domain: strangers may not send there, and for our clients delivery says what is wrong.
            rewrite::Resolved::Invalid { recipient } => {
                Ok(Resolved { class: Class::Default, address: recipient, routed: false, undeliverable: None })
            }
            rewrite::Resolved::TempFail { reason, .. } => Err(reason),
        }
    }
}
