//! How a delivery comes to a server that is ready for its message: a connection, the greeting, EHLO.

use super::Delivery;
use crate::Via;
use crate::agents::smtp::Room;
use crate::agents::smtp::connection::{Connection, How, Loss, Peer};
use crate::agents::smtp::failure::{Failure, system_text};
use crate::agents::smtp::reply_filter::Note;
use crate::agents::smtp::route::{Place, Target};
use crate::agents::smtp::settings::logged_keywords;
use crate::agents::smtp::stream::Stream;
use net::DialError;
use observe::events::delivery::ConnectFailed;
use protocol::smtp::client::{Event, Protocol, Settings as Dialogue};
use std::net::IpAddr;
use std::rc::Rc;
use tables::{Lookup, search};
use tokio::sync::OwnedSemaphorePermit;

impl Delivery<'_> {
    /// A connection that is ready for a message, and whether it was kept from an earlier one.
    pub(super) async fn connect(
        &mut self,
        target: &Target,
        is_final: bool,
    ) -> Option<(Box<Connection>, bool)> {
        match self.shared.room(Some(target)).await {
            Room::Kept(connection) => Some((connection, true)),
            Room::New(permit) => Some((self.open(target, permit, is_final).await?, false)),
        }
    }

    pub(super) async fn connect_anew(&mut self, target: &Target, is_final: bool) -> Option<Box<Connection>> {
        loop {
            if let Room::New(permit) = self.shared.room(None).await {
                return self.open(target, permit, is_final).await;
            }
        }
    }

    async fn open(
        &mut self,
        target: &Target,
        permit: OwnedSemaphorePermit,
        is_final: bool,
    ) -> Option<Box<Connection>> {
        let peer = Peer::new(target);
        let stream = match self.dial(target, &peer).await {
            Ok(stream) => stream,
            Err(failure) => {
                if let Place::Inet(_) = target.place {
                    observe::emit(self.report.tag(), &ConnectFailed { reason: &failure.0.reason });
                }
                self.why = Some(failure);
                return None;
            }
        };
        let via = Via { relay: &peer.relay, conn_use: 1, connected: None };
        let dialogue = match self.dialogue(target, &peer).await {
            Ok(dialogue) => dialogue,
            Err(failure) => {
                self.server_failed(failure, via, &self.report.places_left(), is_final, true);
                return None;
            }
        };
        let settings = self.shared.settings.clone();
        let mut connection = Box::new(Connection::new(target, stream, settings, dialogue, permit));
        match self.greet(&mut connection).await {
            Ok(()) => Some(connection),
            Err(failure) => {
                if connection.client().stage().is_none() {
                    tokio::task::spawn_local(connection.close());
                }
                self.server_failed(failure, via, &self.report.places_left(), is_final, true);
                None
            }
        }
    }

    /// Connects, from our own address if one is set and can be used (`smtp_bind_address_enforce`).
    async fn dial(&self, target: &Target, peer: &Peer) -> Result<Stream, Failure> {
        let (place, limit) = (&target.place, self.shared.settings.timeouts.connect);
        let failed = |error| Failure::not_connected(peer, &error);
        match Stream::open(place, self.source(place), limit).await {
            Ok(stream) => Ok(stream),
            Err(DialError::Connect(error)) => Err(failed(error)),
            Err(DialError::Bind(source, error)) => {
                let error = system_text(&error);
                let text = format_args!("smtp_connect_addr: bind {source}: {error}");
                observe::warn(self.report.tag(), text);
                if self.shared.settings.bind_enforce {
                    return Err(Failure::cannot_bind());
                }
                Stream::open(place, None, limit).await.map_err(|error| match error {
                    DialError::Bind(_, error) | DialError::Connect(error) => failed(error),
                })
            }
        }
    }

    fn source(&self, place: &Place) -> Option<IpAddr> {
        let Place::Inet(address) = place else { return None };
        let sources = &self.shared.settings.source;
        sources.iter().find(|ip| ip.is_ipv4() == address.is_ipv4()).copied()
    }

    /// How the dialogue with this server is held, by its address.
    async fn dialogue(&self, target: &Target, peer: &Peer) -> Result<Rc<Dialogue>, Failure> {
        let (usual, settings) = (&self.shared.dialogue, &self.shared.settings);
        let Place::Inet(address) = target.place else { return Ok(usual.clone()) };
        let mut dialogue = Rc::clone(usual);
        let key = search::address(address.ip());
        match settings.discard_maps.lookup(&key).await {
            Lookup::NotFound => {}
            Lookup::Found(words) => Rc::make_mut(&mut dialogue).discard_keywords = lower_words(&words),
            Lookup::TempFail(_) => {
                let parameter = match settings.dialogue.protocol {
                    Protocol::Smtp => "smtp_discard_ehlo_keyword_address_maps",
                    Protocol::Lmtp => "lmtp_discard_lhlo_keyword_address_maps",
                };
                let (queue_id, ip) = (&self.report.job().queue_id, &key.text);
                let text = format_args!("{queue_id}: {parameter} map lookup error for {ip}");
                observe::warn(self.report.tag(), text);
                return Err(Failure::local(peer));
            }
        }
        // A table that fails changes nothing: the workarounds do no harm.
        if let Lookup::Found(words) = settings.pix_maps.lookup(&key).await {
            Rc::make_mut(&mut dialogue).pix_workarounds = lower_words(&words);
        }
        Ok(dialogue)
    }

    /// Greeting and HELO.
    async fn greet(&self, connection: &mut Connection) -> Result<(), Failure> {
        let greeted = self.hellos(connection).await;
        if connection.client().is_pix() {
            self.work_around_pix(connection);
        }
        greeted?;
        connection.connected = net::clock::now();
        self.tell_of_extensions(connection);
        self.check_is_not_myself(connection)
    }

    async fn hellos(&self, connection: &mut Connection) -> Result<(), Failure> {
        let peer = connection.peer.clone();
        loop {
            match self.event(connection).await {
                Ok(Event::Ready) => return Ok(()),
                Ok(Event::Refused { stage, response }) => {
                    let skip = self.shared.settings.skip_5xx_greeting;
                    return Err(Failure::refused(&peer, stage, &response, skip));
                }
                // What a stranger says before it spoke SMTP is worth no line of the log.
                Ok(Event::Garbage { .. }) => {}
                Ok(_) => {
                    let loss = Loss { stage: connection.stage(), how: How::Lost };
                    return Err(Failure::lost(&peer, loss));
                }
                Err(loss) => return Err(Failure::lost(&peer, loss)),
            }
        }
    }

    /// `smtp_pix_workarounds`, for a server behind an old firewall.
    fn work_around_pix(&self, connection: &mut Connection) {
        let (settings, job) = (&self.shared.settings, self.report.job());
        let words = connection.dialogue.pix_workarounds.clone();
        if words.is_empty() {
            return;
        }
        let has = |word: &str| words.iter().any(|w| w == word);
        let mut done = Vec::from_iter(has("disable_esmtp").then_some("disable_esmtp"));
        let age = job.stamps.delays(net::clock::now()).0;
        if has("delay_dotcrlf") && age > settings.pix_threshold {
            done.push("delay_dotcrlf");
            connection.end_delay = Some(settings.pix_delay);
        }
        let (queue_id, done, relay) = (&job.queue_id, done.join(" "), &connection.peer.relay);
        let text = format_args!("{queue_id}: enabling PIX workarounds: {done} for {relay}");
        observe::info(self.report.tag(), text);
    }

    /// What comes next on a connection; what its filter did is logged.
    pub(super) async fn event(&self, connection: &mut Connection) -> Result<Event, Loss> {
        let event = connection.event().await;
        for note in connection.notes() {
            match note {
                Note::Replaced(text) => observe::info(self.report.tag(), format_args!("{text}")),
                Note::Failed(text) => {
                    observe::warn(self.report.tag(), format_args!("{}: {text}", self.report.job().queue_id));
                }
            }
        }
        event
    }

    /// What Postfix logs of a server's extensions.
    fn tell_of_extensions(&self, connection: &Connection) {
        let tag = self.report.tag();
        if let Some(keywords) = logged_keywords(&connection.dialogue.discard_keywords) {
            observe::info(tag, format_args!("discarding EHLO keywords: {keywords}"));
        }
        let can = connection.client().capabilities();
        if can.smtputf8 && !can.eight_bit_mime {
            let host = &connection.peer.label;
            observe::info(tag, format_args!("host {host} offers SMTPUTF8 support, but not 8BITMIME"));
        }
    }

    fn check_is_not_myself(&self, connection: &Connection) -> Result<(), Failure> {
        let (settings, name) = (&self.shared.settings, connection.client().server_name());
        if settings.dialogue.protocol == Protocol::Lmtp || !name.eq_ignore_ascii_case(&settings.myhostname) {
            return Ok(());
        }
        let relay = &connection.peer.relay;
        let text = format_args!("host {relay} replied to HELO/EHLO with my own hostname {name}");
        observe::warn(self.report.tag(), text);
        match connection.peer.is_best {
            true => Err(Failure::is_myself(&self.report.job().nexthop)),
            false => Ok(()),
        }
    }
}

fn lower_words(text: &str) -> Vec<String> {
    config::words::list(&text.to_ascii_lowercase())
}
