//! One client of postscreen: its socket, its clock, the questions to DNS lists, and the way on to smtpd.

use super::access::Access;
use super::dnsbl::{self, Answers, Score};
use super::early::{Early, Input, Judgement, Next};
use super::engine::{Engine, Outputs};
use super::kinds::{Action, Test, Tests};
use super::names::Names;
use super::recording::Found;
use super::screen::Screen;
use super::settings::Settings;
use super::upstream;
use crate::acceptor::{self, Acceptor, Turn};
use crate::dns_lists::question;
use crate::listener::{self, Accepted, Ends};
use crate::serve::{Open, Shared};
use mail::{Dsn, Reply};
use net::dns::{DnsError, Listing};
use observe::events::postscreen::{Finding, ListFailed, ListedByDomain, Rejection, Screened};
use observe::{Tag, emit};
use protocol::haproxy::Header;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::keeper::seconds;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// What is looked at of what a client says before its turn, as in Postfix.
const EARLY_BYTES_MAX: usize = 1023;

/// What is read of a client at once.
const PIECE: usize = 4096;

/// How long a client may take to take a reply; it is told in a line or two.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How long accepting rests where descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A postscreen service on one event loop.
pub(crate) struct Loop {
    pub(crate) shared: Rc<Shared>,
    pub(crate) program: Arc<str>,
    pub(crate) dnsblog_program: Arc<str>,
    pub(crate) screen: Arc<Screen>,
    /// The service that takes who passes.
    pub(crate) onward: Rc<Acceptor>,
}

/// Takes clients until the process retires.
pub(crate) async fn accept(service: Rc<Loop>, listener: listener::Open) {
    let shared = Rc::clone(&service.shared);
    while !shared.retired.get() {
        let accepted = tokio::select! {
            biased;
            () = shared.retire.notified() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(Accepted::Client(stream, Ends::Internet { client, server })) => {
                service.begin(stream, client, server);
            }
            // Only internet services have clients to look at; the plan lets no other have this program.
            Ok(_) => {}
            Err(error) if acceptor::is_of_one_connection(&error) => {}
            Err(error) => {
                let tag = Tag { program: Arc::clone(&service.program), number: std::process::id() };
                observe::warn(&tag, format_args!("accept connection: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Loop {
    fn begin(self: &Rc<Self>, stream: TcpStream, client: SocketAddr, server: SocketAddr) {
        let number = self.shared.numbers.take();
        let tag = |program: &Arc<str>| Tag { program: Arc::clone(program), number: *number };
        let (client, server) = (canonical(client), canonical(server));
        let mut driver = Driver {
            tag: tag(&self.program),
            dnsblog: tag(&self.dnsblog_program),
            service: Rc::clone(self),
            stream,
            client,
            server,
            told: false,
            name: String::new(),
            connected: Instant::now(),
            found: Found::default(),
        };
        let open = Open::new(Rc::clone(&self.shared));
        let said = driver.tag.clone();
        let serve = async move {
            if driver.learn_ends().await {
                driver.run().await;
            }
        };
        tokio::task::spawn_local(async move {
            if let Err(panic) = crate::catch::CatchPanic::new(serve).await {
                observe::panic(&said, format_args!("{}", crate::catch::message(&*panic)));
            }
            drop((number, open));
        });
    }
}

/// The same end, not in the guise of the other family.
fn canonical(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

/// One client.
struct Driver {
    service: Rc<Loop>,
    stream: TcpStream,
    client: SocketAddr,
    server: SocketAddr,
    /// A proxy has told who they are.
    told: bool,
    /// `[192.0.2.1]:40000`.
    name: String,
    tag: Tag,
    dnsblog: Tag,
    connected: Instant,
    found: Found,
}

/// What the tests came to.
enum Outcome {
    /// smtpd takes it.
    Pass,
    /// It is over.
    End,
}

impl Driver {
    fn screen(&self) -> &Arc<Screen> {
        &self.service.screen
    }

    fn settings(&self) -> &Settings {
        &self.service.screen.settings
    }

    fn say(&self, finding: &Finding) {
        let respectful = self.settings().respectful;
        let said = Screened { client: &self.name, finding, respectful };
        self.found.note(&said);
        emit(&self.tag, &said);
    }

    fn warn(&self, text: String) {
        observe::warn(&self.tag, format_args!("{text}"));
    }

    /// Who the client is, where a proxy must tell; whether it has.
    async fn learn_ends(&mut self) -> bool {
        if let Some(limit) = self.settings().upstream {
            match upstream::receive(&self.stream, limit, &self.tag).await {
                Some(Header::Proxied { client, server }) => {
                    (self.client, self.server) = (canonical(client), canonical(server));
                }
                Some(Header::Local) => {}
                None => {
                    let mut reply = Vec::new();
                    protocol::smtp::reply::write(&upstream::refusal(), &mut reply);
                    let _ = self.write(&reply).await;
                    self.drain();
                    return false;
                }
            }
            self.told = true;
            self.connected = Instant::now();
        }
        self.name = format!("[{}]:{}", self.client.ip(), self.client.port());
        true
    }

    async fn run(self) {
        self.say(&Finding::Connect(format!("[{}]:{}", self.server.ip(), self.server.port())));
        let screen = Arc::clone(self.screen());
        let counted = screen.clients.count(self.client.ip());
        let limit = screen.settings.connection_count_limit;
        if limit > 0 && u64::from(counted.count) > limit {
            let reply = Reply::new(421, Dsn::new(4, 7, 0), "Error: too many connections");
            return self.refuse("too many connections", reply).await;
        }
        if screen.is_full() {
            return self.refuse_busy().await;
        }
        match Box::pin(self.judge()).await {
            Outcome::Pass => self.hand_over().await,
            Outcome::End => self.disconnect(),
        }
    }

    /// Says no before anything was tested.
    async fn refuse(&self, why: &'static str, reply: Reply) {
        self.say(&Finding::Refused(why));
        self.record(None, &reply);
        self.reply(reply).await;
        self.disconnect();
    }

    fn record(&self, rejection: Option<&Rejection>, reply: &Reply) {
        let around = (&self.service.shared.recent, &*self.service.program);
        self.found.record(around, (self.client, &self.name), rejection, reply);
    }

    async fn refuse_busy(&self) {
        self.refuse("all server ports busy", acceptor::all_busy()).await;
    }

    /// What was not read would make the kernel reset the connection, and take the reply with it.
    fn drain(&self) {
        let mut rest = [0; PIECE];
        while matches!(self.stream.try_read(&mut rest), Ok(1..)) {}
    }

    fn disconnect(&self) {
        self.drain();
        self.say(&Finding::Disconnect);
    }

    async fn judge(&self) -> Outcome {
        let (settings, address) = (self.settings(), self.client.ip());
        let access = settings.access.ask(address, &|text| self.warn(text)).await;
        let mut refusal = None;
        match access {
            Access::Permit => {
                self.say(&Finding::Allowlisted);
                return Outcome::Pass;
            }
            Access::Reject => {
                self.say(&Finding::Denylisted);
                let reply = |code| Reply::new(code, Dsn::new(5, 3, 2), "Service currently unavailable");
                match settings.denylist_action {
                    Action::Ignore => {}
                    Action::Enforce => refusal = Some(reply(550)),
                    Action::Drop => return self.end_with(reply(521)).await,
                }
            }
            Access::Dunno => {}
        }
        let known = self.screen().cache.get(&address).unwrap_or_default();
        let todo = settings.early.todo(&known, seconds());
        if todo.is_empty() && refusal.is_none() {
            self.say(&Finding::PassOld);
            return Outcome::Pass;
        }
        let allowed = settings.allowlist_interfaces.matches(None, self.server.ip()).await;
        let veto = !matches!(allowed, Ok(true));
        if veto {
            self.say(&Finding::Veto);
        }
        let Some(_testing) = self.screen().test(&self.tag) else {
            let reply = Reply::new(421, Dsn::new(4, 3, 2), "All screening ports are busy");
            self.say(&Finding::Refused("all screening ports busy"));
            return self.end_with(reply).await;
        };
        let stressed = usize::from(self.screen().is_stressed());
        let (next, judgement) = self.early(Judgement::new(todo, refusal, veto), stressed).await;
        match next {
            Next::Wait | Next::Close(None) => Outcome::End,
            Next::Close(Some(reply)) => self.end_with(reply).await,
            // Another connection of this client may have passed meanwhile.
            Next::Pass | Next::Talk if judgement.is_good() && self.is_known() => {
                self.say(&Finding::PassOld);
                Outcome::Pass
            }
            Next::Pass => {
                self.passed(&judgement, &known, true);
                Outcome::Pass
            }
            Next::Talk => {
                let (judgement, reached) = self.talk(judgement, settings.times[stressed].command).await;
                self.passed(&judgement, &known, reached);
                Outcome::End
            }
        }
    }

    async fn end_with(&self, reply: Reply) -> Outcome {
        self.record(None, &reply);
        self.reply(reply).await;
        Outcome::End
    }

    fn is_known(&self) -> bool {
        let known = self.screen().cache.get(&self.client.ip()).unwrap_or_default();
        self.settings().early.todo(&known, seconds()).is_empty()
    }

    /// Remembers what was passed; where it is enough, that is told, and whether all of it had been passed before.
    fn passed(&self, judgement: &Judgement, known: &super::cache::Entry, enough: bool) {
        if enough && judgement.is_good() {
            self.say(&if judgement.is_of_a_new_client(known) { Finding::PassNew } else { Finding::PassOld });
        }
        if let Some(entry) = judgement.entry(&self.settings().early, known, seconds()) {
            self.screen().cache.put(self.client.ip(), entry);
        }
    }

    /// The tests before the greeting.
    async fn early(&self, judgement: Judgement, stressed: usize) -> (Next, Judgement) {
        let settings = self.settings();
        if !judgement.todo.has_any(&[Test::Pregreet, Test::Dnsbl]) {
            return (Next::Talk, judgement);
        }
        let pregreet = judgement.todo.has(Test::Pregreet);
        if pregreet && !settings.greet_banner.is_empty() {
            let teaser = format!("220-{}\r\n", settings.greet_banner);
            if self.write(teaser.as_bytes()).await.is_err() {
                return (Next::Close(None), judgement);
            }
        }
        let mut lists = self.ask_lists(judgement.todo);
        let mut answers = Answers::new();
        let mut early = Early::new(&settings.early, self.client.ip(), judgement);
        let until = Instant::now() + settings.times[stressed].greet_wait;
        let mut listens = true;
        let mut text = [0; EARLY_BYTES_MAX];
        loop {
            let mut findings = Vec::new();
            let next = tokio::select! {
                biased;
                peeked = self.stream.peek(&mut text), if listens && early.listens() => {
                    let after = self.connected.elapsed();
                    match peeked {
                        Ok(0) | Err(_) => early.step(Input::HungUp(after), &mut findings),
                        Ok(n) if pregreet => early.step(Input::Spoke(&text[..n], after), &mut findings),
                        Ok(_) => {
                            listens = false;
                            Next::Wait
                        }
                    }
                }
                Some(answered) = lists.join_next(), if !lists.is_empty() => {
                    if let Ok((domain, answer)) = answered {
                        self.found.listed(&domain, &answer);
                        answers.extend(answer.ok().map(|listing| (domain, listing)));
                    }
                    if lists.is_empty() {
                        let score = self.score(&answers).await;
                        early.step(Input::Listed(&score), &mut findings)
                    } else {
                        Next::Wait
                    }
                }
                () = sleep_until(until) => {
                    let score = self.score(&answers).await;
                    early.step(Input::Time(&score), &mut findings)
                }
                () = self.service.shared.stops() => Next::Close(Some(self.going_down())),
            };
            findings.iter().for_each(|finding| self.say(finding));
            if next != Next::Wait {
                return (next, early.judgement);
            }
        }
    }

    /// Asks each DNS list; an answer comes with the list's domain.
    fn ask_lists(&self, todo: Tests) -> JoinSet<(String, Result<Listing, DnsError>)> {
        let mut asked = JoinSet::new();
        if !todo.has(Test::Dnsbl) {
            return asked;
        }
        let settings = self.settings();
        let mut domains: Vec<&str> = settings.sites.iter().map(|site| site.domain.as_str()).collect();
        domains.sort_unstable();
        domains.dedup();
        for domain in domains {
            let (shared, tag, address) =
                (Rc::clone(&self.service.shared), self.dnsblog.clone(), self.client.ip());
            let (domain, limit) = (domain.to_owned(), settings.dnsbl_timeout);
            asked.spawn_local(async move {
                let answer = ask_list(&shared, &tag, address, &domain, limit).await;
                (domain, answer)
            });
        }
        asked
    }

    /// The score, with the domain as replies are to show it.
    async fn score(&self, answers: &Answers) -> Score {
        let mut score = dnsbl::score(&self.settings().sites, answers);
        if let Some(domain) = &score.domain {
            let key = tables::search::Key { text: domain.clone(), part: false };
            if let tables::Lookup::Found(shown) = self.settings().dnsbl_reply_map.find([key]).await {
                score.domain = Some(shown);
            }
        }
        score
    }

    /// Talks SMTP: what was found in the end, and whether it got as far as a recipient.
    async fn talk(&self, judgement: Judgement, time: Duration) -> (Judgement, bool) {
        let settings = self.settings();
        let keywords = settings.discard_ehlo(self.client.ip()).await;
        let spoke = judgement.failed.has(Test::Pregreet);
        let guilty = spoke && settings.early.setup(Test::Pregreet).action == Action::Enforce;
        let begun = Instant::now();
        let mut engine = Engine::new(&settings.engine, keywords, judgement);
        let mut out = Outputs::default();
        engine.greet(!guilty, &mut out);
        let mut until = begun + time;
        let mut piece = [0; PIECE];
        loop {
            for mut finding in out.findings.drain(..) {
                if let Finding::Rejected(rejection) = &mut finding {
                    rejection.reply = self.softened(rejection.reply.clone());
                    self.record(Some(rejection), &rejection.reply);
                }
                self.say(&finding);
            }
            let replies = std::mem::take(&mut out.replies);
            if !replies.is_empty() {
                until = Instant::now() + time;
            }
            for reply in replies {
                self.reply(reply).await;
            }
            if out.closes {
                let reached = engine.reached_rcpt();
                return (engine.end(), reached);
            }
            tokio::select! {
                biased;
                read = self.read(&mut piece) => match read {
                    Ok(0) | Err(_) => engine.lost(begun.elapsed(), &mut out),
                    Ok(n) => engine.take(&piece[..n], &mut out),
                },
                () = sleep_until(until) => engine.timed_out(&mut out),
                () = self.service.shared.stops() => {
                    out.replies.push(self.going_down());
                    out.closes = true;
                }
            }
        }
    }

    async fn read(&self, piece: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Gives the connection to smtpd once that has room for it, with all that was not read.
    async fn hand_over(self) {
        let waiting = self.screen().wait();
        let onward = Rc::clone(&self.service.onward);
        let ends = Ends::Passed { told: self.told, client: self.client, server: self.server };
        let turn = onward.turn(&self.stream, ends).await;
        drop(waiting);
        match turn {
            Turn::Seat(seat) => onward.begin(self.stream, ends, seat),
            Turn::TurnedAway => self.refuse_busy().await,
            Turn::Gone => self.disconnect(),
        }
    }

    async fn reply(&self, reply: Reply) {
        let server_name = self.settings().engine.myhostname.clone();
        let names = Names { client: self.client, server_name };
        let reply = self.settings().with_footer(reply, &names, &self.tag).await;
        let reply = self.softened(reply);
        let mut bytes = Vec::new();
        protocol::smtp::reply::write(&reply, &mut bytes);
        // Who is gone is noticed at the next read.
        let _ = self.write(&bytes).await;
    }

    fn softened(&self, reply: Reply) -> Reply {
        if self.settings().soft_bounce { reply.softened() } else { reply }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(WRITE_TIME, self.stream.writable()).await.map_err(io::Error::from)??;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn going_down(&self) -> Reply {
        Reply::new(421, Dsn::new(4, 3, 2), "Service currently unavailable")
    }
}

/// Asks a DNS list and logs what it says, as dnsblog does.
async fn ask_list(
    shared: &Shared,
    tag: &Tag,
    address: IpAddr,
    domain: &str,
    limit: Duration,
) -> Result<Listing, DnsError> {
    let name = question(address, domain);
    let asked = timeout(limit, shared.resolver.listing(&name)).await;
    let answer = asked.unwrap_or_else(|_| {
        let (problem, record_type) = (net::dns::Problem::TryAgain, net::dns::RecordType::A);
        Err(DnsError { problem, name: name.clone(), record_type })
    });
    match &answer {
        Ok(listing) => {
            for answer in &listing.addresses {
                emit(tag, &ListedByDomain { address, domain, answer: *answer });
            }
        }
        Err(error) => emit(tag, &ListFailed { name: &name, why: error.to_string() }),
    }
    answer
}
