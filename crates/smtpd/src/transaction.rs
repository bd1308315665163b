//! What the driver keeps for a mail transaction, and the proofs that it brings into a session.

use crate::list::Effects;
use crate::lists::Permitted;
use crate::serve::Shared;
use crate::settings::Settings;
use cleanup::{Context, Message, Origin};
use mail::{
    Address, Client, ContentFlags, Encoding, Envelope, Notify, QueueId, Recipient, Reply, RewriteContext,
    Timestamp,
};
use observe::Tag;
use protocol::policy::Instance;
use protocol::smtp::server::{Host, MailRequest, Queued, Recipients};
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
    /// The content so far.
    pub(crate) message: Option<Box<Message>>,
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

    /// What the queue keeps of it.
    fn keep(self, envelope: &mut Envelope, complete: impl Fn(&Address) -> Address) {
        envelope.hold = self.hold;
        let mut attribute = |name: &str, value: Vec<u8>| envelope.attributes.push((name.to_owned(), value));
        if let Some(filter) = self.filter {
            attribute("L", filter.into_bytes());
        }
        if let Some(address) = self.redirect {
            attribute(">", complete(&address).as_bytes().to_vec());
        }
        for address in self.bcc {
            // Nobody is told what becomes of a copy that nobody asked for.
            let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(complete(&address)) };
            envelope.recipients.push(recipient);
        }
    }
}

impl Mail {
    /// Begins the content, once all recipients are known.
    pub(crate) fn begin(
        &mut self,
        (shared, settings, tag): (&Shared, &Settings, &Tag),
        origin: Origin<'_>,
        local: bool,
        sender: &Address,
        sole_recipient: Option<&Address>,
    ) -> &mut Message {
        let id = self.queue_id.clone().expect("a transaction with recipients has an id");
        let (arrival, wishes) = (self.arrival, &mut self.wishes);
        self.message.get_or_insert_with(|| {
            let context = Context {
                queue_id: id.clone(),
                arrival,
                sender: settings.rules.addresses.complete(sender),
                full_name: String::new(),
                rewrite_context: context(local),
                prepended: std::mem::take(&mut wishes.prepend),
            };
            let tag = Tag { program: Arc::clone(&shared.cleanup_program), number: tag.number };
            let (cleanup, draft) = (Arc::clone(&settings.cleanup), shared.intake.draft(id));
            Box::new(Message::new(cleanup, tag, draft, context, origin, sole_recipient))
        })
    }
}

fn context(local: bool) -> RewriteContext {
    if local { RewriteContext::Local } else { RewriteContext::Remote }
}

/// What the queue keeps beside the content.
pub(crate) fn envelope(
    settings: &Settings,
    request: MailRequest,
    recipients: Recipients<Smtpd>,
    client: Client,
    mail: Mail,
    flags: ContentFlags,
    local: bool,
) -> Envelope {
    let addresses = &settings.rules.addresses;
    let complete = |(recipient, _): (Recipient, Permitted)| Recipient {
        address: addresses.complete(&recipient.address),
        ..recipient
    };
    let recipients = recipients.into_iter().map(complete).collect();
    let limit = settings.cleanup.duplicate_filter_limit;
    let mut envelope = Envelope::new(addresses.complete(&request.sender), mail.arrival);
    envelope.recipients = cleanup::without_duplicates(recipients, limit);
    envelope.smtputf8 = smtputf8(&request, &envelope, flags);
    envelope.envid = request.envid;
    envelope.ret = request.ret;
    envelope.encoding = request.encoding;
    if request.encoding == Encoding::Unknown && flags.has(ContentFlags::EIGHT_BIT) {
        envelope.encoding = Encoding::EightBit;
    }
    envelope.client = client;
    envelope.rewrite_context = context(local);
    mail.wishes.keep(&mut envelope, |address| addresses.complete(address));
    if !settings.delay_warning_time.is_zero() {
        envelope.warn_at = Some(mail.arrival.after(settings.delay_warning_time));
    }
    envelope
}

/// Postfix's `sender options`: what of the message needs SMTPUTF8.
fn smtputf8(request: &MailRequest, envelope: &Envelope, flags: ContentFlags) -> u32 {
    let recipients = envelope.recipients.iter().any(|r| r.address.needs_smtputf8());
    u32::from(request.smtputf8)
        | u32::from(request.smtputf8 && flags.has(ContentFlags::UTF8_HEADER)) << 1
        | u32::from(envelope.sender.needs_smtputf8()) << 2
        | u32::from(recipients) << 3
}
