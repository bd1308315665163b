//! What smtpd must know of an address: its full form, and which class its domain belongs to.
//!
//! A trait, so that sessions do not depend on how addresses are resolved; `rewrite` does it for real.

use mail::Address;
use std::future::Future;
use std::pin::Pin;

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

impl Class {
    /// Mail for it ends on this host, whatever DNS says of the domain.
    pub fn is_final(self) -> bool {
        matches!(self, Class::Local | Class::VirtualAlias | Class::VirtualMailbox)
    }
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

/// A resolution under way; an error is a table that cannot answer now.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Resolved, String>> + 'a>>;

/// Knows addresses. Contract: waits no longer than the deadlines of the tables that it asks.
pub trait Addresses: Send + Sync {
    /// The full form: `ann` becomes `ann@example.org` where `myorigin` is that.
    fn complete(&self, address: &Address) -> Address;

    /// Resolves a recipient.
    fn resolve<'a>(&'a self, recipient: &'a Address, sender: &'a Address) -> Resolving<'a>;
}

impl Addresses for rewrite::Resolver {
    fn complete(&self, address: &Address) -> Address {
        self.settings().rules.canonical(address)
    }

    fn resolve<'a>(&'a self, recipient: &'a Address, sender: &'a Address) -> Resolving<'a> {
        Box::pin(async move {
            let full = self.complete(recipient);
            class_and_address(rewrite::Resolver::resolve(self, &full, sender).await)
        })
    }
}

fn class_and_address(resolved: rewrite::Resolved) -> Result<Resolved, String> {
    use rewrite::AddressClass;
    match resolved {
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
