//! Listeners, and the sessions that come of them.

use crate::acceptor::Acceptor;
use crate::anvil::Anvil;
use crate::hall::{Hall, Sessions};
use crate::listener::Listener;
use crate::postscreen;
use crate::readings::Readings;
use crate::recent::Recent;
use crate::trail::{Lent, Trails};
use bytes::BytesMut;
use net::{Resolver, Shutdown};
use observe::Numbers;
use protocol::smtp::server::Outputs;
use queue::Intake;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One smtpd line of master.cf.
pub struct Service {
    /// Its name in master.cf (`smtp`, `2525`, `submission`).
    pub name: Arc<str>,
    /// Its program name in the log (`postfix/smtpd`, with the service's own `syslog_name`).
    pub program: Arc<str>,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// Its settings, for quiet times and for stress.
    pub readings: Readings,
    /// Its sessions on all event loops.
    pub sessions: Sessions,
}

/// Everything that one event loop of smtpd works with.
pub struct Inputs {
    /// The services; at least one.
    pub services: Vec<Service>,
    /// Services that look at clients before one of these takes them.
    pub screens: Vec<postscreen::Service>,
    /// The way into the queue.
    pub intake: Intake,
    /// Asks for the names of clients.
    pub resolver: Rc<dyn Resolver>,
    /// Numbers for the brackets of log lines.
    pub numbers: Numbers,
    /// Counts clients, over all event loops of the process.
    pub anvil: Anvil,
    /// The last refusals, over all event loops of the process.
    pub recent: Recent,
    /// The order to finish.
    pub shutdown: Shutdown,
    /// How long a transaction may go on after the order; then its client is told that the service goes down.
    pub grace: Duration,
}

/// What the sessions of one event loop share.
pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) resolver: Rc<dyn Resolver>,
    pub(crate) anvil: Anvil,
    pub(crate) recent: Recent,
    /// What is asked on the way to a decision is written down here.
    pub(crate) trails: Trails,
    pub(crate) numbers: Numbers,
    /// What is read goes here first: an idle session holds no buffer.
    pub(crate) buffer: RefCell<BytesMut>,
    /// Replies and notes of whose turn it is.
    pub(crate) outputs: RefCell<Outputs>,
    /// Idle sessions are to end.
    pub(crate) stopping: Cell<bool>,
    pub(crate) stop: Notify,
    /// All sessions are to end.
    pub(crate) last_call: Cell<bool>,
    pub(crate) last: Notify,
    /// No connection is to be accepted any more.
    pub(crate) retired: Cell<bool>,
    pub(crate) retire: Notify,
    sessions: Cell<usize>,
    pub(crate) ended: Notify,
}

/// Serves until shutdown is requested and the sessions have ended. Who retires lets each session go on as long as its
/// client and the time limits let it, as Postfix's smtpd does at a reload; who must end lets it finish a transaction
/// within the grace.
///
/// Runs inside a `LocalSet` of a current-thread runtime. The caller bounds how long the last words may take.
pub async fn run(inputs: Inputs) -> io::Result<()> {
    let shared = Rc::new(Shared {
        intake: inputs.intake,
        resolver: inputs.resolver,
        anvil: inputs.anvil,
        recent: inputs.recent,
        trails: Trails::default(),
        numbers: inputs.numbers,
        buffer: RefCell::new(BytesMut::new()),
        outputs: RefCell::new(Outputs::default()),
        stopping: Cell::new(false),
        stop: Notify::new(),
        last_call: Cell::new(false),
        last: Notify::new(),
        retired: Cell::new(false),
        retire: Notify::new(),
        sessions: Cell::new(0),
        ended: Notify::new(),
    });
    let mut acceptors = tokio::task::JoinSet::new();
    let mut all: Vec<Rc<Acceptor>> = Vec::new();
    for service in inputs.services {
        let hall = Rc::new(Hall::new(Rc::clone(&shared), service.sessions.clone()));
        let acceptor = Rc::new(Acceptor {
            shared: Rc::clone(&shared),
            number: shared.anvil.service(&service.name),
            name: service.name,
            program: service.program,
            readings: service.readings,
            sessions: service.sessions,
            hall,
            warned: Cell::new(None),
        });
        acceptors.spawn_local(Rc::clone(&acceptor).oblige());
        for listener in service.listeners {
            acceptors.spawn_local(Rc::clone(&acceptor).accept(listener.open()?));
        }
        all.push(acceptor);
    }
    for service in inputs.screens {
        let postscreen::Service { program, dnsblog_program, listeners, screen } = service;
        let Some(onward) = all.iter().find(|acceptor| *acceptor.name == *screen.onward()).cloned() else {
            return Err(io::Error::other(format!("postscreen: no service {} here", screen.onward())));
        };
        let shared = Rc::clone(&shared);
        let screening = Rc::new(postscreen::Loop { shared, program, dnsblog_program, screen, onward });
        for listener in listeners {
            acceptors.spawn_local(postscreen::accept(Rc::clone(&screening), listener.open()?));
        }
    }
    inputs.shutdown.requested().await;
    shared.retired.set(true);
    shared.retire.notify_waiters();
    while acceptors.join_next().await.is_some() {}
    let mut end = None;
    while shared.sessions.get() > 0 {
        let last_call = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.ended.notified() => {}
            () = inputs.shutdown.must_end(), if !shared.stopping.get() => {
                shared.stopping.set(true);
                shared.stop.notify_waiters();
                end = Some(Instant::now() + inputs.grace);
            }
            () = last_call, if !shared.last_call.get() => {
                shared.last_call.set(true);
                shared.last.notify_waiters();
            }
        }
    }
    Ok(())
}

impl Shared {
    /// Where the steps of the next decision are written down, if refusals are kept.
    pub(crate) fn trail(&self) -> Lent<'_> {
        self.trails.lend(self.recent.is_kept())
    }

    /// Returns when idle sessions are to end.
    pub(crate) async fn stops(&self) {
        if !self.stopping.get() {
            self.stop.notified().await;
        }
    }
}

/// Counts an open session until it is dropped, and who waits for one.
pub(crate) struct Open(Rc<Shared>);

impl Open {
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        shared.sessions.set(shared.sessions.get() + 1);
        Open(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.sessions.set(self.0.sessions.get() - 1);
        self.0.ended.notify_waiters();
    }
}
