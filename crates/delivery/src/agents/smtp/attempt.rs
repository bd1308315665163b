//! One job's delivery: which servers are tried, and what their answers mean for the recipients.

mod setup;

use super::Shared;
use super::adapt::{Adapter, Changes};
use super::checks::Witness;
use super::connection::{Connection, How, Loss, Peer, Unsent};
use super::destination::{self, Site};
use super::failure::{Failure, sent};
use super::route::{self, NoRoute, Place, Target};
use super::settings::Settings;
use crate::{Assignment, Report, Via};
use mail::{Address, Job, SiteFailure};
use observe::Escaped;
use observe::events::delivery::{LinesBroken, ServerPassedOver};
use protocol::smtp::client::{Event, Protocol, Stage, Transaction};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Connections kept from earlier messages that turn out to be closed, one after the other; beyond it a new one is opened.
const STALE_MAX: usize = 5;

/// Bytes of a line that is no reply, as logged.
const GARBAGE_SHOWN: usize = 100;

/// Delivers a job and reports every recipient, whatever happens.
pub(super) async fn deliver(shared: &Rc<Shared>, assignment: Assignment) {
    let number = shared.numbers.take();
    let report = Report::new(assignment, shared.tag.numbered(*number), shared.settings.report);
    let mut delivery = Delivery {
        shared,
        report,
        why: None,
        tried: None,
        site_failure: None,
        session_completed: false,
        is_for_myself: false,
    };
    delivery.run().await;
    let Delivery { report, site_failure, is_for_myself, .. } = delivery;
    match shared.pass_on.get() {
        Some(to) if is_for_myself => {
            let (transport, nexthop) = shared.settings.best_mx();
            report.pass_on(transport, nexthop, &**to);
        }
        _ => report.finish(site_failure),
    }
}

struct Delivery<'a> {
    shared: &'a Rc<Shared>,
    report: Report,
    /// Why the server before did not take the message.
    why: Option<Failure>,
    /// The server that was spoken to over a kept connection: it is not asked again.
    tried: Option<Place>,
    /// The destination's failure, if this was one.
    site_failure: Option<SiteFailure>,
    /// A server has dealt with the message: the destination lives.
    session_completed: bool,
    /// We are the best server ourselves, and `best_mx_transport` says who delivers then.
    is_for_myself: bool,
}

/// How a conversation about a message ended.
#[derive(PartialEq)]
enum End {
    /// The server had its say about each recipient; those without a result go on to the next server.
    Over,
    /// A kept connection had been closed by the server before it saw the message.
    Stale,
}

/// What a server is to the delivery.
#[derive(Clone, Copy)]
struct Reach {
    /// No other server comes after it: what it cannot take now is deferred.
    is_final: bool,
    /// The connection carried messages before.
    is_kept: bool,
}

impl Delivery<'_> {
    async fn run(&mut self) {
        let nexthop = self.report.job().nexthop.clone();
        for _ in 0..STALE_MAX {
            let kept = self.shared.pool.borrow_mut().take_for_nexthop(&nexthop);
            let Some(connection) = kept else { break };
            let (is_final, place) = (connection.is_only, connection.peer.place.clone());
            let end = self.converse(connection, Reach { is_final, is_kept: true }).await;
            if self.report.left() == 0 {
                return;
            }
            if end == End::Over {
                self.tried = Some(place);
                break;
            }
        }
        // Boxed: most deliveries come by a kept connection, and their tasks should be small.
        Box::pin(self.try_servers(&nexthop)).await;
    }

    /// Without a kept connection: all servers, then all fallback relays.
    async fn try_servers(&mut self, nexthop: &str) {
        let fallbacks = &self.shared.settings.fallback_relays;
        self.try_place(nexthop, fallbacks.is_empty(), false).await;
        for (n, relay) in fallbacks.iter().enumerate() {
            if self.report.left() > 0 && !self.is_for_myself {
                self.try_place(relay, n + 1 == fallbacks.len(), true).await;
            }
        }
        if self.report.left() > 0 && !self.is_for_myself {
            let why = self.why.take().unwrap_or_else(Failure::unavailable);
            self.fail_site(why, Via::NONE, &self.report.places_left());
        }
    }

    /// Tries all servers that a nexthop stands for.
    async fn try_place(&mut self, place: &str, is_last: bool, is_fallback: bool) {
        let settings = self.shared.settings.clone();
        let sites = match destination::parse(place, &settings) {
            Ok(sites) => sites,
            Err(text) => {
                observe::warn(self.report.tag(), format_args!("{text}"));
                self.why = Some(Failure::bad_destination(text));
                return;
            }
        };
        for (n, site) in sites.iter().enumerate() {
            let is_last = is_last && n + 1 == sites.len();
            match route::find(site, &*self.shared.resolver, &settings, &self.shared.dice).await {
                Ok(targets) => {
                    self.warn_of_numeric(site, &targets);
                    self.try_targets(&targets, is_last, is_last && sites.len() == 1).await;
                }
                Err(no_route) if no_route.loops && !settings.best_mx_transport.is_empty() => {
                    self.is_for_myself = true;
                }
                Err(no_route) => self.why = Some(self.no_route(&no_route, place, is_fallback)),
            }
            if self.report.left() == 0 || self.is_for_myself {
                return;
            }
        }
    }

    /// An MX record should name a host.
    fn warn_of_numeric(&self, site: &Site, targets: &[Target]) {
        let Site::Inet { name, mail_exchangers: true, .. } = site else { return };
        for host in targets.iter().map(|t| &t.host).filter(|host| host.parse::<IpAddr>().is_ok()) {
            observe::warn(
                self.report.tag(),
                format_args!("numeric domain name in resource data of MX record for {name}: {host}"),
            );
        }
    }

    fn no_route(&self, no_route: &NoRoute, place: &str, is_fallback: bool) -> Failure {
        if let Some(warning) = &no_route.warning {
            observe::warn(self.report.tag(), format_args!("{warning}"));
        }
        let failure = Failure::no_route(no_route);
        let parameter = match is_fallback {
            true => "smtp_fallback_relay",
            false if !place.is_empty() && place == self.shared.settings.relayhost => "relayhost",
            false => return failure,
        };
        if failure.is_soft() {
            return failure;
        }
        // Where all mail goes through one host, a slip in its name must not bounce all mail.
        observe::warn(self.report.tag(), format_args!("{parameter} configuration problem"));
        failure.softened()
    }

    /// Tries addresses in order until every recipient has a result, or a limit is reached.
    async fn try_targets(&mut self, targets: &[Target], is_last: bool, is_sole_site: bool) {
        let limit = |n: usize| if n == 0 { usize::MAX } else { n };
        let is_only = is_sole_site && targets.len() == 1;
        let untried = targets.iter().filter(|t| self.tried.as_ref() != Some(&t.place));
        let targets: Vec<&Target> = untried.take(limit(self.shared.settings.address_limit)).collect();
        let sessions_max = limit(self.shared.settings.session_limit);
        let mut sessions = 0;
        for (n, target) in targets.iter().enumerate() {
            let is_last_address = is_last && n + 1 == targets.len();
            let is_final = is_last_address || (is_last && sessions + 1 >= sessions_max);
            let connected = self.connect(target, is_last_address).await;
            if self.report.left() == 0 {
                // The server refused to talk to us for good.
                return;
            }
            let Some((mut connection, is_kept)) = connected else { continue };
            connection.is_only = is_only;
            let mut end = self.converse(connection, Reach { is_final, is_kept }).await;
            if end == End::Stale {
                let connected = self.connect_anew(target, is_last_address).await;
                if self.report.left() == 0 {
                    return;
                }
                let Some(mut connection) = connected else { continue };
                connection.is_only = is_only;
                end = self.converse(connection, Reach { is_final, is_kept: false }).await;
            }
            sessions += usize::from(end == End::Over);
            if self.report.left() == 0 || sessions >= sessions_max {
                return;
            }
        }
    }

    /// Speaks about the message until the server has had its say, and keeps the connection if it is good for more.
    async fn converse(&mut self, mut connection: Box<Connection>, reach: Reach) -> End {
        let places = self.report.places_left();
        let mut talk =
            Talk { peer: connection.peer.clone(), reach, decided: vec![false; places.len()], places };
        if let Err(failure) = self.check_fits(&connection) {
            connection.uses += 1;
            self.message_failed(&mut talk, &connection, failure);
            self.keep(connection);
            return End::Over;
        }
        let mut transaction = transaction(self.report.job(), &talk.places, &self.shared.settings);
        if self.narrows(&connection) {
            // It is not known before.
            transaction.size = None;
        }
        if let Err(address) = self.generic_envelope(&mut transaction).await {
            let text = format!("smtp_generic_maps map lookup problem for {address}");
            self.local_failure(&mut talk, &connection, &io::Error::other(text));
            return End::Over;
        }
        connection.begin(transaction);
        loop {
            let loss = match self.event(&mut connection).await {
                Ok(Event::TransactionOver) => break,
                Ok(Event::SendContent) => match self.send(&mut connection).await {
                    Ok(()) => continue,
                    Err(Unsent::Lost(loss)) => loss,
                    Err(Unsent::Local(error)) => {
                        self.local_failure(&mut talk, &connection, &error);
                        return End::Over;
                    }
                },
                Ok(Event::MessageFailed { stage: Stage::Mail, response })
                    if reach.is_kept && response.code == 421 =>
                {
                    return End::Stale;
                }
                Ok(Event::OutOfStep | Event::Refused { .. } | Event::Ready) => {
                    Loss { stage: connection.stage(), how: How::Lost }
                }
                Ok(event) => {
                    self.heard(&mut talk, &connection, event);
                    continue;
                }
                Err(loss) => loss,
            };
            let early = [Stage::Rset, Stage::ForwardClient, Stage::ForwardRest, Stage::Mail];
            if reach.is_kept && loss.how == How::Lost && early.contains(&loss.stage) {
                return End::Stale;
            }
            let failure = Failure::lost(&talk.peer, loss);
            let undecided = talk.undecided();
            self.server_failed(failure, via(&connection), &undecided, reach.is_final, true);
            return End::Over;
        }
        self.session_completed = true;
        self.keep(connection);
        End::Over
    }

    fn check_fits(&self, connection: &Connection) -> Result<(), Failure> {
        let (can, peer) = (connection.client().capabilities(), &connection.peer);
        let job = self.report.job();
        let (size, limit) = (job.content.queue_size(), can.size.unwrap_or(0));
        if limit > 0 && size > limit {
            return Err(Failure::too_large(peer, size, limit));
        }
        match mail::smtputf8::is_required(job.smtputf8) && !can.smtputf8 {
            true => Err(Failure::no_smtputf8(peer)),
            false => Ok(()),
        }
    }

    async fn send(&self, connection: &mut Connection) -> Result<(), Unsent> {
        let job = self.report.job();
        let adapter = self.adapter(connection);
        let sent = connection.send(&job.content, adapter, &self.shared.files).await?;
        if sent.broke_a_line {
            let limit = self.shared.settings.line_bytes_max;
            observe::emit(self.report.tag(), &LinesBroken { queue_id: &job.queue_id, limit });
        }
        Ok(())
    }

    /// Whether parts are encoded for this server.
    fn narrows(&self, connection: &Connection) -> bool {
        let can = connection.client().capabilities();
        // UTF-8 in headers is no use without 8-bit text.
        self.shared.settings.converts && !can.eight_bit_mime && !can.smtputf8
    }

    /// What changes the message for this server.
    fn adapter(&self, connection: &Connection) -> Option<Adapter<'_>> {
        let settings = &self.shared.settings;
        let changes = Changes {
            narrows: self.narrows(connection),
            checks: &settings.checks,
            generic: settings.generic.as_ref(),
        };
        Adapter::new(changes, settings.reading, self.witness())
    }

    fn witness(&self) -> Witness {
        Witness { tag: self.report.tag().clone(), queue_id: self.report.job().queue_id.clone() }
    }

    /// The envelope with the addresses that it has outside (`smtp_generic_maps`).
    async fn generic_envelope(&self, transaction: &mut Transaction) -> Result<(), Address> {
        let Some(generic) = &self.shared.settings.generic else { return Ok(()) };
        let recipients = transaction.recipients.iter_mut().map(|r| &mut r.address);
        let witness = self.witness();
        for address in std::iter::once(&mut transaction.sender).chain(recipients) {
            match generic.address(address, &|address: &Address| witness.warn_of_several(address)).await {
                Ok(Some(other)) => *address = other,
                Ok(None) => {}
                Err(_) => return Err(address.clone()),
            }
        }
        Ok(())
    }

    fn local_failure(&mut self, talk: &mut Talk, connection: &Connection, error: &io::Error) {
        observe::warn(self.report.tag(), format_args!("{}: {error}", self.report.job().queue_id));
        let undecided = talk.undecided();
        self.server_failed(Failure::local(&talk.peer), via(connection), &undecided, true, false);
    }

    /// What the server said about the message or a recipient.
    fn heard(&mut self, talk: &mut Talk, connection: &Connection, event: Event) {
        match event {
            Event::Delivered { place, response } => {
                talk.decided[place] = true;
                let now = net::clock::now();
                let knows_dsn = connection.client().capabilities().dsn;
                let verdict = sent(&talk.peer, &response, knows_dsn);
                self.report.recipient(talk.places[place], via(connection), now, verdict);
            }
            Event::RecipientFailed { place, stage, response } => {
                talk.decided[place] = true;
                let failure = Failure::said(&talk.peer, stage, &response);
                let recipient = [talk.places[place]];
                self.server_failed(failure, via(connection), &recipient, talk.reach.is_final, false);
            }
            Event::MessageFailed { stage, response } => {
                let failure = Failure::said(&talk.peer, stage, &response);
                self.message_failed(talk, connection, failure);
            }
            Event::Garbage { line } => self.warn_of_garbage(connection, &line),
            Event::NotForwarded { stage, response } => {
                let (host, said, command) = (&talk.peer.relay, response.one_line(), stage.command());
                observe::warn(
                    self.report.tag(),
                    format_args!("host {host} said: {said} (in reply to {command})"),
                );
            }
            _ => {}
        }
    }

    fn message_failed(&mut self, talk: &mut Talk, connection: &Connection, failure: Failure) {
        let undecided = talk.undecided();
        talk.decided.fill(true);
        self.server_failed(failure, via(connection), &undecided, talk.reach.is_final, false);
    }

    /// Recipients go on to the next server if that may help and there is one; otherwise this is their result.
    fn server_failed(
        &mut self,
        failure: Failure,
        via: Via<'_>,
        places: &[usize],
        is_final: bool,
        is_site: bool,
    ) {
        if failure.another_server_may_help() && !is_final {
            let passed =
                ServerPassedOver { queue_id: &self.report.job().queue_id, reason: &failure.0.reason };
            observe::emit(self.report.tag(), &passed);
            self.why = Some(failure);
        } else if is_site {
            self.fail_site(failure, via, places);
        } else {
            self.fail(&failure, via, places);
        }
    }

    fn fail_site(&mut self, failure: Failure, via: Via<'_>, places: &[usize]) {
        if !self.session_completed {
            self.site_failure = failure.of_site();
        }
        self.fail(&failure, via, places);
    }

    fn fail(&mut self, failure: &Failure, via: Via<'_>, places: &[usize]) {
        let now = net::clock::now();
        for place in places {
            self.report.recipient(*place, via, now, failure.0.clone());
        }
    }

    fn keep(&self, connection: Box<Connection>) {
        self.shared.keep_or_close(&self.report.job().nexthop, connection);
    }

    fn warn_of_garbage(&self, connection: &Connection, line: &[u8]) {
        let (tag, relay) = (self.report.tag(), &connection.peer.relay);
        let protocol =
            if self.shared.settings.dialogue.protocol == Protocol::Lmtp { "LMTP" } else { "ESMTP" };
        let line = Escaped(&line[..line.len().min(GARBAGE_SHOWN)]);
        let queue_id = &self.report.job().queue_id;
        observe::warn(tag, format_args!("{queue_id}: non-{protocol} response from {relay}: {line}"));
    }
}

/// A conversation's recipients: places in the job, by their place in the transaction.
struct Talk {
    peer: Rc<Peer>,
    reach: Reach,
    places: Vec<usize>,
    /// Who has had an answer.
    decided: Vec<bool>,
}

impl Talk {
    /// The job's places of those without an answer.
    fn undecided(&self) -> Vec<usize> {
        self.places
            .iter()
            .zip(&self.decided)
            .filter(|(_, decided)| !**decided)
            .map(|(place, _)| *place)
            .collect()
    }
}

fn via(connection: &Connection) -> Via<'_> {
    let connected = (connection.uses <= 1).then_some(connection.connected);
    Via { relay: &connection.peer.relay, conn_use: connection.uses, connected }
}

fn transaction(job: &Job, places: &[usize], settings: &Settings) -> Transaction {
    Transaction {
        sender: job.sender.clone(),
        recipients: places.iter().map(|place| job.recipients[*place].recipient.clone()).collect(),
        size: Some(job.content.queue_size()),
        encoding: job.encoding,
        smtputf8: job.smtputf8,
        envid: job.envid.clone(),
        ret: job.ret,
        probe: (!job.purpose.delivers()).then_some(settings.probe),
        origin: settings.send_xforward.then(|| Arc::clone(&job.origin)),
    }
}
