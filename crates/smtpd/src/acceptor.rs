//! Takes clients from a listener: a session for each as long as there are any; then they wait, or are turned away.

use crate::anvil::{Network, ServiceNumber};
use crate::catch::{self, CatchPanic};
use crate::driver;
use crate::hall::{Call, Hall, Rank, Seat, Sessions, Waiter};
use crate::listener::{self, Accepted, Ends};
use crate::passed;
use crate::peer::PeerInfo;
use crate::readings::Readings;
use crate::recent::Packing;
use crate::serve::{Open, Shared};
use crate::settings::Settings;
use crate::socket::Socket;
use mail::{Dsn, Reply};
use observe::events::smtpd as events;
use observe::{Tag, emit};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long accepting rests where descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How often the log says that a service is full; as in Postfix.
const WARN_PAUSE: Duration = Duration::from_secs(1000);

/// A flood that is turned away has no more than so much of an event loop's time: a thousand clients a second and listener,
/// which is some percent of a core.
const TURN_AWAY_PAUSE: Duration = Duration::from_millis(1);

/// Who waits looks again after this time: a session may be idle now that could make room.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One service on one event loop; its listeners share it.
pub(crate) struct Acceptor {
    pub(crate) shared: Rc<Shared>,
    pub(crate) name: Arc<str>,
    /// What its clients are counted under.
    pub(crate) number: ServiceNumber,
    pub(crate) program: Arc<str>,
    pub(crate) readings: Readings,
    pub(crate) sessions: Sessions,
    pub(crate) hall: Rc<Hall>,
    pub(crate) warned: Cell<Option<Instant>>,
}

/// What came of waiting for a session.
pub(crate) enum Turn {
    /// It may begin.
    Seat(Seat),
    /// There is none.
    TurnedAway,
    /// The client did not wait.
    Gone,
}

impl Acceptor {
    /// Serves a listener until the order to retire.
    pub(crate) async fn accept(self: Rc<Self>, listener: listener::Open) {
        while !self.shared.retired.get() {
            // A connection that another service keeps for us is safe there.
            if listener.is_pass() && self.sessions.stress().is_full() {
                self.warn_full();
                tokio::select! {
                    () = self.shared.ended.notified() => {}
                    () = self.shared.retire.notified() => {}
                }
                continue;
            }
            let accepted = tokio::select! {
                biased;
                () = self.shared.retire.notified() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(Accepted::Client(stream, ends)) => self.admit(stream, ends).await,
                Ok(Accepted::Handover(from)) => Rc::clone(&self).take_over(from),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    observe::warn(&self.tag(0), format_args!("accept connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets idle sessions make room for clients on other event loops, until the order to retire.
    pub(crate) async fn oblige(self: Rc<Self>) {
        if !self.shared.retired.get() {
            tokio::select! {
                () = self.shared.retire.notified() => {}
                () = self.hall.oblige() => {}
            }
        }
    }

    /// Takes a client that another service hands on. It counts as a session already, and holds up no other.
    fn take_over(self: Rc<Self>, from: tokio::net::UnixStream) {
        let seat = self.hall.take();
        tokio::task::spawn_local(async move {
            match (passed::receive(from).await, seat) {
                (Ok((stream, ends)), Some(seat)) => self.begin(stream, ends, seat),
                (Ok((stream, ends)), None) => self.admit(stream, ends).await,
                (Err(why), _) => {
                    observe::warn(&self.tag(0), format_args!("service \"{}\": {why}", self.name));
                }
            }
        });
    }

    /// The turn of a client that another stage of this process looked at, once it comes.
    pub(crate) async fn turn(&self, stream: &TcpStream, ends: Ends) -> Turn {
        if let Some(seat) = self.hall.take_at_once() {
            return Turn::Seat(seat);
        }
        self.warn_full();
        let settings = Arc::clone(self.settings());
        let peer = settings.peer(ends);
        let rank = settings.rank(&peer).await;
        match self.hall.join(rank, Network::of(peer.address, settings.network_bits)) {
            Some(waiter) => self.await_turn(waiter, stream, rank).await,
            None => Turn::TurnedAway,
        }
    }

    /// Begins a session, or lets the client wait for one.
    async fn admit(self: &Rc<Self>, stream: TcpStream, ends: Ends) {
        if let Some(seat) = self.hall.take_at_once() {
            return self.begin(stream, ends, seat);
        }
        self.warn_full();
        let settings = Arc::clone(self.settings());
        // No name is asked for: it would take longer than to serve.
        let peer = settings.peer(ends);
        let rank = settings.rank(&peer).await;
        let network = Network::of(peer.address, settings.network_bits);
        loop {
            if let Some(waiter) = self.hall.join(rank, network) {
                tokio::task::spawn_local(Rc::clone(self).wait(waiter, stream, ends, rank));
                return;
            }
            if rank == Rank::Stranger || self.shared.retired.get() {
                self.turn_away(&stream, &peer);
                return tokio::time::sleep(TURN_AWAY_PAUSE).await;
            }
            // All who wait are of mynetworks. Nobody behind it counts more: they wait in the port's queue.
            tokio::select! {
                () = self.shared.ended.notified() => {}
                () = self.shared.retire.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Waits for a seat, without a word, as in the listener's queue; no longer than a client would have to speak.
    async fn wait(self: Rc<Self>, waiter: Waiter, stream: TcpStream, ends: Ends, rank: Rank) {
        let _open = Open::new(Rc::clone(&self.shared));
        let peer = self.settings().peer(ends);
        match self.await_turn(waiter, &stream, rank).await {
            Turn::Seat(seat) => self.begin(stream, ends, seat),
            Turn::TurnedAway => self.turn_away(&stream, &peer),
            Turn::Gone => {}
        }
    }

    async fn await_turn(&self, mut waiter: Waiter, stream: &TcpStream, rank: Rank) -> Turn {
        let deadline = Instant::now() + self.settings().timeout;
        while !self.shared.stopping.get() {
            // There may be one again, or somebody may rest now.
            self.hall.pass_on();
            if self.sessions.stress().is_full() && rank > Rank::Stranger {
                self.hall.make_room();
            }
            tokio::select! {
                biased;
                call = &mut waiter.call => {
                    return match call {
                        Ok(Call::Seat(seat)) => Turn::Seat(seat),
                        Ok(Call::TurnedAway) | Err(_) => Turn::TurnedAway,
                    };
                }
                () = hung_up(stream) => return Turn::Gone,
                () = self.sessions.freed(rank) => {}
                () = self.shared.stop.notified() => {}
                () = tokio::time::sleep_until(deadline) => return Turn::TurnedAway,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
        Turn::TurnedAway
    }

    /// Ends a connection that got no session.
    fn turn_away(&self, stream: &TcpStream, peer: &PeerInfo) {
        let text = all_busy().to_string();
        // Whoever does not read it learns it from the end of the connection.
        let _ = stream.try_write(format!("{text}\r\n").as_bytes());
        let number = self.shared.numbers.take();
        let rejected = events::RestrictionActed {
            queue_id: None,
            action: "reject",
            command: "CONNECT",
            client: &peer.name_and_address,
            text: &text,
            sender: None,
            recipient: None,
            protocol: "SMTP",
            helo: None,
            sasl: events::Sasl::default(),
        };
        emit(&self.tag(*number), &rejected);
        let packing = Packing {
            time: net::clock::now(),
            address: peer.address,
            client: &peer.name_and_address,
            service: &self.name,
            command: "CONNECT",
            helo: "",
            sender: None,
            recipient: None,
            queue_id: "",
            login: "",
        };
        self.shared.recent.record(&packing, None, &text);
    }

    /// Begins a session.
    pub(crate) fn begin(&self, stream: TcpStream, ends: Ends, seat: Seat) {
        let number = self.shared.numbers.take();
        let tag = self.tag(*number);
        let socket = Socket::new(stream, Rc::clone(&self.shared), seat.occupant());
        let settings = Arc::clone(self.settings());
        let host = settings.dialogue.myhostname.clone();
        let session = driver::session(
            Rc::clone(&self.shared),
            settings,
            (Arc::clone(&self.name), self.number),
            socket.clone(),
            tag.clone(),
            ends,
        );
        tokio::task::spawn_local(async move {
            if let Err(panic) = CatchPanic::new(session).await {
                observe::panic(&tag, format_args!("{}", catch::message(&*panic)));
                socket.last_words(&format!("421 4.3.0 {host} Server local error\r\n"));
            }
            drop((number, seat));
        });
    }

    /// The settings for a session that begins now.
    fn settings(&self) -> &Arc<Settings> {
        self.readings.of(self.sessions.stress().is_on())
    }

    fn warn_full(&self) {
        let now = Instant::now();
        if self.warned.get().is_some_and(|last| now < last + WARN_PAUSE) {
            return;
        }
        self.warned.set(Some(now));
        let (name, limit) = (&self.name, self.sessions.stress().sessions_max());
        observe::warn(
            &self.tag(0),
            format_args!(
                "service \"{name}\" has reached its session limit \"{limit}\": new clients may experience noticeable delays"
            ),
        );
    }

    fn tag(&self, number: u32) -> Tag {
        let number = if number == 0 { std::process::id() } else { number };
        Tag { program: Arc::clone(&self.program), number }
    }
}

/// What a client hears for whom there is no session, or none any more; postscreen's words.
pub(crate) fn all_busy() -> Reply {
    Reply::new(421, Dsn::new(4, 3, 2), "All server ports are busy")
}

/// Returns when the client is gone; one that speaks before its turn is there.
async fn hung_up(stream: &TcpStream) {
    if matches!(stream.peek(&mut [0]).await, Ok(n) if n > 0) {
        std::future::pending().await
    }
}

/// An error of the connection that was to be accepted, not of accepting.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted | K::WouldBlock)
}
