//! What a session answers to what the machine asks: restrictions decide about the client, a sender, a recipient.

use super::Driver;
use crate::about::{About, Stage};
use crate::acceptor::all_busy;
use crate::content::sole_recipient;
use crate::facts::{self, Facts};
use crate::forward;
use crate::list::{Effects, Said};
use crate::notes::Scene;
use crate::notices::Class;
use crate::transaction::{Mail, Smtpd};
use mail::{Address, Reply};
use observe::emit;
use observe::events::smtpd as events;
use protocol::smtp::command::Verb;
use protocol::smtp::server::{Answer, Ask, MailRequest, Session, Xforward};
use queue::NoRoom;

impl Driver {
    /// Counts a command; whether it may go on.
    pub(super) fn count(&self, verb: Verb, session: &Session<Smtpd>) -> Answer<Smtpd> {
        let refused = match verb {
            Verb::Mail => self.rates.message_refused(self.who()),
            _ => self.rates.recipient_refused(self.who()),
        };
        let Some(reply) = refused else { return Answer::Pass };
        let (text, scene) = (reply.to_string(), Scene::of(session, verb.name()));
        self.record(&text, &scene);
        self.went_wrong(Some(Class::Policy), &scene, &text);
        Answer::Refuse(reply)
    }

    /// The session ends for somebody who counts more.
    pub(super) fn makes_room(&self) -> Reply {
        let client = &self.peer.name_and_address;
        let text =
            format_args!("{client} makes room for a client of mynetworks at service \"{}\"", self.service);
        observe::info(&self.tag, text);
        all_busy()
    }

    /// Answers what the machine wants to know.
    pub(super) async fn answer(&self, ask: Ask, session: &mut Session<Smtpd>) -> Answer<Smtpd> {
        let lists = &self.settings.lists;
        let lent = self.shared.trail();
        let trail = lent.get();
        match ask {
            Ask::Connect => {
                let scene = Scene { trail, ..Scene::of(session, session.place()) };
                let mut finding = lists.connect(&self.about(Stage::Client, session, &scene)).await;
                self.deferred_client.replace(finding.effects.defer_if_permit.clone());
                self.told(&mut finding.effects, finding.verdict, &scene).into()
            }
            Ask::Helo { verb, .. } if lists.delay_reject => self.announcement(verb),
            Ask::Helo { verb, name } => {
                let deferred = self.deferred_client.borrow().clone();
                let scene = Scene { helo: Some(&name), trail, ..Scene::of(session, verb.name()) };
                let about = self.about(Stage::Helo, session, &scene);
                let facts = Facts { command: verb.name(), ..about.facts };
                let about = About { sender: None, deferred: deferred.as_ref(), facts, ..about };
                let mut finding = lists.helo(&about).await;
                self.deferred_helo.replace(finding.effects.defer_if_permit.clone());
                match self.told(&mut finding.effects, finding.verdict, &scene) {
                    Ok(()) => self.announcement(verb),
                    Err(reply) => Answer::Refuse(reply),
                }
            }
            Ask::Xclient(_) => unreachable!("XCLIENT is answered before, where the session may be changed"),
            Ask::Count(verb) => self.count(verb, session),
            Ask::Mail(request) => self.mail(&request, session).await,
            Ask::Rcpt(recipient) => self.recipient(&recipient.address, session).await,
            Ask::Data(verb) => {
                let scene = Scene { trail, ..Scene::of(session, verb.name()) };
                let mut finding = lists.data(&self.about(Stage::Data, session, &scene)).await;
                finding.effects.told_hold_once(is_held(session));
                let recipient = session.transaction().and_then(sole_recipient);
                let verdict = self.told(&mut finding.effects, finding.verdict, &Scene { recipient, ..scene });
                if let Some(mail) = session.mail_mut() {
                    mail.wishes.add(&mut finding.effects);
                }
                verdict.into()
            }
            Ask::Vrfy(address) => {
                let scene = Scene { recipient: Some(&address), trail, ..Scene::of(session, "VRFY") };
                let about = self.about(Stage::Recipient, session, &scene);
                let about = About { facts: Facts { command: "VRFY", ..about.facts }, ..about };
                let mut finding = lists.recipient(&about).await;
                self.told(&mut finding.effects, finding.verdict, &scene).map(|_| ()).into()
            }
            Ask::Etrn(domain) => {
                let scene = Scene { trail, ..Scene::of(session, "ETRN") };
                let about = self.about(Stage::Etrn, session, &scene);
                let about = About { sender: None, etrn: Some(&domain), ..about };
                let about = About { facts: Facts { command: "ETRN", ..about.facts }, ..about };
                let mut finding = lists.etrn(&about).await;
                match self.told(&mut finding.effects, finding.verdict, &scene) {
                    Ok(()) => self.etrn(&domain).await.into(),
                    Err(reply) => Answer::Refuse(reply),
                }
            }
            Ask::Filter(line) => self.filter_command(line, session).await,
            Ask::Noop(word) => self.is_noop(&word).await,
            Ask::Forbidden(word) => self.is_forbidden(&word).await,
        }
    }

    async fn mail(&self, request: &MailRequest, session: &Session<Smtpd>) -> Answer<Smtpd> {
        let sender = &request.sender;
        let now = net::clock::now();
        let lists = &self.settings.lists;
        let lent = self.shared.trail();
        let scene = Scene { trail: lent.get(), ..Scene::of(session, "MAIL") };
        let instance = Some(facts::new_instance(self.tag.number, now));
        let mut mail = Mail { arrival: now, instance, ..Mail::default() };
        if !lists.delay_reject {
            let deferred = self.deferred_helo.borrow().clone().or(self.deferred_client.borrow().clone());
            let sasl_sender = request.sasl_sender.as_deref();
            let scene = Scene { sender: Some(sender), sasl_sender, ..scene };
            let about = self.about(Stage::Sender, session, &scene);
            let facts = Facts { size: request.size, sasl_sender, ..about.facts };
            let about = About { deferred: deferred.as_ref(), facts, ..about };
            let mut finding = lists.sender(&about).await;
            mail.deferred = finding.effects.defer_if_permit.clone();
            mail.wishes.add(&mut finding.effects);
            if let Err(reply) = self.told(&mut finding.effects, finding.verdict, &scene) {
                return Answer::Refuse(reply);
            }
        }
        if let Err(full) = self.shared.intake.room(now) {
            let reply = cleanup::Refusal::no_room().reply;
            let text = reply.to_string();
            self.acted("reject", &text, &scene);
            self.went_wrong(Some(Class::Resource), &Scene { sender: Some(sender), ..scene }, &text);
            if let NoRoom::FileSystem(free) = full {
                emit(&self.tag, &events::NotEnoughSpace { free });
            }
            return Answer::Refuse(reply);
        }
        if !self.settings.delay_open {
            self.open(&mut mail, request.sasl_sender.as_deref(), &session.forwarded());
        }
        Answer::Mail(mail)
    }

    async fn recipient(&self, recipient: &Address, session: &mut Session<Smtpd>) -> Answer<Smtpd> {
        let lent = self.shared.trail();
        let scene = Scene { recipient: Some(recipient), trail: lent.get(), ..Scene::of(session, "RCPT") };
        let deferred = session.transaction().and_then(|t| t.mail.deferred.clone());
        let about = self.about(Stage::Recipient, session, &scene);
        let about = About { deferred: deferred.as_ref(), ..about };
        let mut finding = self.settings.lists.recipient(&about).await;
        finding.effects.told_hold_once(is_held(session));
        let permit = match self.told(&mut finding.effects, finding.verdict, &scene) {
            Ok(permit) => permit,
            Err(reply) => return Answer::Refuse(reply),
        };
        let forwarded = session.forwarded();
        let sasl_sender = session.transaction().and_then(|t| t.request.sasl_sender.clone());
        if let Some(mail) = session.mail_mut() {
            if mail.queue_id.is_none() {
                mail.arrival = net::clock::now();
                self.open(mail, sasl_sender.as_deref(), &forwarded);
            }
            mail.wishes.add(&mut finding.effects);
        }
        Answer::Recipient(permit)
    }

    /// Gives the transaction its id.
    fn open(&self, mail: &mut Mail, sasl_sender: Option<&str>, forwarded: &Xforward) {
        let id = self.shared.intake.new_id(mail.arrival);
        let client = self.peer.name_and_address.as_str();
        let sasl = self.sasl(sasl_sender);
        let (orig_queue_id, orig_client) =
            (forwarded.ident.as_deref(), forward::client(forwarded, self.settings.client_port_logging));
        let orig_client = orig_client.as_deref();
        emit(&self.tag, &events::MailBegun { queue_id: &id, client, sasl, orig_queue_id, orig_client });
        mail.queue_id = Some(id);
    }

    /// Logs what restrictions found, and gives the verdict.
    pub(crate) fn told<T>(
        &self,
        effects: &mut Effects,
        verdict: Result<T, Reply>,
        scene: &Scene<'_>,
    ) -> Result<T, Reply> {
        for said in effects.said.drain(..) {
            match said {
                Said::Complaint(complaint) => complaint.log(&self.tag),
                Said::Acted(action, text) => self.acted(action, &text, scene),
            }
        }
        verdict.map_err(|reply| {
            if effects.hangs_up {
                self.hung_up.set(true);
                return reply;
            }
            let reply = if self.settings.dialogue.soft_bounce { reply.softened() } else { reply };
            let text = reply.to_string();
            self.acted("reject", &text, scene);
            self.went_wrong(Some(effects.class.unwrap_or(Class::Policy)), scene, &text);
            if let Some(complaint) = &effects.afterthought {
                complaint.log(&self.tag);
            }
            reply
        })
    }

    pub(crate) fn about<'a>(
        &'a self,
        stage: Stage,
        session: &'a Session<Smtpd>,
        scene: &Scene<'a>,
    ) -> About<'a> {
        let (rules, client) = (&self.settings.rules, &self.peer);
        let transaction = session.transaction();
        let facts = Facts::of(stage.command(), session.protocol(), &self.settings.stress).with(transaction);
        About {
            rules,
            client,
            helo: scene.helo,
            sender: scene.sender,
            // Where all recipients are decided about, those of one are asked about a message with one.
            recipient: scene.recipient.or(facts.sole_recipient),
            stage,
            subject: None,
            etrn: None,
            improper_pipelining: session.pipelined_improperly(),
            recipients: transaction.map_or(0, |t| t.recipients().len()),
            discarded: transaction.is_some_and(|t| t.mail.wishes.discard),
            deferred: None,
            vocabulary: &self.settings.lists.vocabulary,
            tag: &self.tag,
            dns: &*self.dns,
            facts,
            polls: self.settings.polls,
            is_watched: self.verbose,
            trail: scene.trail,
        }
    }
}

fn is_held(session: &Session<Smtpd>) -> bool {
    session.transaction().is_some_and(|t| t.mail.wishes.hold.is_some())
}
