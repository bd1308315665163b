//! Sends mail to other servers, by SMTP or LMTP. Postfix: smtp(8), lmtp(8).
//!
//! A job becomes a task of the event loop. It takes a connection that waits for mail to the same destination, or
//! opens one; afterwards the connection waits for the next job, whose MAIL, RCPT and DATA then go out in one write.

mod adapt;
mod attempt;
mod body;
mod busy;
mod checks;
mod connection;
mod destination;
mod failure;
mod patience;
mod pool;
mod reply_filter;
mod route;
mod settings;
mod stream;

pub use checks::Checks;
pub use settings::{Keep, Settings, Timeouts};

use crate::{Assignment, DeliveryAgent, PassOn};
use body::FileReader;
use busy::Busy;
use connection::Connection;
use destination::Site;
use net::Resolver;
use observe::{Numbers, Tag};
use pool::Pool;
use protocol::smtp::client::Settings as Dialogue;
use route::{Dice, Target};
use std::cell::{Cell, OnceCell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The SMTP client of one event loop, for one service of master.cf. Cheap to clone; must run inside a `LocalSet`.
#[derive(Clone)]
pub struct SmtpAgent(Rc<Shared>);

/// The LMTP client: the same engine, with settings whose protocol is LMTP.
#[derive(Clone)]
pub struct LmtpAgent(SmtpAgent);

/// What the deliveries of one agent share.
struct Shared {
    settings: Rc<Settings>,
    dialogue: Rc<Dialogue>,
    resolver: Rc<dyn Resolver>,
    tag: Tag,
    numbers: Numbers,
    pool: RefCell<Pool>,
    /// Whether the task runs that closes connections which have waited long enough.
    sweeping: Cell<bool>,
    places: Arc<Semaphore>,
    /// A connection was put into the pool: who waits for room looks there.
    freed: Notify,
    files: FileReader,
    dice: Dice,
    under_way: Cell<usize>,
    over: Notify,
    busy: RefCell<Busy>,
    /// Who takes mail that is for ourselves (`best_mx_transport`).
    pass_on: OnceCell<Rc<dyn PassOn>>,
}

impl SmtpAgent {
    /// An agent that logs as `tag` with a number of `numbers` for each delivery.
    pub fn new(settings: Settings, resolver: Rc<dyn Resolver>, tag: Tag, numbers: Numbers) -> Self {
        SmtpAgent(Rc::new(Shared {
            dialogue: Rc::new(settings.dialogue.clone()),
            freed: Notify::new(),
            places: Arc::new(Semaphore::new(settings.connections_max.max(1))),
            resolver: settings.filtered(resolver, &tag),
            settings: Rc::new(settings),
            tag,
            numbers,
            pool: RefCell::default(),
            sweeping: Cell::new(false),
            files: FileReader::default(),
            dice: Dice::new(RandomState::new().hash_one(std::process::id())),
            under_way: Cell::new(0),
            over: Notify::new(),
            busy: RefCell::default(),
            pass_on: OnceCell::new(),
        }))
    }

    /// Tells who takes mail of which we are the best server ourselves (`best_mx_transport`). The first call counts.
    pub fn passing_on(self, to: Rc<dyn PassOn>) -> Self {
        let _ = self.0.pass_on.set(to);
        self
    }

    /// Returns once no delivery is under way, and closes the connections that wait.
    pub async fn finish(&self) {
        while self.0.under_way.get() > 0 {
            self.0.over.notified().await;
        }
        loop {
            let Some(connection) = self.0.pool.borrow_mut().take_oldest() else { return };
            connection.close_now();
        }
    }
}

impl DeliveryAgent for SmtpAgent {
    const KIND: &'static str = "smtp";

    fn accept(&self, assignment: Assignment) {
        let under_way = UnderWay::new(&self.0, assignment.job.nexthop.clone());
        // A panic ends this task alone; what it had not reported is deferred when its report is dropped.
        tokio::task::spawn_local(async move {
            attempt::deliver(&under_way.0, assignment).await;
        });
    }
}

impl LmtpAgent {
    /// See [`SmtpAgent::new`].
    pub fn new(settings: Settings, resolver: Rc<dyn Resolver>, tag: Tag, numbers: Numbers) -> Self {
        LmtpAgent(SmtpAgent::new(settings, resolver, tag, numbers))
    }

    /// See [`SmtpAgent::finish`].
    pub async fn finish(&self) {
        self.0.finish().await;
    }
}

impl DeliveryAgent for LmtpAgent {
    const KIND: &'static str = "lmtp";

    fn accept(&self, assignment: Assignment) {
        self.0.accept(assignment);
    }
}

/// Counts a delivery as long as it lives.
struct UnderWay(Rc<Shared>, Arc<str>);

impl UnderWay {
    fn new(shared: &Rc<Shared>, nexthop: Arc<str>) -> Self {
        shared.under_way.set(shared.under_way.get() + 1);
        shared.busy.borrow_mut().begin(&nexthop);
        UnderWay(shared.clone(), nexthop)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.busy.borrow_mut().end(&self.1);
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.over.notify_waiters();
        self.0.over.notify_one();
    }
}

impl Shared {
    /// Keeps a connection for the next message, or takes leave of it.
    fn keep_or_close(self: &Rc<Self>, nexthop: &str, mut connection: Box<Connection>) {
        let wanted = match self.settings.keep {
            Keep::OnDemand => self.busy.borrow().has_more(nexthop),
            Keep::Always => true,
            Keep::Never => false,
        };
        let wanted = wanted || self.is_always_kept(nexthop);
        if !wanted || !connection.is_reusable() || connection.is_used_up() {
            tokio::task::spawn_local(connection.close());
            return;
        }
        connection.rest();
        self.pool.borrow_mut().put(nexthop, connection);
        self.freed.notify_one();
        if !self.sweeping.replace(true) {
            tokio::task::spawn_local(sweep(self.clone()));
        }
    }

    /// Whether `smtp_connection_cache_destinations` names one of a nexthop's domains or hosts.
    fn is_always_kept(&self, nexthop: &str) -> bool {
        let listed = &self.settings.keep_for;
        // A table that asks a server is not waited for: the next message would have to.
        let has = |name: &str| listed.matches_now(name).unwrap_or(false);
        !listed.is_empty()
            && destination::parse(nexthop, &self.settings).is_ok_and(|sites| {
                sites.iter().any(|site| match site {
                    Site::Inet { name, .. } => has(name),
                    Site::Unix { shown, .. } => has(shown),
                })
            })
    }

    /// The right to open a connection, or one to `target` that has become free meanwhile. Where too many are open,
    /// one that only waits makes room.
    async fn room(&self, target: Option<&Target>) -> Room {
        loop {
            if let Some(kept) = target.and_then(|target| self.pool.borrow_mut().take_for_target(target)) {
                return Room::Kept(kept);
            }
            if let Ok(permit) = self.places.clone().try_acquire_owned() {
                return Room::New(permit);
            }
            let oldest = self.pool.borrow_mut().take_oldest();
            if let Some(connection) = oldest {
                connection.close_now();
                continue;
            }
            tokio::select! {
                permit = self.places.clone().acquire_owned() => {
                    return Room::New(permit.expect("the semaphore is never closed"));
                }
                () = self.freed.notified() => {}
            }
        }
    }
}

/// How a delivery comes to a connection.
enum Room {
    /// One that was kept.
    Kept(Box<Connection>),
    /// It may open one.
    New(OwnedSemaphorePermit),
}

/// Closes connections that have waited long enough, as long as any wait.
async fn sweep(shared: Rc<Shared>) {
    loop {
        let (expired, pause) = shared.pool.borrow_mut().take_expired(shared.settings.idle_limit);
        for connection in expired {
            tokio::task::spawn_local(connection.close());
        }
        if shared.pool.borrow().is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    shared.sweeping.set(false);
}

#[cfg(test)]
mod tests;
