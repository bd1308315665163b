//! Listeners, and the sessions that come of them.

use crate::anvil::{Anvil, ServiceNumber};
use crate::catch::{self, CatchPanic};
use crate::driver;
use crate::listener::{self, Accepted, Ends, Listener};
use crate::passed;
use crate::settings::Settings;
use crate::socket::Socket;
use bytes::BytesMut;
use net::{Resolver, Shutdown};
use observe::{Numbers, Tag};
use protocol::smtp::server::Outputs;
use queue::Intake;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// One smtpd line of master.cf.
pub struct Service {
    /// Its name in master.cf (`smtp`, `2525`, `submission`).
    pub name: Arc<str>,
    /// Its program name in the log (`postfix/smtpd`, with the service's own `syslog_name`).
    pub program: Arc<str>,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// Its settings; replaced at reload.
    pub settings: watch::Receiver<Arc<Settings>>,
}

/// Everything that one event loop of smtpd works with.
pub struct Inputs {
    /// The services; at least one.
    pub services: Vec<Service>,
    /// The way into the queue.
    pub intake: Intake,
    /// Asks for the names of clients.
    pub resolver: Rc<dyn Resolver>,
    /// Numbers for the brackets of log lines.
    pub numbers: Numbers,
    /// Counts clients, over all event loops of the process.
    pub anvil: Anvil,
    /// The program name of cleanup's log lines (`postfix/cleanup`).
    pub cleanup_program: Arc<str>,
    /// The order to finish.
    pub shutdown: Shutdown,
}

/// What the sessions of one event loop share.
pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) resolver: Rc<dyn Resolver>,
    pub(crate) cleanup_program: Arc<str>,
    pub(crate) anvil: Anvil,
    numbers: Numbers,
    /// What is read goes here first: an idle session holds no buffer.
    pub(crate) buffer: RefCell<BytesMut>,
    /// Replies and notes of whose turn it is.
    pub(crate) outputs: RefCell<Outputs>,
    /// Idle sessions are to end.
    pub(crate) stopping: Cell<bool>,
    pub(crate) stop: Notify,
    /// No connection is to be accepted any more.
    retired: Cell<bool>,
    retire: Notify,
    sessions: Cell<usize>,
    ended: Notify,
}

/// How long accepting rests where descriptors or memory are used up.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until shutdown is requested and the sessions have ended. Who retires lets each session go on as long as its
/// client and the time limits let it, as Postfix's smtpd does at a reload; who must end lets it finish a transaction.
///
/// Runs inside a `LocalSet` of a current-thread runtime. The caller bounds how long the sessions may take.
pub async fn run(inputs: Inputs) -> io::Result<()> {
    let shared = Rc::new(Shared {
        intake: inputs.intake,
        resolver: inputs.resolver,
        cleanup_program: inputs.cleanup_program,
        anvil: inputs.anvil,
        numbers: inputs.numbers,
        buffer: RefCell::new(BytesMut::new()),
        outputs: RefCell::new(Outputs::default()),
        stopping: Cell::new(false),
        stop: Notify::new(),
        retired: Cell::new(false),
        retire: Notify::new(),
        sessions: Cell::new(0),
        ended: Notify::new(),
    });
    let mut acceptors = tokio::task::JoinSet::new();
    for service in inputs.services {
        let open = Rc::new(Cell::new(0));
        for listener in service.listeners {
            let listener = listener.open()?;
            let (name, program) = (Arc::clone(&service.name), Arc::clone(&service.program));
            let acceptor = Acceptor {
                shared: Rc::clone(&shared),
                number: shared.anvil.service(&name),
                name,
                program,
                settings: service.settings.clone(),
                open: Rc::clone(&open),
            };
            acceptors.spawn_local(Rc::new(acceptor).accept(listener));
        }
    }
    inputs.shutdown.requested().await;
    shared.retired.set(true);
    shared.retire.notify_waiters();
    while acceptors.join_next().await.is_some() {}
    while shared.sessions.get() > 0 {
        tokio::select! {
            () = shared.ended.notified() => {}
            () = inputs.shutdown.must_end(), if !shared.stopping.get() => {
                shared.stopping.set(true);
                shared.stop.notify_waiters();
            }
        }
    }
    Ok(())
}

struct Acceptor {
    shared: Rc<Shared>,
    name: Arc<str>,
    /// What its clients are counted under.
    number: ServiceNumber,
    program: Arc<str>,
    settings: watch::Receiver<Arc<Settings>>,
    /// Open sessions of the service.
    open: Rc<Cell<usize>>,
}

impl Acceptor {
    async fn accept(self: Rc<Self>, listener: listener::Open) {
        let mut full = false;
        while !self.shared.retired.get() {
            let limit = self.settings.borrow().sessions_max;
            if self.open.get() >= limit {
                if !full {
                    self.warn_full(self.settings.borrow().sessions_limit);
                }
                full = true;
                tokio::select! {
                    () = self.shared.ended.notified() => {}
                    () = self.shared.retire.notified() => {}
                }
                continue;
            }
            full = false;
            let accepted = tokio::select! {
                biased;
                () = self.shared.retire.notified() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(Accepted::Client(stream, ends)) => self.begin(stream, ends),
                Ok(Accepted::Handover(from)) => Rc::clone(&self).take_over(from),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    observe::warn(&self.tag(0), format_args!("accept connection: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes a client that another service hands on. It counts as a session already, and holds up no other.
    fn take_over(self: Rc<Self>, from: tokio::net::UnixStream) {
        let guard = Open::new(Rc::clone(&self.shared), Rc::clone(&self.open));
        tokio::task::spawn_local(async move {
            match passed::receive(from).await {
                Ok((stream, ends)) => self.begin(stream, ends),
                Err(why) => observe::warn(&self.tag(0), format_args!("service \"{}\": {why}", self.name)),
            }
            drop(guard);
        });
    }

    fn begin(&self, stream: tokio::net::TcpStream, ends: Ends) {
        // Replies are small and awaited: they must not wait for more to come. A Unix socket knows nothing of it.
        let _ = stream.set_nodelay(true);
        let number = self.shared.numbers.take();
        let tag = self.tag(*number);
        let socket = Socket::new(stream, Rc::clone(&self.shared));
        let settings = Arc::clone(&self.settings.borrow());
        let host = settings.dialogue.myhostname.clone();
        let session = driver::session(
            Rc::clone(&self.shared),
            settings,
            (Arc::clone(&self.name), self.number),
            socket.clone(),
            tag.clone(),
            ends,
        );
        let guard = Open::new(Rc::clone(&self.shared), Rc::clone(&self.open));
        tokio::task::spawn_local(async move {
            if let Err(panic) = CatchPanic::new(session).await {
                observe::panic(&tag, format_args!("{}", catch::message(&*panic)));
                socket.last_words(&format!("421 4.3.0 {host} Server local error\r\n"));
            }
            drop((number, guard));
        });
    }

    fn warn_full(&self, limit: usize) {
        observe::warn(
            &self.tag(0),
            format_args!(
                "service \"{}\" has reached its session limit \"{limit}\": new clients may experience noticeable delays",
                self.name
            ),
        );
    }

    fn tag(&self, number: u32) -> Tag {
        let number = if number == 0 { std::process::id() } else { number };
        Tag { program: Arc::clone(&self.program), number }
    }
}

/// Counts an open session until it is dropped.
struct Open {
    shared: Rc<Shared>,
    of_service: Rc<Cell<usize>>,
}

impl Open {
    fn new(shared: Rc<Shared>, of_service: Rc<Cell<usize>>) -> Self {
        shared.sessions.set(shared.sessions.get() + 1);
        of_service.set(of_service.get() + 1);
        Open { shared, of_service }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.sessions.set(self.shared.sessions.get() - 1);
        self.of_service.set(self.of_service.get() - 1);
        self.shared.ended.notify_waiters();
    }
}

/// An error of the connection that was to be accepted, not of accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted | K::WouldBlock)
}
