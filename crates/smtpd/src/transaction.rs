//! What the driver keeps for a mail transaction, and the proofs that it brings into a session.

use crate::list::Effects;
use crate::lists::Permitted;
use crate::serve::Shared;
use crate::settings::Settings;
use cleanup::checks::{Found, Inspection, Source};
use cleanup::{Addresses, Context, Message, Origin};
use mail::smtputf8::Asking;
use mail::{Address, Client, ContentFlags, Envelope, QueueId, Recipient, Reply, RewriteContext, Timestamp};
use observe::Tag;
use protocol::policy::Instance;
use protocol::smtp::server::{Host, MailRequest, Queued};
use std::sync::Arc;

/// What smtpd brings into a session.
pub struct Smtpd;

impl Host for Smtpd {
    type Mail = Mail;
    type Permit = Permitted;
    type Committed = OnDisk;
}

/// A message that lies on stable storage; only the queue's own proof makes one.
pub struct OnDisk(queue::Committed);

impl From<queue::Committed> for OnDisk {
    fn from(committed: queue::Committed) -> Self {
        OnDisk(committed)
    }
}

impl Queued for OnDisk {
    fn queue_id(&self) -> &QueueId {
        self.0.queue_id()
    }
}

/// What the driver keeps for a transaction.
#[derive(Default)]
pub struct Mail {
    /// The id; there is one from the first accepted recipient on.
    pub queue_id: Option<QueueId>,
    /// When the id was given.
    pub arrival: Timestamp,
    /// What policy services know the transaction by.
    pub instance: Option<Instance>,
    /// What restrictions want done with the message.
    pub wishes: Wishes,
    /// What would be put off already at MAIL if nothing refuses (`smtpd_delay_reject = no`).
    pub deferred: Option<Reply>,
    /// Sender and recipients as they are queued; known when the content begins.
    pub(crate) addresses: Option<Addresses>,
    /// How cleanup's lines show the client.
    pub(crate) shown: Shown,
    /// The content so far.
    pub(crate) message: Option<Box<Message>>,
}

/// A client in cleanup's lines: the original one, where XFORWARD told of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// `NAME[ADDRESS]`.
    pub origin: String,
    pub protocol: String,
    pub helo: String,
}

/// What restrictions want done with a message.
#[derive(Default)]
pub struct Wishes {
    /// It is taken and thrown away.
    pub discard: bool,
    /// Why it is held.
    pub hold: Option<String>,
    /// `transport:nexthop` through which it goes.
    pub filter: Option<String>,
    /// Its only recipient.
    pub redirect: Option<Address>,
    /// Recipients in addition.
    pub bcc: Vec<Address>,
    /// Headers above its own.
    pub prepend: Vec<String>,
}

impl Wishes {
    /// Adds what a step wants; of what can be only once, the last counts, but the first reason to hold.
    pub(crate) fn add(&mut self, effects: &mut Effects) {
        self.discard |= effects.discard;
        self.hold = self.hold.take().or(effects.hold.take());
        self.filter = effects.filter.take().or(self.filter.take());
        self.redirect = effects.redirect.take().or(self.redirect.take());
        self.bcc.append(&mut effects.bcc);
        self.prepend.append(&mut effects.prepend);
    }

    /// Adds what header and body checks want, which comes later.
    pub(crate) fn add_found(&mut self, found: Found) {
        self.hold = self.hold.take().or(found.hold);
        self.filter = found.filter.or(self.filter.take());
        self.redirect = found.redirect.or(self.redirect.take());
        self.bcc.extend(found.bcc);
    }

    /// What the queue keeps of it.
    fn keep(self, envelope: &mut Envelope, complete: impl Fn(&Address) -> Address) {
        // Copies are recipients already.
        envelope.hold = self.hold;
        let mut attribute = |name: &str, value: Vec<u8>| envelope.attributes.push((name.to_owned(), value));
        if let Some(filter) = self.filter {
            attribute("L", filter.into_bytes());
        }
        if let Some(address) = self.redirect {
            attribute(">", complete(&address).as_bytes().to_vec());
        }
    }
}

impl Mail {
    /// Begins the content, once all recipients are known: tables are asked about the addresses.
    pub(crate) async fn begin(
        &mut self,
        (shared, settings, tag): (&Shared, &Settings, &Tag),
        origin: Origin<'_>,
        local: bool,
        sender: &Address,
        recipients: &[(Recipient, Permitted)],
    ) {
        if self.message.is_some() {
            return;
        }
        let id = self.queue_id.clone().expect("a transaction with recipients has an id");
        let tag = Tag { program: Arc::clone(&settings.cleanup_program), number: tag.number };
        let tables = settings.tables;
        let named = recipients.iter().map(|(recipient, _)| recipient.clone()).collect();
        // Boxed: a session need not have room for it.
        let mapped =
            Box::pin(cleanup::map_addresses(&settings.cleanup, (&tag, &id), sender, named, tables)).await;
        let (addresses, refusal) = match mapped {
            Ok(addresses) => (Some(addresses), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let sender = addresses.as_ref().map_or_else(Address::null, |known| known.sender.clone());
        let source = Source {
            origin: &self.shown.origin,
            protocol: &self.shown.protocol,
            helo: &self.shown.helo,
            sender: &sender,
            recipient: recipients.last().map(|(recipient, _)| &recipient.address),
        };
        let checks = Arc::clone(&settings.cleanup.checks);
        let inspection =
            Inspection::new(checks, tag.clone(), id.clone(), &source).asking(settings.checks_content);
        let context = Context {
            queue_id: id.clone(),
            arrival: self.arrival,
            sender,
            full_name: String::new(),
            rewrite_context: context(local),
            tables,
            prepended: std::mem::take(&mut self.wishes.prepend),
            inspection: Some(Box::new(inspection)),
        };
        let sole = match recipients {
            [(recipient, _)] => Some(&recipient.address),
            _ => None,
        };
        let (cleanup, draft) = (Arc::clone(&settings.cleanup), shared.intake.draft(id));
        let mut message = Box::new(Message::new(cleanup, tag, draft, context, origin, sole));
        if let Some(refusal) = refusal {
            message.refuse(refusal);
        }
        (self.addresses, self.message) = (addresses, Some(message));
    }
}

fn context(local: bool) -> RewriteContext {
    if local { RewriteContext::Local } else { RewriteContext::Remote }
}

/// What the queue keeps beside the content.
pub(crate) fn envelope(
    settings: &Settings,
    request: MailRequest,
    addresses: Addresses,
    client: Client,
    mail: Mail,
    flags: ContentFlags,
    local: bool,
) -> Envelope {
    let mut envelope = Envelope::new(addresses.sender, mail.arrival);
    envelope.recipients = addresses.mapped.recipients;
    envelope.set_expanded(&addresses.mapped.expanded);
    let asking = Asking::new(request.smtputf8, settings.detects_smtputf8);
    envelope.smtputf8 = asking.options(&envelope.sender, addresses.mapped.needs_smtputf8, flags);
    envelope.envid = request.envid;
    envelope.ret = request.ret;
    if let Some(delimiters) = request.verp {
        envelope.attributes.push(("V".to_owned(), delimiters.to_vec()));
    }
    envelope.encoding = request.encoding;
    envelope.client = client;
    envelope.rewrite_context = context(local);
    let complete = |address: &Address| settings.rules.addresses.complete(address);
    mail.wishes.keep(&mut envelope, complete);
    if !settings.delay_warning_time.is_zero() {
        envelope.warn_at = Some(mail.arrival.after(settings.delay_warning_time));
    }
    envelope
}
