//! What a session does with a message: its content comes in, the last restrictions look at it, the queue takes it.

use crate::about::{About, Stage};
use crate::driver::Driver;
use crate::forward;
use crate::notes::Scene;
use crate::notices::Class;
use crate::transaction::{OnDisk, Shown, Smtpd, envelope};
use bytes::Bytes;
use cleanup::{Cause, Origin, Refusal, SmtpSession};
use mail::{Address, Client, Encoding, QueueId, Reply};
use observe::events::cleanup::NotQueued;
use observe::events::smtpd as events;
use observe::{Tag, emit};
use protocol::smtp::server::{Answer, Session, Transaction, Xforward};
use queue::CommitError;
use std::sync::Arc;

impl Driver {
    /// A piece of content. Gives it back where tables may have to be asked first: at the beginning and in the header.
    pub(crate) fn body_now(&self, session: &mut Session<Smtpd>, piece: Bytes) -> Option<Bytes> {
        let mail = session.mail_mut()?;
        match &mut mail.message {
            _ if mail.wishes.discard => None,
            Some(message) if message.is_in_body() => {
                message.append_body(piece);
                None
            }
            _ => Some(piece),
        }
    }

    /// A piece of content before the body.
    pub(crate) async fn body(&self, session: &mut Session<Smtpd>, piece: Bytes) {
        if session.mail_mut().is_some_and(|mail| mail.message.is_none()) {
            self.begin(session).await;
        }
        if let Some(message) = session.mail_mut().and_then(|m| m.message.as_mut()) {
            message.append(piece).await;
        }
    }

    async fn begin(&self, session: &mut Session<Smtpd>) {
        let client = self.client(session);
        let forwarded = session.forwarded();
        let (local, shown) = (self.is_local(&forwarded), self.shown(&client, &forwarded));
        if let Some((request, mail, recipients)) = session.transaction_parts() {
            mail.shown = shown;
            let surroundings = (&*self.shared, &*self.settings, &self.tag);
            let origin = self.origin(&client, request.smtputf8);
            mail.begin(surroundings, origin, local, &request.sender, recipients).await;
        }
    }

    /// The content is complete: the last restrictions, then the queue.
    pub(crate) async fn commit(
        &self,
        mut transaction: Box<Transaction<Smtpd>>,
        session: &Session<Smtpd>,
    ) -> Answer<Smtpd> {
        if transaction.bare_newline && self.settings.note_bare_newline {
            self.noted_bare_newline.set(true);
        }
        let id = transaction.mail.queue_id.clone().expect("a transaction with recipients has an id");
        let sole = sole_recipient(&transaction).cloned();
        if let Err(reply) = self.permit_content(&mut transaction, &id, sole.as_ref(), session).await {
            self.not_queued(&id, false);
            return Answer::Refuse(reply);
        }
        if transaction.mail.wishes.discard {
            self.not_queued(&id, true);
            self.went_well();
            return Answer::Discarded(id);
        }
        match Box::pin(self.enqueue(transaction, &id, session)).await {
            Ok(Some(committed)) => {
                events::MailAccepted::count();
                self.went_well();
                Answer::Queued(committed)
            }
            Ok(None) => {
                self.not_queued(&id, true);
                Answer::Discarded(id)
            }
            Err(Refusal { reply, cause }) => {
                self.not_queued(&id, false);
                let scene = Scene { queue_id: Some(&id), ..Scene::of(session, "END-OF-MESSAGE") };
                self.went_wrong(Some(class_of(cause)), &scene, &reply.to_string());
                Answer::Refuse(reply)
            }
        }
    }

    /// `smtpd_end_of_data_restrictions`.
    async fn permit_content(
        &self,
        transaction: &mut Transaction<Smtpd>,
        id: &QueueId,
        sole: Option<&Address>,
        session: &Session<Smtpd>,
    ) -> Result<(), Reply> {
        let lent = self.shared.trail();
        let scene = Scene { trail: lent.get(), ..Scene::of(session, "END-OF-MESSAGE") };
        let about = self.about(Stage::EndOfData, session, &scene);
        let about = About {
            sender: Some(&transaction.request.sender),
            discarded: transaction.mail.wishes.discard,
            recipients: transaction.recipients().len(),
            recipient: sole,
            facts: about.facts.with(Some(transaction)),
            ..about
        };
        let mut finding = self.settings.lists.end_of_data(&about).await;
        let Transaction { request, mail, .. } = transaction;
        let sender = Some(&request.sender);
        finding.effects.told_hold_once(mail.wishes.hold.is_some());
        mail.wishes.add(&mut finding.effects);
        let sasl_sender = request.sasl_sender.as_deref();
        let scene = Scene { queue_id: Some(id), sender, recipient: sole, sasl_sender, ..scene };
        self.told(&mut finding.effects, finding.verdict, &scene)
    }

    /// Queues the message; nothing where a check throws it away.
    async fn enqueue(
        &self,
        transaction: Box<Transaction<Smtpd>>,
        id: &QueueId,
        session: &Session<Smtpd>,
    ) -> Result<Option<OnDisk>, Refusal> {
        let flags = transaction.flags;
        let (request, mut mail, recipients) = transaction.into_parts();
        let client = self.client(session);
        let forwarded = session.forwarded();
        let local = self.is_local(&forwarded);
        let surroundings = (&*self.shared, &*self.settings, &self.tag);
        mail.shown = self.shown(&client, &forwarded);
        let origin = self.origin(&client, request.smtputf8);
        mail.begin(surroundings, origin, local, &request.sender, &recipients).await;
        let message = mail.message.take().expect("the content has just been begun");
        let mut finished = message.finish().await?;
        if finished.found.discard {
            return Ok(None);
        }
        let tells_eight_bit = finished.found.eight_bit;
        mail.wishes.filter = mail.wishes.filter.take().or_else(|| self.settings.content_filter.clone());
        mail.wishes.add_found(std::mem::take(&mut finished.found));
        let mut addresses = mail.addresses.take().expect("a message is not finished without them");
        let tag = self.cleanup_tag();
        let copies = std::mem::take(&mut mail.wishes.bcc);
        let copies = cleanup::map_copies(&self.settings.cleanup, (&tag, id), &copies, self.settings.tables);
        addresses.mapped.recipients.extend(copies.await?);
        let flags = flags.with(finished.flags);
        let sasl_sender = request.sasl_sender.clone();
        let mut envelope = envelope(&self.settings, request, addresses, client, mail, flags, local);
        if tells_eight_bit && envelope.encoding == Encoding::Unknown {
            envelope.encoding = Encoding::EightBit;
        }
        envelope.attributes.extend(forward::attributes(
            self.peer.login.as_ref(),
            sasl_sender.as_deref(),
            &forwarded,
            self.settings.client_port_logging,
        ));
        let committed = self.shared.intake.commit(finished.sink, envelope, flags).await;
        committed.map(OnDisk::from).map(Some).map_err(|error| self.commit_failed(&error, id))
    }

    /// Logs that a message that has its id does not get into the queue.
    pub(crate) fn not_queued(&self, queue_id: &QueueId, discarded: bool) {
        emit(&self.cleanup_tag(), &NotQueued { queue_id, discarded });
    }

    pub(crate) fn cleanup_tag(&self) -> Tag {
        Tag { program: Arc::clone(&self.settings.cleanup_program), number: self.tag.number }
    }

    fn commit_failed(&self, error: &CommitError, id: &QueueId) -> Refusal {
        observe::warn(&self.tag, format_args!("{id}: {error}"));
        match error {
            CommitError::NoSpace | CommitError::Overload => Refusal::no_room(),
            CommitError::Io(_) => Refusal::cannot_write(),
        }
    }

    /// The client as cleanup's lines show it.
    fn shown(&self, client: &Client, forwarded: &Xforward) -> Shown {
        forward::shown(forwarded, self.settings.client_port_logging).unwrap_or_else(|| Shown {
            origin: self.peer.shown(self.settings.client_port_logging),
            protocol: client.protocol.clone(),
            helo: client.helo.clone(),
        })
    }

    /// What Received tells of the session.
    fn origin<'a>(&'a self, client: &'a Client, smtputf8: bool) -> Origin<'a> {
        let known = &self.settings.peers;
        let login = self.peer.login.as_ref();
        Origin::Smtp(SmtpSession {
            client,
            smtputf8,
            authenticated: login.is_some(),
            login: login.filter(|_| known.authenticated_header).map(|login| login.username.as_str()),
            hidden: known.hide_client_session,
        })
    }

    /// Whether headers are completed as those of our own clients.
    pub(crate) fn is_local(&self, forwarded: &Xforward) -> bool {
        forwarded.local.unwrap_or(self.standing.local)
    }

    /// The client, as the queue and the Received header show it.
    pub(crate) fn client(&self, session: &Session<Smtpd>) -> Client {
        Client {
            name: self.peer.name.clone(),
            reverse_name: self.peer.reverse_name.clone(),
            address: self.peer.address_text(),
            port: self.peer.port_text(),
            helo: session.helo().unwrap_or_default().to_owned(),
            protocol: session.protocol().to_owned(),
            server_address: self.peer.server_address_text(),
            server_port: self.peer.server_port_text(),
        }
    }
}

/// What the postmaster is told a refused message under.
fn class_of(cause: Cause) -> Class {
    match cause {
        Cause::Queue => Class::Resource,
        Cause::Loop => Class::Bounce,
        Cause::Content => Class::Policy,
    }
}

/// The recipient, where there is one alone.
pub(crate) fn sole_recipient(transaction: &Transaction<Smtpd>) -> Option<&Address> {
    match transaction.recipients() {
        [(recipient, _)] => Some(&recipient.address),
        _ => None,
    }
}
