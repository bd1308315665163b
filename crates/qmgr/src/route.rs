//! Where each recipient of a message goes, with the cases that never reach an ordinary agent.

use crate::Settings;
use crate::hand::Hand;
use crate::scheduler::Route;
use bounce::{Addressed, Heading};
use mail::{Address, Envelope, Purpose};
use queue::NewMessage;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Transport, nexthop and final address of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the transport in master.cf.
    pub transport: Arc<str>,
    /// Where it goes next.
    pub nexthop: Arc<str>,
    /// The recipient as the agent is to see it.
    pub recipient: Address,
    /// Its domain is this host's own (`mydestination`).
    pub local: bool,
}

/// Finds the way of a recipient: what trivial-rewrite does in Postfix.
pub trait Router {
    /// The way of one recipient; probes may go other ways than mail. A failed lookup gives the transport `retry`, a
    /// hopeless address `error`.
    fn route<'a>(&'a self, recipient: &'a Address, sender: &'a Address, purpose: Purpose) -> Routing<'a>;

    /// What becomes of the addresses of a report; nothing where they stay as they are, without asking.
    fn addressed(&self, _heading: Heading) -> Option<Addressing> {
        None
    }
}

/// The addresses that a report goes out with; nothing where tables cannot be asked. Contract: as [`Routing::Asking`].
pub type Addressing = Pin<Box<dyn Future<Output = Option<Addressed>>>>;

/// The way of a recipient that is being looked for.
pub enum Routing<'a> {
    /// It is known; nothing once it was taken.
    Found(Option<Target>),
    /// A table is asked, which may be somebody else. Contract: it ends by itself, within the deadlines of the tables.
    Asking(Pin<Box<dyn Future<Output = Target> + 'a>>),
}

impl From<Target> for Routing<'_> {
    fn from(target: Target) -> Self {
        Routing::Found(Some(target))
    }
}

impl Future for Routing<'_> {
    type Output = Target;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Target> {
        match self.get_mut() {
            Routing::Found(target) => {
                Poll::Ready(target.take().expect("a future is not polled after its end"))
            }
            Routing::Asking(future) => future.as_mut().poll(context),
        }
    }
}

/// A recipient that is to be delivered, with its way.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub route: Route,
    pub recipient: Address,
}

/// The ways of a message's recipients.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// Sorted so that neighbours may share a job.
    pub routed: Vec<Routed>,
    /// Who gets nothing: the address that notices to postmaster come from.
    pub dropped: Vec<(u32, Address)>,
    /// Who gets nothing because one other address gets the message.
    pub redirected: Vec<u32>,
    /// Transports that nobody serves.
    pub unserved: BTreeSet<Arc<str>>,
}

/// What is known of a message whose ways are looked for, besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// An administrator wants it tried now.
    pub flushed: bool,
    /// As many probes are under way as may be.
    pub too_many_probes: bool,
}

/// Looks for the way of each recipient of a message that is not done; gives the message back with them.
pub(crate) async fn routes(
    message: NewMessage,
    circumstances: Circumstances,
    router: Rc<dyn Router>,
    hand: Rc<dyn Hand>,
    settings: Arc<Settings>,
) -> (NewMessage, Ways) {
    let ways = ways(&message.envelope, &message.done, circumstances, &*router, &*hand, &settings).await;
    (message, ways)
}

async fn ways(
    envelope: &Envelope,
    done: &[bool],
    circumstances: Circumstances,
    router: &dyn Router,
    hand: &dyn Hand,
    settings: &Settings,
) -> Ways {
    let mut ways = Ways::default();
    let purpose = Purpose::of(envelope);
    let Circumstances { flushed, too_many_probes } = circumstances;
    let crowded = too_many_probes && purpose == Purpose::Verification;
    // The filter would take everything.
    let filter = envelope.attribute("L").filter(|_| purpose.delivers());
    let filter = filter.and_then(|f| std::str::from_utf8(f).ok());
    let left = (0u32..)
        .zip(&envelope.recipients)
        .filter(|(index, _)| !done.get(*index as usize).copied().unwrap_or(false));
    let redirect = envelope.attribute(">").map(Address::new);
    // Of all recipients the first in the order of domains and addresses stands for the one that gets the message.
    let first =
        left.clone().min_by_key(|(_, r)| (r.address.domain_lower(), r.address.clone())).map(|(i, _)| i);
    for (index, recipient) in left {
        if redirect.is_some() && first != Some(index) {
            ways.redirected.push(index);
            continue;
        }
        let address = redirect.as_ref().unwrap_or(&recipient.address);
        let fixed = special(address, envelope)
            .or_else(|| crowded.then(|| fixed("retry", TOO_MANY_PROBES, address)))
            .or_else(|| filter.filter(|_| redirect.is_none()).map(|f| filtered(f, address, settings)));
        let target = match fixed {
            Some(target) => target,
            None => router.route(address, &envelope.sender, purpose).await,
        };
        if target.local && settings.is_double_bounce(&target.recipient) {
            ways.dropped.push((index, target.recipient));
            continue;
        }
        let target = match available(target, flushed, hand, settings) {
            Ok(target) => target,
            Err((name, target)) => {
                ways.unserved.insert(name);
                target
            }
        };
        let queue = queue_name(&target, settings);
        ways.routed.push(Routed {
            route: Route { index, transport: target.transport, nexthop: target.nexthop, queue },
            recipient: target.recipient,
        });
    }
    ways.routed.sort_by_cached_key(|r| {
        let address = &r.recipient;
        (r.route.transport.clone(), r.route.queue.clone(), address.domain_lower(), address.clone())
    });
    ways
}

/// Postfix's words where `address_verify_pending_request_limit` is reached.
const TOO_MANY_PROBES: &str = "4.3.2 Too many address verification requests";

/// What Postfix's qmgr decides before it asks anybody.
fn special(recipient: &Address, envelope: &Envelope) -> Option<Target> {
    if recipient.is_null() {
        return Some(fixed("error", "5.1.3 null recipient address", recipient));
    }
    if envelope.force_expire {
        return Some(fixed("retry", "4.7.0 message is administratively expired", recipient));
    }
    None
}

/// `content_filter`, as the message carries it: `transport:nexthop`, without a nexthop
/// `default_filter_nexthop`, or else the recipient's domain.
fn filtered(filter: &str, recipient: &Address, settings: &Settings) -> Target {
    let (transport, nexthop) = filter.split_once(':').unwrap_or((filter, ""));
    let nexthop = match (nexthop, &*settings.default_filter_nexthop) {
        ("", "") => recipient.domain_lower().into(),
        ("", default) => Arc::from(default),
        (own, _) => Arc::from(own),
    };
    Target { transport: transport.into(), nexthop, recipient: recipient.clone(), local: false }
}

/// A transport that is not to be used, or that nobody serves, defers; the error is the name of the latter, with the
/// way taken instead.
fn available(
    target: Target,
    flushed: bool,
    hand: &dyn Hand,
    settings: &Settings,
) -> Result<Target, (Arc<str>, Target)> {
    if !flushed && settings.defer_transports.iter().any(|t| **t == *target.transport) {
        return Ok(fixed("retry", "4.3.2 deferred transport", &target.recipient));
    }
    if !hand.knows(&target.transport) {
        let instead = fixed("retry", "4.3.0 mail transport unavailable", &target.recipient);
        return Err((target.transport, instead));
    }
    Ok(target)
}

pub(crate) fn fixed(transport: &str, nexthop: &str, recipient: &Address) -> Target {
    Target {
        transport: transport.into(),
        nexthop: nexthop.into(),
        recipient: recipient.clone(),
        local: false,
    }
}

/// What counts as one destination (reference 2.5): the nexthop, or the mailbox where a delivery takes one recipient.
fn queue_name(target: &Target, settings: &Settings) -> Arc<str> {
    let nexthop = target.nexthop.to_lowercase();
    if settings.scheduler.transport(&target.transport).recipient_limit != 1 {
        return nexthop.into();
    }
    let local = String::from_utf8_lossy(target.recipient.local_part()).into_owned();
    let user = match local.find(|c| settings.recipient_delimiter.contains(c)) {
        Some(at) if at > 0 => &local[..at],
        _ => &local,
    };
    format!("{user}@{nexthop}").into()
}
