//! Decides what is answered about an address, and whether a probe is sent.

use crate::{Cache, Entry, Finding, ProbeSender, Settings};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How long a probe is waited for before another is sent. Postfix waits as long.
const PROBE_SECONDS: u64 = 1_000;

/// Addresses that are being asked about at once. Beyond it nothing is asked, and mail is put off meanwhile.
const PENDING_MAX: usize = 100_000;

/// The desk of a process; clones share it. Loop-local.
#[derive(Clone)]
pub struct Desk(Rc<RefCell<Inner>>);

struct Inner {
    settings: Arc<Settings>,
    cache: Arc<Cache>,
    pending: HashMap<String, Pending>,
}

/// A probe under way.
struct Pending {
    since: u64,
    /// Who waits for its end: each is woken when its sender is dropped.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What is answered about an address.
#[derive(Debug)]
pub struct Answer {
    /// What is known.
    pub entry: Entry,
    /// A probe is to be sent.
    pub wants_probe: bool,
    /// Ends when the probe under way does, where nothing is known before.
    pub waits: Option<oneshot::Receiver<()>>,
}

impl Desk {
    /// A desk with what is known.
    pub fn new(settings: Arc<Settings>, cache: Arc<Cache>) -> Desk {
        Desk(Rc::new(RefCell::new(Inner { settings, cache, pending: HashMap::new() })))
    }

    /// A desk that begins with nothing and keeps nothing.
    pub fn in_memory(settings: Settings) -> Desk {
        Desk::new(Arc::new(settings), Arc::default())
    }

    /// Puts new settings in force; the table stays as it is.
    pub fn set_settings(&self, settings: Arc<Settings>) {
        self.0.borrow_mut().settings = settings;
    }

    /// Who a probe comes from that is sent at `now`, in seconds.
    pub fn sender(&self, now: u64) -> mail::Address {
        ProbeSender::new(&self.0.borrow().settings).at(now)
    }

    /// What is known of an address, without asking for more.
    pub fn look(&self, address: &str, now: u64) -> Entry {
        let inner = self.0.borrow();
        inner.valid(address, now).unwrap_or_else(Entry::unknown)
    }

    /// What is answered about an address at `now`, in seconds.
    pub fn ask(&self, address: &str, now: u64) -> Answer {
        let mut inner = self.0.borrow_mut();
        let known = inner.valid(address, now);
        let due = known.as_ref().is_none_or(|entry| {
            entry.updated.saturating_add(entry.times(&inner.settings).refresh) < now
                && entry.probed.saturating_add(PROBE_SECONDS) < now
        });
        let wants_probe = due && inner.begin(address, now);
        if let Some(entry) = known.clone().filter(|_| wants_probe) {
            inner.cache.put(address.to_owned(), Entry { probed: now, ..entry });
        }
        let waits = match (&known, inner.pending.get_mut(address)) {
            (None, Some(pending)) => {
                let (sender, receiver) = oneshot::channel();
                pending.waiting.push(sender);
                Some(receiver)
            }
            _ => None,
        };
        Answer { entry: known.unwrap_or_else(Entry::unknown), wants_probe, waits }
    }

    /// Takes what a probe found at `now`, in seconds, in the words of who was asked.
    pub fn found(&self, address: &str, finding: Finding, text: &str, now: u64) {
        let mut inner = self.0.borrow_mut();
        let pending = inner.pending.remove(address);
        let keeps = match finding {
            Finding::Deliverable => true,
            _ if !inner.settings.remembers_failures => false,
            // A server that has trouble does not undo that an address was there: that lasts until it expires.
            _ => inner.valid(address, now).is_none_or(|entry| entry.finding != Finding::Deliverable),
        };
        if keeps {
            let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            inner.cache.put(address.to_owned(), Entry { finding, probed: 0, updated: now, text });
        }
        // Who waits asks again.
        drop(pending);
    }

    /// A probe came to nothing: the next who asks has another one sent.
    pub fn lost(&self, address: &str) {
        self.0.borrow_mut().pending.remove(address);
    }
}

impl Inner {
    fn valid(&self, address: &str, now: u64) -> Option<Entry> {
        self.cache.get(address).filter(|entry| entry.is_valid(&self.settings, now))
    }

    /// Notes a probe; false where one is under way, or too many are.
    fn begin(&mut self, address: &str, now: u64) -> bool {
        let is_late = |pending: &Pending| pending.since.saturating_add(PROBE_SECONDS) < now;
        if self.pending.len() >= PENDING_MAX {
            self.pending.retain(|_, pending| !is_late(pending));
        }
        let is_full = self.pending.len() >= PENDING_MAX;
        match self.pending.get_mut(address) {
            Some(pending) if !is_late(pending) => false,
            Some(pending) => {
                pending.since = now;
                true
            }
            None if is_full => false,
            None => {
                self.pending.insert(address.to_owned(), Pending { since: now, waiting: Vec::new() });
                true
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Times;
    use mail::Address;

    pub fn settings() -> Settings {
        Settings {
            map: String::new(),
            remembers_failures: true,
            positive: Times { expire: 100, refresh: 50 },
            negative: Times { expire: 40, refresh: 20 },
            cleanup_interval: 0,
            sender: Address::from("double-bounce@example.org"),
            sender_ttl: 0,
        }
    }

    fn desk(settings: Settings) -> (Desk, Arc<Cache>) {
        let cache = Arc::new(Cache::default());
        (Desk::new(Arc::new(settings), cache.clone()), cache)
    }

    const A: &str = "a@x.example";

    #[test]
    fn an_unknown_address_is_asked_about_once() {
        let (desk, _) = desk(settings());
        let first = desk.ask(A, 10);
        assert!(first.wants_probe);
        assert_eq!(first.entry.to_string(), "3:0:0:Address verification in progress");
        assert!(!desk.ask(A, 11).wants_probe);
        desk.found(A, Finding::Undeliverable, "no\nsuch box", 12);
        let then = desk.ask(A, 13);
        assert!(!then.wants_probe && then.waits.is_none());
        assert_eq!(then.entry.to_string(), "2:0:12:no such box");
    }

    #[test]
    fn who_waits_is_woken_by_the_result() {
        let (desk, _) = desk(settings());
        let mut waits = [desk.ask(A, 10), desk.ask(A, 10)].map(|answer| answer.waits.expect("it waits"));
        assert!(waits.iter_mut().all(|w| w.try_recv() == Err(oneshot::error::TryRecvError::Empty)));
        desk.found(A, Finding::Deliverable, "yes", 11);
        assert!(waits.iter_mut().all(|w| w.try_recv() == Err(oneshot::error::TryRecvError::Closed)));
    }

    #[test]
    fn what_is_not_fresh_counts_while_it_is_asked_about_again() {
        let (desk, cache) = desk(settings());
        desk.found(A, Finding::Deliverable, "yes", 2_000);
        assert!(!desk.ask(A, 2_050).wants_probe);
        let refreshed = desk.ask(A, 2_051);
        assert!(refreshed.wants_probe && refreshed.entry.finding == Finding::Deliverable);
        assert_eq!(cache.get(A).map(|e| e.to_string()), Some("0:2051:2000:yes".into()));
        assert!(!desk.ask(A, 2_052).wants_probe);
        assert_eq!(desk.ask(A, 2_101).entry.finding, Finding::Unknown);
    }

    #[test]
    fn a_failure_does_not_undo_a_success_that_counts() {
        let (desk, cache) = desk(settings());
        desk.found(A, Finding::Deliverable, "yes", 2_000);
        desk.ask(A, 2_051);
        desk.found(A, Finding::Undeliverable, "no", 2_052);
        assert_eq!(cache.get(A).map(|e| e.to_string()), Some("0:2051:2000:yes".into()));
        desk.found(A, Finding::Undetermined, "later", 2_101);
        assert_eq!(desk.look(A, 2_101).to_string(), "1:0:2101:later");
        desk.found(A, Finding::Deliverable, "yes again", 2_102);
        assert_eq!(desk.look(A, 2_102).to_string(), "0:0:2102:yes again");
    }

    #[test]
    fn failures_are_forgotten_where_so_configured() {
        let (desk, _) = desk(Settings { remembers_failures: false, ..settings() });
        assert!(desk.ask(A, 10).wants_probe);
        desk.found(A, Finding::Undeliverable, "no", 11);
        let again = desk.ask(A, 11);
        assert!(again.wants_probe && again.entry.finding == Finding::Unknown);
    }

    #[test]
    fn a_probe_that_was_lost_is_sent_again() {
        let (desk, _) = desk(settings());
        assert!(desk.ask(A, 10).wants_probe);
        desk.lost(A);
        assert!(desk.ask(A, 10).wants_probe);
        assert!(!desk.ask(A, 10 + PROBE_SECONDS).wants_probe);
        assert!(desk.ask(A, 11 + PROBE_SECONDS).wants_probe);
    }

    #[test]
    fn a_full_list_of_probes_asks_no_more_until_some_are_over() {
        let (desk, _) = desk(settings());
        for n in 0..PENDING_MAX {
            assert!(desk.ask(&n.to_string(), 10).wants_probe);
        }
        let more = desk.ask(A, 10);
        assert!(!more.wants_probe && more.waits.is_none());
        desk.found("7", Finding::Deliverable, "yes", 11);
        assert!(desk.ask(A, 11).wants_probe);
        assert!(desk.ask("b@x.example", 11 + PROBE_SECONDS).wants_probe, "what is late is given up");
    }
}
