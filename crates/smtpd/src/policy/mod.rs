//! Policy services: whom `check_policy_service` asks, over which connection, and what counts where nobody answers.
//!
//! Connections are kept and used again, each for one request at a time. A try that fails is followed by another over a
//! new connection, after `smtpd_policy_service_retry_delay`; a service that fails again and again is left in peace for a
//! while ([`net::Breaker`]), so that mail does not wait for it. Postfix: SMTPD_POLICY_README.

mod connection;
mod figures;
mod kept;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::Defaults;

use connection::{Broken, Unreachable};
use figures::{Figure, Figures};
use kept::Kept;
use net::breaker::{Breaker, PAUSE_MAX};
use net::{Families, Resolver};
use observe::events::policy as events;
use observe::{Escaped, Tag, emit};
use protocol::policy::{Answer, Problem, Request, Scanner, Stop};
use settings::Service;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Requests to one service at once, over all event loops of a process, each over a connection of its own: as many as
/// Postfix makes with its `default_process_limit`, for which services are made. Beyond it requests wait, but no longer
/// than for an answer. A loop has no more connections than it had requests at once.
const REQUESTS_MAX: usize = 100;

/// A policy service. Lists that name it in the same way share it, also those of a configuration that is read again.
pub struct Server {
    service: Service,
    /// Every service's own.
    number: u64,
    free: Semaphore,
    breaker: Mutex<Breaker>,
    figures: Figures,
}

/// Who asks, and how names are found.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Finds the service's host.
    pub resolver: &'a dyn Resolver,
    /// Which addresses of it count.
    pub families: Families,
    /// Whose log lines these are.
    pub tag: &'a Tag,
}

/// There is no answer; the log says why, and [`Server::default_action`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// The services that are in use.
static SERVERS: LazyLock<Mutex<HashMap<String, Weak<Server>>>> = LazyLock::new(Mutex::default);

/// What is known of a policy service.
pub struct Known {
    /// As it is written in a list.
    pub spec: String,
    /// It is left in peace at the moment.
    pub in_peace: bool,
    /// What was counted, under its name.
    pub figures: Vec<(&'static str, u64)>,
}

/// The services that are in use, sorted.
pub fn known() -> Vec<Known> {
    let servers: Vec<_> = {
        let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers.values().filter_map(Weak::upgrade).collect()
    };
    let known = |server: &Arc<Server>| Known {
        spec: server.spec().to_owned(),
        in_peace: server.breaker().is_open(),
        figures: server.figures.all(),
    };
    let mut all: Vec<Known> = servers.iter().map(known).collect();
    all.sort_by(|a, b| a.spec.cmp(&b.spec));
    all
}

impl Server {
    /// The service of a word in a restriction list; the error says what was expected.
    pub fn of(word: &str, defaults: &Defaults) -> Result<Arc<Server>, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let service = defaults.service(word)?;
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| server.strong_count() > 0);
        let key = format!("{service:?}");
        if let Some(server) = servers.get(&key).and_then(Weak::upgrade) {
            return Ok(server);
        }
        let server = Arc::new(Server {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            free: Semaphore::new(REQUESTS_MAX),
            // Its name stands in front already where this is told.
            breaker: Mutex::new(Breaker::new("it", PAUSE_MAX)),
            service,
            figures: Figures::default(),
        });
        servers.insert(key, Arc::downgrade(&server));
        Ok(server)
    }

    /// The word of the list: `inet:127.0.0.1:10023`, `{ inet:127.0.0.1:10023, timeout=10s }`.
    pub fn spec(&self) -> &str {
        &self.service.spec
    }

    /// What counts where there is no answer.
    pub fn default_action(&self) -> &str {
        &self.service.rules.default_action
    }

    /// What requests have as `policy_context`.
    pub fn policy_context(&self) -> &str {
        &self.service.rules.policy_context
    }

    /// The action that the service answers with.
    ///
    /// Waits no longer than for a connection and an answer as often as the service is tried, with the pauses between.
    pub async fn ask(&self, request: &Request<'_>, around: &Around<'_>) -> Result<String, Unanswered> {
        self.figures.one(Figure::Questions);
        let began = Instant::now();
        let answer = self.ask_if_well(&request.to_bytes(), around).await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.figures.add(Figure::Microseconds, took);
        let text = answer.and_then(|answer| {
            String::from_utf8(answer.action).map_err(|error| {
                let (service, action) = (self.spec(), error.as_bytes());
                emit(around.tag, &events::PolicyNoText { service, action });
                Unanswered
            })
        });
        self.figures.one(text.as_deref().map_or(Figure::Unanswered, figures::class));
        text
    }

    /// Asks unless the service is left in peace, and notes how that went.
    async fn ask_if_well(&self, request: &[u8], around: &Around<'_>) -> Result<Answer, Unanswered> {
        let may_ask = self.breaker().may_ask(Instant::now());
        if let Err(left) = may_ask {
            self.figures.one(Figure::NotAsked);
            self.unanswered(&left.to_string(), around);
            return Err(Unanswered);
        }
        let on_trial = self.breaker().is_open();
        // One that failed so often is asked once, to see whether it is back.
        let tries = if on_trial { 1 } else { self.service.rules.try_limit };
        let outcome = self.ask_within(tries, request, around).await;
        let mut breaker = self.breaker();
        let was_open = breaker.is_open();
        match &outcome {
            Ok(_) => breaker.succeeded(),
            Err(reason) => breaker.failed(reason, Instant::now()),
        }
        match (was_open, breaker.is_open()) {
            (false, true) => self.figures.one(Figure::BreakerOpened),
            (true, false) => {
                self.figures.one(Figure::BreakerClosed);
                emit(around.tag, &events::PolicyBack { server: &self.service.name });
            }
            _ => {}
        }
        outcome.map_err(|_| Unanswered)
    }

    /// Asks once a connection may be used, up to `tries` times; the error is what the last try brought.
    async fn ask_within(&self, tries: u64, request: &[u8], around: &Around<'_>) -> Result<Answer, String> {
        let Ok(permit) = timeout(self.service.rules.timeout, self.free.acquire()).await else {
            let reason = format!("{REQUESTS_MAX} requests have been under way for too long");
            self.unanswered(&reason, around);
            return Err(reason);
        };
        let _permit = permit.expect("nobody closes the semaphore");
        let mut left = tries;
        loop {
            left -= 1;
            let failed = match self.try_once(request, around).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // As in Postfix: what a restart of the service looks like is told at the last try only.
            if failed.is_told || left == 0 {
                self.unanswered(&failed.reason, around);
            }
            if left == 0 {
                return Err(failed.reason);
            }
            self.figures.one(Figure::Retries);
            tokio::time::sleep(self.service.rules.retry_delay).await;
        }
    }

    /// Asks over a kept connection; where that has been closed, or there is none, over a new one.
    async fn try_once(&self, request: &[u8], around: &Around<'_>) -> Result<Answer, Failed> {
        if let Some(kept) = kept::take(self.number) {
            self.figures.one(Figure::Reused);
            match self.ask_over(kept, request, around).await {
                // The service may have closed what lay idle, or have restarted: that says nothing of it today.
                Err(failed) if failed.is_end => kept::drop_all(self.number),
                answer => return answer,
            }
        }
        let opening = connection::open(&self.service.endpoint, around.resolver, around.families);
        let opened = match timeout(self.service.rules.timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Unreachable::Refused(io::ErrorKind::TimedOut.into())),
        };
        let stream = opened.map_err(|why| self.unreachable(why, around))?;
        self.figures.one(Figure::Connections);
        self.ask_over(Kept::new(stream, self.number), request, around).await
    }

    /// Asks over a connection, and keeps it where it may be used again.
    async fn ask_over(&self, mut kept: Kept, request: &[u8], around: &Around<'_>) -> Result<Answer, Failed> {
        let rules = &self.service.rules;
        let mut scanner = Scanner::default();
        let asked = timeout(rules.timeout, kept.stream.ask(request, &mut scanner)).await;
        match asked {
            Ok(Ok(answer)) => {
                kept.requests += 1;
                let is_worn = rules.request_limit > 0 && kept.requests >= rules.request_limit;
                if !answer.more && !is_worn {
                    kept::put(kept, rules.max_idle, rules.max_ttl);
                }
                Ok(answer)
            }
            Ok(Err(broken)) => Err(self.broken(broken, around)),
            Err(_) => {
                self.figures.one(Figure::Timeouts);
                self.stopped("timeout on", scanner.stop(), around);
                Err(Failed { reason: "Connection timed out".to_owned(), is_told: true, is_end: false })
            }
        }
    }

    fn unreachable(&self, why: Unreachable, around: &Around<'_>) -> Failed {
        let server = &self.service.name;
        let (reason, kind) = match why {
            Unreachable::Refused(error) => (words(&error), error.kind()),
            Unreachable::NoHost(why) => {
                let (problem, detail) = ("host or service", format!(" not found: {why}"));
                emit(around.tag, &events::PolicyNonsense { problem, server, detail: &detail });
                ("Cannot assign requested address".to_owned(), io::ErrorKind::AddrNotAvailable)
            }
        };
        emit(around.tag, &events::PolicyUnreachable { server, reason: &reason });
        Failed { reason, is_told: kind != io::ErrorKind::NotFound, is_end: false }
    }

    fn broken(&self, broken: Broken, around: &Around<'_>) -> Failed {
        let (problem, detail) = match broken {
            Broken::Io(error) => {
                let is_end =
                    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
                return Failed { reason: words(&error), is_told: !is_end, is_end };
            }
            Broken::Closed(stop) => {
                self.stopped("premature end-of-input on", stop, around);
                return Failed::application(stop == Stop::Nothing);
            }
            Broken::Nonsense(Problem::NoAction(found)) => {
                let found = Escaped(&found);
                ("missing attribute action in input from", format!("; it sent \"{found}\""))
            }
            Broken::Nonsense(Problem::NoValue) => {
                ("missing value for string attribute action from", String::new())
            }
            Broken::Nonsense(Problem::TooLong) => {
                let most = protocol::policy::ANSWER_BYTES_MAX;
                ("input too long from", format!("; expected an answer of at most {most} bytes"))
            }
        };
        emit(around.tag, &events::PolicyNonsense { problem, server: &self.service.name, detail: &detail });
        Failed::application(false)
    }

    /// Logs where an answer stopped, if it had begun.
    fn stopped(&self, problem: &str, stop: Stop, around: &Around<'_>) {
        let detail = match stop {
            Stop::Nothing => return,
            Stop::Name => " while reading input attribute name",
            Stop::Value => " while reading input attribute value",
        };
        emit(around.tag, &events::PolicyNonsense { problem, server: &self.service.name, detail });
    }

    fn unanswered(&self, reason: &str, around: &Around<'_>) {
        emit(around.tag, &events::PolicyUnanswered { server: &self.service.name, reason });
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A try that brought no answer.
struct Failed {
    reason: String,
    /// Whether the log says so although another try follows.
    is_told: bool,
    /// The connection had been closed already, it seems.
    is_end: bool,
}

impl Failed {
    /// Postfix's words for an end or an answer that is none.
    fn application(is_end: bool) -> Failed {
        Failed { reason: "Application error".to_owned(), is_told: false, is_end }
    }
}

/// The system's words for an error, without its number.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return "Connection timed out".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
