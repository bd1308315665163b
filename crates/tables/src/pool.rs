//! Connections to the servers of a table: hosts that stand in for each other, few connections, a deadline each.
//!
//! A question takes a kept connection or opens one, at the first host that is up. A host that fails is followed by the
//! next; one that fails again and again is left in peace ([`Breaker`]). A server that answers too late loses its
//! connection, since the answer that comes next would be that of another question.

use crate::service::{self, within};
use net::breaker::{Breaker, PAUSE_MAX};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How a kind of server is spoken to.
pub(crate) trait Client: Send + Sync + 'static {
    /// An open connection.
    type Connection: Send + 'static;
    /// A question.
    type Request: Send + Sync + 'static;
    /// Its answer.
    type Answer: Send + 'static;

    /// Connects to the host of this name and says who we are; the pool bounds the time.
    fn connect(&self, host: &str) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Asks over a connection; the pool bounds the time.
    fn query(
        &self,
        connection: &mut Self::Connection,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection is broken, or the server is not well: another host may do better.
    Server(String),
    /// The server is well and does not take this question; no other host would, and the connection goes on.
    Request(String),
}

/// In which order hosts are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first, and the others only when it fails.
    InTurn,
    /// Any, so that they share the work; those whose name starts with `unix:` before others.
    Random,
}

/// The bounds of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at once, over all hosts.
    pub(crate) connections: usize,
    /// Questions that wait for a connection; beyond it they fail at once.
    pub(crate) waiting: usize,
    /// How long opening a connection may take.
    pub(crate) connect: Duration,
    /// How long an answer may take, and the wait for a free connection.
    pub(crate) query: Duration,
    /// How long a connection is kept without a question.
    pub(crate) idle: Duration,
    /// How often a host that takes connections is asked before the next one is, each time over a new connection.
    pub(crate) tries: u32,
    /// The pause between tries.
    pub(crate) pause: Duration,
    /// How long a host that fails is left in peace at most.
    pub(crate) retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 8,
            waiting: 512,
            connect: Duration::from_secs(10),
            query: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            tries: 1,
            pause: Duration::from_secs(1),
            retry: PAUSE_MAX,
        }
    }
}

/// The servers of one table.
pub(crate) struct Pool<C: Client>(Arc<Inner<C>>);

struct Inner<C: Client> {
    client: C,
    hosts: Vec<Host>,
    order: Order,
    limits: Limits,
    free: Semaphore,
    asked: AtomicUsize,
    kept: Mutex<Vec<Kept<C::Connection>>>,
}

struct Host {
    name: String,
    breaker: Mutex<Breaker>,
}

struct Kept<T> {
    connection: T,
    host: usize,
    since: Instant,
}

impl<C: Client> Pool<C> {
    /// A pool that opens connections when it is asked; `hosts` are what [`Client::connect`] takes, at least one.
    pub(crate) fn new(client: C, hosts: Vec<String>, order: Order, limits: Limits) -> Pool<C> {
        assert!(!hosts.is_empty(), "a pool has at least one host");
        let host =
            |name: String| Host { breaker: Mutex::new(Breaker::new(name.clone(), limits.retry)), name };
        Pool(Arc::new(Inner {
            client,
            hosts: hosts.into_iter().map(host).collect(),
            order,
            free: Semaphore::new(limits.connections),
            limits,
            asked: AtomicUsize::new(0),
            kept: Mutex::new(Vec::new()),
        }))
    }

    /// Asks on the thread for servers; the error says what each host did. No longer than the limits times the hosts.
    pub(crate) fn ask(
        &self,
        request: C::Request,
    ) -> impl Future<Output = Result<C::Answer, String>> + Send + use<C> {
        let asked = Asked::enter(&self.0);
        async move {
            let asked = asked.ok_or("too many lookups are waiting for a connection")?;
            let question = async move { asked.0.ask(&request).await };
            service::ask(question).await.unwrap_or_else(|gone| Err(gone.to_string()))
        }
    }
}

/// One that is counted while it waits or is asked.
struct Asked<C: Client>(Arc<Inner<C>>);

impl<C: Client> Asked<C> {
    fn enter(inner: &Arc<Inner<C>>) -> Option<Asked<C>> {
        let before = inner.asked.fetch_add(1, Ordering::Relaxed);
        let asked = Asked(inner.clone());
        (before < inner.limits.connections + inner.limits.waiting).then_some(asked)
    }
}

impl<C: Client> Drop for Asked<C> {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<C: Client> Inner<C> {
    async fn ask(&self, request: &C::Request) -> Result<C::Answer, String> {
        let _permit = within(self.limits.query, "free connection", self.free.acquire())
            .await?
            .expect("nobody closes the semaphore");
        let mut errors = Vec::new();
        let mut late = None;
        if let Some(mut kept) = self.take_kept() {
            let host = kept.host;
            match self.query(&mut kept.connection, host, request).await {
                Ok(answer) => return self.keep(kept, answer),
                Err(Broken::Late(text)) => {
                    errors.push(text);
                    late = Some(host);
                }
                // The server may have closed what lay idle, or have restarted: that says nothing of it today.
                Err(Broken::Connection(_)) => {}
            }
            self.kept().retain(|other| other.host != host);
        }
        for host in self.hosts_in_order() {
            // A host that was late has had one try.
            for left in (0..self.limits.tries - u32::from(late == Some(host))).rev() {
                match self.ask_anew(host, request).await {
                    Ok((kept, answer)) => return self.keep(kept, answer),
                    Err(Untaken { text, again }) => {
                        errors.push(text);
                        if left == 0 || !again {
                            break;
                        }
                    }
                }
                tokio::time::sleep(self.limits.pause).await;
            }
        }
        errors.dedup();
        Err(errors.join("; "))
    }

    /// Asks a host over a new connection.
    async fn ask_anew(&self, host: usize, request: &C::Request) -> Result<Asking<C>, Untaken> {
        let Host { name, .. } = &self.hosts[host];
        let down = |text| Untaken { text, again: false };
        self.breaker(host).may_ask(Instant::now()).map_err(|left| down(left.to_string()))?;
        let connected = within(self.limits.connect, "connection", self.client.connect(name)).await;
        let connected = connected.and_then(|connected| connected);
        let connection = connected.map_err(|text| down(self.failed(host, &text)))?;
        let mut kept = Kept { connection, host, since: Instant::now() };
        let text = match self.query(&mut kept.connection, host, request).await {
            Ok(answer) => return Ok((kept, answer)),
            Err(Broken::Late(text)) => text,
            Err(Broken::Connection(text)) => self.failed(host, &text),
        };
        Err(Untaken { text, again: true })
    }

    /// Asks over a connection; after an error the connection is of no use.
    async fn query(
        &self,
        connection: &mut C::Connection,
        host: usize,
        request: &C::Request,
    ) -> Result<Result<C::Answer, String>, Broken> {
        match within(self.limits.query, "answer", self.client.query(connection, request)).await {
            Ok(Ok(answer)) => {
                self.breaker(host).succeeded();
                Ok(Ok(answer))
            }
            Ok(Err(Failure::Request(text))) => {
                self.breaker(host).succeeded();
                Ok(Err(format!("{}: {text}", self.hosts[host].name)))
            }
            Ok(Err(Failure::Server(text))) => Err(Broken::Connection(text)),
            Err(text) => Err(Broken::Late(self.failed(host, &text))),
        }
    }

    /// Notes a failure and gives its text with the name of the host.
    fn failed(&self, host: usize, text: &str) -> String {
        self.breaker(host).failed(text, Instant::now());
        format!("{}: {text}", self.hosts[host].name)
    }

    fn keep(
        &self,
        kept: Kept<C::Connection>,
        answer: Result<C::Answer, String>,
    ) -> Result<C::Answer, String> {
        self.kept().push(Kept { since: Instant::now(), ..kept });
        answer
    }

    /// The connection that was used last; those that lay idle for too long are closed.
    fn take_kept(&self) -> Option<Kept<C::Connection>> {
        let mut kept = self.kept();
        kept.retain(|one| one.since.elapsed() < self.limits.idle);
        kept.pop()
    }

    fn hosts_in_order(&self) -> impl Iterator<Item = usize> + Send + use<C> {
        let mut hosts: Vec<usize> = (0..self.hosts.len()).collect();
        if self.order == Order::Random {
            let far = |host: usize| !self.hosts[host].name.starts_with("unix:");
            hosts.sort_by_cached_key(|&host| (far(host), RandomState::new().build_hasher().finish()));
        }
        hosts.into_iter()
    }

    fn breaker(&self, host: usize) -> MutexGuard<'_, Breaker> {
        self.hosts[host].breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept<C::Connection>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes on, and the answer that came over it.
type Asking<C> = (Kept<<C as Client>::Connection>, Result<<C as Client>::Answer, String>);

/// What a host said that gave no answer, and whether another try may help: not where it takes no connection.
struct Untaken {
    text: String,
    again: bool,
}

/// Why a connection is of no use any more.
enum Broken {
    /// It broke.
    Connection(String),
    /// Its answer did not come in time, which is noted; the text names the host.
    Late(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::wait;
    use std::collections::HashMap;

    /// Hosts that answer as they are told, and a log of what was done.
    #[derive(Default)]
    struct Hosts {
        says: Mutex<HashMap<String, &'static str>>,
        log: Mutex<Vec<String>>,
    }

    impl Client for Arc<Hosts> {
        type Connection = String;
        type Request = &'static str;
        type Answer = String;

        async fn connect(&self, host: &str) -> Result<String, String> {
            self.log.lock().unwrap().push(format!("connect {host}"));
            if self.says.lock().unwrap().get(host) == Some(&"down") {
                return Err("connection refused".to_owned());
            }
            Ok(host.to_owned())
        }

        async fn query(&self, host: &mut String, request: &&'static str) -> Result<String, Failure> {
            self.log.lock().unwrap().push(format!("ask {host}"));
            let says = self.says.lock().unwrap().get(host).copied();
            match says {
                Some("down") => Err(Failure::Server("connection closed".to_owned())),
                Some("slow") => std::future::pending().await,
                Some("no") => Err(Failure::Request("bad question".to_owned())),
                _ => Ok(format!("{request} of {host}")),
            }
        }
    }

    fn pool(hosts: &[&str], limits: Limits) -> (Arc<Hosts>, Pool<Arc<Hosts>>) {
        let client = Arc::new(Hosts::default());
        let names = hosts.iter().map(|name| name.to_string()).collect();
        (client.clone(), Pool::new(client, names, Order::InTurn, limits))
    }

    impl Hosts {
        fn say(&self, host: &str, what: &'static str) {
            self.says.lock().unwrap().insert(host.to_owned(), what);
        }

        fn log(&self) -> Vec<String> {
            std::mem::take(&mut *self.log.lock().unwrap())
        }
    }

    #[test]
    fn a_connection_is_kept_for_the_next_question() {
        let (hosts, pool) = pool(&["a"], Limits::default());
        assert_eq!(wait(pool.ask("x")), Ok("x of a".to_owned()));
        assert_eq!(wait(pool.ask("y")), Ok("y of a".to_owned()));
        assert_eq!(hosts.log(), ["connect a", "ask a", "ask a"]);
    }

    #[test]
    fn a_host_that_is_down_is_followed_by_the_next() {
        let (hosts, pool) = pool(&["a", "b"], Limits::default());
        hosts.say("a", "down");
        assert_eq!(wait(pool.ask("x")), Ok("x of b".to_owned()));
    }

    #[test]
    fn a_kept_connection_that_broke_is_opened_again_at_the_same_host() {
        let (hosts, pool) = pool(&["a"], Limits::default());
        wait(pool.ask("x")).unwrap();
        hosts.say("a", "down");
        assert_eq!(wait(pool.ask("x")), Err("a: connection refused".to_owned()));
        hosts.say("a", "up");
        assert_eq!(wait(pool.ask("x")), Ok("x of a".to_owned()));
    }

    #[test]
    fn an_answer_that_is_late_costs_the_connection_and_names_the_host() {
        let limits = Limits { query: Duration::from_millis(20), ..Limits::default() };
        let (hosts, pool) = pool(&["a"], limits);
        wait(pool.ask("x")).unwrap();
        hosts.say("a", "slow");
        assert_eq!(wait(pool.ask("x")), Err("a: no answer within 0.02 s".to_owned()));
        hosts.say("a", "up");
        hosts.log();
        wait(pool.ask("x")).unwrap();
        assert_eq!(hosts.log(), ["connect a", "ask a"]);
    }

    #[test]
    fn a_host_that_takes_connections_is_tried_again_and_one_that_does_not_is_not() {
        let limits =
            Limits { tries: 2, pause: Duration::ZERO, query: Duration::from_millis(20), ..Limits::default() };
        let (hosts, pool) = pool(&["a"], limits);
        hosts.say("a", "slow");
        assert_eq!(wait(pool.ask("x")), Err("a: no answer within 0.02 s".to_owned()));
        assert_eq!(hosts.log(), ["connect a", "ask a", "connect a", "ask a"]);
        hosts.say("a", "down");
        assert_eq!(wait(pool.ask("x")), Err("a: connection refused".to_owned()));
        assert_eq!(hosts.log(), ["connect a"]);
    }

    #[test]
    fn a_host_that_fails_again_and_again_is_left_in_peace() {
        let (hosts, pool) = pool(&["a"], Limits::default());
        hosts.say("a", "down");
        let errors: Vec<String> = (0..4).map(|_| wait(pool.ask("x")).unwrap_err()).collect();
        assert_eq!(errors[..3], ["a: connection refused"; 3]);
        assert!(errors[3].starts_with("a has failed 3 times in a row"), "{}", errors[3]);
        assert_eq!(hosts.log(), ["connect a"; 3]);
    }

    #[test]
    fn a_question_that_is_refused_goes_to_no_other_host() {
        let (hosts, pool) = pool(&["a", "b"], Limits::default());
        hosts.say("a", "no");
        assert_eq!(wait(pool.ask("x")), Err("a: bad question".to_owned()));
        assert_eq!(hosts.log(), ["connect a", "ask a"]);
    }

    #[test]
    fn questions_beyond_the_bound_fail_at_once() {
        let limits =
            Limits { connections: 1, waiting: 1, query: Duration::from_millis(50), ..Limits::default() };
        let (hosts, pool) = pool(&["a"], limits);
        hosts.say("a", "slow");
        let (first, second, third) = (pool.ask("1"), pool.ask("2"), pool.ask("3"));
        assert_eq!(wait(third), Err("too many lookups are waiting for a connection".to_owned()));
        assert!(wait(first).is_err() && wait(second).is_err());
        hosts.say("a", "up");
        assert_eq!(wait(pool.ask("x")), Ok("x of a".to_owned()));
    }

    #[test]
    fn hosts_in_any_order_share_the_work() {
        let client = Arc::new(Hosts::default());
        let limits = Limits { idle: Duration::ZERO, ..Limits::default() };
        let pool = Pool::new(client.clone(), vec!["a".to_owned(), "b".to_owned()], Order::Random, limits);
        let both = || {
            wait(pool.ask("x")).unwrap();
            let log = client.log.lock().unwrap();
            ["connect a", "connect b"].iter().all(|wanted| log.iter().any(|line| line == wanted))
        };
        assert!((0..200).any(|_| both()));
    }
}
