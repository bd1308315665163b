//! What the clients of one postscreen service share, over all event loops of the process.

use super::clients::Clients;
use super::{Cache, Settings};
use crate::listener::Listener;
use observe::events::postscreen::Stress;
use observe::{Tag, emit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tables::keeper::Kept as _;

/// A postscreen line of master.cf, on one event loop.
pub struct Service {
    /// Its program name in the log (`postfix/postscreen`).
    pub program: Arc<str>,
    /// The program name for what DNS lists say (`postfix/dnsblog`).
    pub dnsblog_program: Arc<str>,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// What all loops share.
    pub screen: Arc<Screen>,
}

/// A postscreen service.
pub struct Screen {
    pub(super) settings: Settings,
    pub(super) cache: Arc<Cache>,
    pub(super) clients: Clients,
    /// Clients in tests.
    testing: AtomicUsize,
    stressed: AtomicBool,
    /// Clients that wait for smtpd.
    waiting: AtomicUsize,
}

/// Stress begins at so many percent of `postscreen_pre_queue_limit`, and ends at so many.
const HIGH_WATER: usize = 90;
const LOW_WATER: usize = 70;

impl Screen {
    /// A service with these settings.
    pub fn new(settings: Settings, cache: Arc<Cache>) -> Self {
        Screen {
            settings,
            cache,
            clients: Clients::default(),
            testing: AtomicUsize::new(0),
            stressed: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The service of type `pass` that takes who passes.
    pub fn onward(&self) -> &str {
        self.settings.onward()
    }

    /// What it is doing: clients in tests, clients that wait for smtpd, clients that are remembered; and whether clients
    /// get less time.
    pub fn figures(&self) -> ([(&'static str, usize); 3], bool) {
        let number = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let figures = [
            ("testing", number(&self.testing)),
            ("waiting", number(&self.waiting)),
            ("remembered", self.cache.len()),
        ];
        (figures, self.is_stressed())
    }

    /// Whether clients get less time.
    pub(super) fn is_stressed(&self) -> bool {
        self.stressed.load(Ordering::Relaxed)
    }

    /// Counts a client in tests; nothing where there are too many.
    pub(super) fn test(self: &Arc<Self>, tag: &Tag) -> Option<Testing> {
        let clients = self.testing.fetch_add(1, Ordering::Relaxed) + 1;
        let testing = Testing { screen: Arc::clone(self), tag: tag.clone() };
        let limit = self.settings.pre_queue_limit;
        let begins = clients >= limit * HIGH_WATER / 100;
        if begins && !self.stressed.swap(true, Ordering::Relaxed) {
            emit(tag, &Stress { begins: true, clients });
        }
        (clients < limit).then_some(testing)
    }

    /// Whether so many clients wait for smtpd that no other need be looked at.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= self.settings.post_queue_limit
    }

    /// Counts a client that waits for smtpd. Who passed the tests may wait as long as smtpd lets clients wait: no more can
    /// be in tests than `postscreen_pre_queue_limit` lets.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(self))
    }
}

/// A client in tests, until it is dropped.
pub(super) struct Testing {
    screen: Arc<Screen>,
    tag: Tag,
}

impl Drop for Testing {
    fn drop(&mut self) {
        let clients = self.screen.testing.fetch_sub(1, Ordering::Relaxed) - 1;
        let ends = clients <= self.screen.settings.pre_queue_limit * LOW_WATER / 100;
        if ends && self.screen.stressed.swap(false, Ordering::Relaxed) {
            emit(&self.tag, &Stress { begins: false, clients });
        }
    }
}

/// A client that waits for smtpd, until it is dropped.
pub(super) struct Waiting(Arc<Screen>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
