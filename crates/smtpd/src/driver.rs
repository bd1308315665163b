//! One session: it reads, asks the machine what to do, and does it.

mod answers;

use crate::anvil::{Event, ServiceNumber};
use crate::listener::Ends;
use crate::notes::Scene;
use crate::notices::History;
use crate::peer::PeerInfo;
use crate::rates::{Rates, Who};
use crate::serve::Shared;
use crate::settings::{Settings, Standing};
use crate::socket::{Heard, Socket};
use crate::transaction::Smtpd;
use crate::upstream::Arrival;
use bytes::Bytes;
use mail::Reply;
use net::Resolver;
use observe::events::smtpd as events;
use observe::{Tag, emit};
use protocol::smtp::server::{Ask, Counted, Input, Next, Outputs, Peer, Session};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// A session's surroundings, and what is known of its client.
pub struct Driver {
    pub(crate) shared: Rc<Shared>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tag: Tag,
    pub(crate) peer: PeerInfo,
    pub(crate) noted_bare_newline: Cell<bool>,
    pub(crate) service: Arc<str>,
    number: ServiceNumber,
    pub(crate) rates: Rates,
    pub(crate) socket: Socket,
    /// How restrictions ask for names.
    dns: Rc<dyn Resolver>,
    /// Another service looked at the client first.
    passed: bool,
    /// Until when the client has to say or take something, and what it was about to do when that was set.
    deadline: Instant,
    request: Option<u32>,
    pub(crate) standing: Standing,
    /// Nothing more is said to the client (`HANGUP`).
    hung_up: Cell<bool>,
    /// What the client would put off if nothing refuses (`smtpd_delay_reject = no`).
    deferred_client: RefCell<Option<Reply>>,
    /// The same of its HELO, with the client's.
    deferred_helo: RefCell<Option<Reply>>,
    /// The dialogue is logged.
    pub(crate) verbose: bool,
    /// The refusal that was recorded last.
    pub(crate) recorded: Cell<Option<u64>>,
    /// What the postmaster may have to be told.
    pub(crate) history: RefCell<History>,
}

/// Serves one client until the end.
pub(crate) async fn session(
    shared: Rc<Shared>,
    settings: Arc<Settings>,
    (service, number): (Arc<str>, ServiceNumber),
    socket: Socket,
    tag: Tag,
    ends: Ends,
) {
    let passed = matches!(ends, Ends::Passed { .. });
    let Arrival { ends, unread, refusal } = match &settings.peers.upstream {
        Some(upstream) => Box::pin(upstream.receive(&socket, ends, &settings, &tag)).await,
        None => Arrival::from(ends),
    };
    let mut peer = settings.peer(ends);
    if settings.peername_lookup && !matches!(ends, Ends::Local) && refusal.is_none() {
        Box::pin(peer.look_up(&*shared.resolver, &tag)).await;
    }
    peer.name_and_address = peer.shown(settings.client_port_logging);
    emit(&tag, &events::Connected { client: &peer.name_and_address });
    let deadline = Instant::now() + settings.timeout;
    // Boxed: only for as long as the tables are asked.
    let standing = Box::pin(settings.standing(&peer)).await;
    socket.occupant.set_rank(standing.rank);
    let verbose = Box::pin(settings.peers.watch.includes(&peer)).await;
    let dns = settings.filtered(&*shared.resolver, &tag).unwrap_or_else(|| Rc::clone(&shared.resolver));
    let mut driver = Driver {
        shared,
        settings,
        tag,
        peer,
        noted_bare_newline: Cell::new(false),
        service,
        number,
        rates: Rates::default(),
        socket,
        dns,
        passed,
        deadline,
        request: None,
        standing,
        deferred_client: RefCell::default(),
        hung_up: Cell::default(),
        deferred_helo: RefCell::default(),
        verbose,
        recorded: Cell::default(),
        history: RefCell::default(),
    };
    driver.rates = driver.begin_rates();
    driver.serve(unread, refusal).await;
}

impl Driver {
    /// Serves the client, of which `input` is read already; a `refusal` is all that it hears.
    async fn serve(&mut self, mut input: Bytes, refusal: Option<Reply>) {
        let early = if self.passed { Vec::new() } else { self.early(&input) };
        let peer = self.introduction(early);
        let mut out = self.shared.outputs.take();
        let (mut session, mut next) =
            Session::<Smtpd>::start(Arc::clone(&self.settings.dialogue), peer, &mut out);
        if let Some(reply) = refusal.or_else(|| self.rates.session_refused(self.who())) {
            self.record(&reply.to_string(), &Scene::of(&session, session.place()));
            out.replies.clear();
            next = session.step(Input::Abort(reply), &mut out);
        }
        loop {
            let queue_id = session.transaction().and_then(|t| t.mail.queue_id.clone());
            next = match next {
                Next::Close => break,
                Next::Body(piece) => {
                    if let Some(piece) = self.body_now(&mut session, piece) {
                        Box::pin(self.body(&mut session, piece)).await;
                    }
                    session.step(Input::Bytes(&mut input), &mut out)
                }
                Next::Ask(Ask::Xclient(said)) => {
                    let answer = Box::pin(self.renew(&said, &input)).await;
                    session.step(Input::Answer(answer), &mut out)
                }
                Next::Ask(ask) => {
                    // Boxed: an idle session need not have room for what only a transaction holds.
                    let answer = Box::pin(self.answer(ask, &mut session)).await;
                    session.step(Input::Answer(answer), &mut out)
                }
                Next::Commit(transaction) => {
                    let answer = Box::pin(self.commit(transaction, &session)).await;
                    session.step(Input::Answer(answer), &mut out)
                }
                Next::Read if !input.is_empty() => session.step(Input::Bytes(&mut input), &mut out),
                Next::Refused => session.step(Input::Bytes(&mut input), &mut out),
                Next::Read => match self.turn(&mut out, &session).await {
                    Heard::Bytes(bytes) => {
                        input = bytes;
                        session.step(Input::Bytes(&mut input), &mut out)
                    }
                    Heard::Lost => session.step(Input::Lost, &mut out),
                    Heard::Nothing => session.step(Input::Timeout, &mut out),
                    Heard::Stop => session.step(Input::Abort(self.settings.going_down()), &mut out),
                    Heard::MakeRoom => session.step(Input::Abort(self.makes_room()), &mut out),
                },
                Next::Sleep(pause) => {
                    if !pause.is_zero() {
                        self.socket.rest(pause).await;
                    }
                    match self.flush(&mut out).await {
                        Ok(()) => session.step(Input::Bytes(&mut input), &mut out),
                        Err(_) => session.step(Input::Lost, &mut out),
                    }
                }
            };
            if !out.notes.is_empty() || !out.refusals.is_empty() {
                // Boxed: seldom needed, and large where tables are asked.
                Box::pin(self.settle(&mut out, &mut session, queue_id.as_ref())).await;
            }
            if let Some(id) = queue_id.filter(|_| session.transaction().is_none())
                && !matches!(next, Next::Commit(_))
            {
                self.not_queued(&id, false);
            }
        }
        if !out.notes.is_empty() || !out.refusals.is_empty() {
            Box::pin(self.settle(&mut out, &mut session, None)).await;
        }
        // The client is told before the log is: it may be gone, and that is nobody's fault.
        let _ = self.flush(&mut out).await;
        self.shared.outputs.replace(out);
        self.disconnected(&session);
        if self.history.borrow().is_of_interest() {
            Box::pin(self.tell_postmaster(true)).await;
        }
    }

    /// Writes the replies, then waits for the client. While it waits, the session holds no buffer.
    async fn turn(&mut self, out: &mut Outputs, session: &Session<Smtpd>) -> Heard {
        if self.flush(out).await.is_err() {
            return Heard::Lost;
        }
        self.shared.outputs.replace(std::mem::take(out));
        let request = Some(session.requests());
        if !self.settings.per_request_deadline || request != self.request {
            self.deadline = Instant::now() + self.settings.timeout;
            self.request = request;
        }
        let heard = self.socket.read(self.deadline, session.is_idle()).await;
        *out = self.shared.outputs.take();
        if let (Heard::Bytes(bytes), true) =
            (&heard, self.settings.per_request_deadline && session.is_receiving())
        {
            let earned = bytes.len() as u64 * 1000 / self.settings.min_data_rate;
            self.deadline += std::time::Duration::from_millis(earned);
        }
        heard
    }

    async fn flush(&mut self, out: &mut Outputs) -> std::io::Result<()> {
        if self.hung_up.get() {
            out.replies.clear();
        }
        if out.replies.is_empty() {
            return Ok(());
        }
        let written = self.socket.write(&out.replies, Instant::now() + self.settings.timeout).await;
        out.replies.clear();
        written
    }

    /// What the session must know of the client, who sent `early` without being asked.
    pub(crate) fn introduction(&self, early: Vec<u8>) -> Peer {
        Peer {
            name_and_address: self.peer.name_and_address.clone(),
            bare_newline: self.standing.bare_newline,
            discard_ehlo: self.standing.discard_ehlo,
            xclient: self.standing.xclient,
            xforward: self.standing.xforward,
            verp: self.standing.verp,
            counted: Counted {
                messages: self.rates.counts(Event::Message),
                recipients: self.rates.counts(Event::Recipient),
            },
            verbose: self.verbose || self.settings.notices.keeps(),
            early,
        }
    }

    /// Counts a session of the client as it is known now.
    pub(crate) fn begin_rates(&self) -> Rates {
        let (settings, bits) = (&self.settings, self.settings.network_bits);
        match self.standing.event_exempt {
            true => Rates::default(),
            false => Rates::begin(&self.shared.anvil, self.number, settings.limits, self.peer.address, bits),
        }
    }

    /// The client, as its rates name it.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            tag: &self.tag,
            name_and_address: &self.peer.name_and_address,
            address: self.peer.address,
            service: &self.service,
            myhostname: &self.settings.dialogue.myhostname,
        }
    }
}
