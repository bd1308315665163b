//! What a client would be told, and why, without a message: the lists of a service are asked as for a session.

use crate::about::{About, Stage};
use crate::facts::Facts;
use crate::list::{Effects, Said};
use crate::lists::Finding;
use crate::login::Login;
use crate::peer::{NameStatus, PeerInfo};
use crate::settings::Settings;
use crate::tls::Tls;
use crate::trail::{Step, Trail};
use mail::{Address, Reply};
use net::Resolver;
use observe::Tag;
use std::net::SocketAddr;
use std::sync::Arc;

/// The session that is supposed.
pub struct Supposed {
    /// The client's end.
    pub client: SocketAddr,
    /// The client's name, verified; asked for where none is supposed.
    pub name: Option<String>,
    /// Our end.
    pub server: SocketAddr,
    /// Argument of EHLO.
    pub helo: Option<String>,
    /// Envelope sender.
    pub sender: Option<Address>,
    /// Envelope recipients.
    pub recipients: Vec<Address>,
    /// As whom the client has logged in.
    pub login: Option<String>,
    /// How the session is encrypted.
    pub tls: Option<Tls>,
}

/// A command of the session and what became of it.
pub struct Decided {
    /// As the client sends it; `connect` at first.
    pub command: String,
    /// What was asked, in order.
    pub steps: Vec<Step>,
    /// What restrictions did besides: the action of the log line and its text.
    pub actions: Vec<(&'static str, String)>,
    /// What the client is told; nothing where only the greeting or a plain `Ok` follows.
    pub refusal: Option<Reply>,
}

/// Asks the lists of a service about each command of the session. Tables, DNS and policy services are really asked.
pub async fn explain(
    settings: &Settings,
    resolver: &dyn Resolver,
    tag: &Tag,
    supposed: &Supposed,
) -> (PeerInfo, Vec<Decided>) {
    let peer = peer(settings, resolver, tag, supposed).await;
    let filtered = settings.filtered(resolver, tag);
    let resolver = filtered.as_deref().unwrap_or(resolver);
    let asker = Asker { settings, resolver, tag, peer: &peer, supposed };
    let decided = asker.session().await;
    (peer, decided)
}

async fn peer(settings: &Settings, resolver: &dyn Resolver, tag: &Tag, supposed: &Supposed) -> PeerInfo {
    let mut peer = PeerInfo::unnamed(supposed.client, supposed.server);
    match &supposed.name {
        Some(name) => {
            (peer.name, peer.reverse_name) = (name.clone(), name.clone());
            (peer.name_status, peer.reverse_name_status) = (NameStatus::Known, NameStatus::Known);
        }
        None if settings.peername_lookup => peer.look_up(resolver, tag).await,
        None => {}
    }
    peer.login = supposed.login.as_ref().map(|username| Login {
        method: "PLAIN".to_owned(),
        username: username.clone(),
        counts: true,
    });
    peer.tls = supposed.tls.clone().map(Arc::new);
    peer.name_and_address = peer.shown(settings.client_port_logging);
    peer
}

struct Asker<'a> {
    settings: &'a Settings,
    resolver: &'a dyn Resolver,
    tag: &'a Tag,
    peer: &'a PeerInfo,
    supposed: &'a Supposed,
}

impl Asker<'_> {
    async fn session(&self) -> Vec<Decided> {
        let (lists, supposed) = (&self.settings.lists, self.supposed);
        let at_once = !lists.delay_reject;
        let mut all = Vec::new();
        let trail = Trail::default();
        let found =
            if at_once { Some(lists.connect(&self.about(Stage::Client, &trail)).await) } else { None };
        all.push(decided("connect".to_owned(), &trail, found));
        if let Some(helo) = &supposed.helo {
            let trail = Trail::default();
            let about = About { helo: Some(helo), ..self.about(Stage::Helo, &trail) };
            let found = if at_once { Some(lists.helo(&about).await) } else { None };
            all.push(decided(format!("EHLO {helo}"), &trail, found));
        }
        let Some(sender) = &supposed.sender else { return all };
        let trail = Trail::default();
        let about = self.in_mail(Stage::Sender, &trail);
        let found = if at_once { Some(lists.sender(&about).await) } else { None };
        all.push(decided(format!("MAIL FROM:<{sender}>"), &trail, found));
        let mut accepted = 0;
        for recipient in &supposed.recipients {
            let trail = Trail::default();
            let about = self.in_mail(Stage::Recipient, &trail);
            let about = About { recipient: Some(recipient), recipients: accepted, ..about };
            let Finding { verdict, effects } = lists.recipient(&about).await;
            accepted += usize::from(verdict.is_ok());
            let finding = Finding { verdict: verdict.map(|_| ()), effects };
            all.push(decided(format!("RCPT TO:<{recipient}>"), &trail, Some(finding)));
        }
        if accepted > 0 {
            let trail = Trail::default();
            let about = About { recipients: accepted, ..self.in_mail(Stage::Data, &trail) };
            all.push(decided("DATA".to_owned(), &trail, Some(lists.data(&about).await)));
            let trail = Trail::default();
            let about = About { recipients: accepted, ..self.in_mail(Stage::EndOfData, &trail) };
            all.push(decided("end of data".to_owned(), &trail, Some(lists.end_of_data(&about).await)));
        }
        all
    }

    fn in_mail<'b>(&'b self, stage: Stage, trail: &'b Trail) -> About<'b> {
        let supposed = self.supposed;
        let about = self.about(stage, trail);
        About { helo: supposed.helo.as_deref(), sender: supposed.sender.as_ref(), ..about }
    }

    fn about<'b>(&'b self, stage: Stage, trail: &'b Trail) -> About<'b> {
        About {
            rules: &self.settings.rules,
            client: self.peer,
            helo: None,
            sender: None,
            recipient: None,
            stage,
            subject: None,
            etrn: None,
            improper_pipelining: false,
            recipients: 0,
            discarded: false,
            deferred: None,
            vocabulary: &self.settings.lists.vocabulary,
            tag: self.tag,
            dns: self.resolver,
            facts: Facts::of(stage.command(), "ESMTP", &self.settings.stress),
            polls: self.settings.polls,
            is_watched: false,
            trail: Some(trail),
        }
    }
}

fn decided(command: String, trail: &Trail, found: Option<Finding<()>>) -> Decided {
    let (refusal, effects) = match found {
        Some(Finding { verdict, effects }) => (verdict.err(), effects),
        None => (None, Effects::default()),
    };
    let actions = effects.said.into_iter().filter_map(|said| match said {
        Said::Acted(action, text) => Some((action, text)),
        // Complaints are for the log; the steps show what came of them.
        Said::Complaint(_) => None,
    });
    Decided { command, steps: trail.steps(), actions: actions.collect(), refusal }
}
