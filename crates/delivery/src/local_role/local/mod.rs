//! The agent `local`: aliases, `.forward` files, commands, and the mailboxes of this host's users.
//!
//! Postfix: local(8). Decisions are made on the event loop; files of users are touched by workers with the users'
//! rights, and commands run with them in processes of their own. One recipient may become several: each part has its
//! line in the log, and the recipient is deferred, bounced or done as the worst of them is.

mod accounts;
mod alias;
mod context;
mod execute;
mod forward_file;
pub mod list;
mod mailbox;
mod names;
mod onward;
mod settings;
mod user_file;

pub use settings::LocalSettings;

use super::failure::{Failure, Note};
use super::pool::{Job, Pool};
use super::wire::{Answer, Part};
use accounts::Accounts;
use context::{Context, Origin, divided};
use mail::{Address, Dsn, Status};
use onward::Onward;
use rewrite::Resolved;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Aliases within aliases; what is deeper is a loop.
const LEVEL_MAX: u32 = 100;

/// Recipients that one recipient may lead to: aliases of aliases could become more than there are atoms.
const STEPS_MAX: u32 = 100_000;

/// Commands that run at a time, as many as Postfix has processes by default; more wait for one to end.
const COMMANDS_MAX: usize = 100;

/// What all deliveries of the process share.
#[derive(Clone)]
pub struct Shared {
    /// Who touches files.
    pub pool: Pool,
    accounts: Accounts,
    commands: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
}

impl Shared {
    /// With these workers.
    pub fn new(pool: Pool) -> Shared {
        let commands = Arc::new(Semaphore::new(COMMANDS_MAX));
        Shared { pool, accounts: Accounts::default(), commands, open: Arc::default() }
    }

    /// Counts a delivery for as long as the value lives.
    pub fn opened(&self) -> Opened {
        self.open.fetch_add(1, Ordering::Relaxed);
        Opened(self.open.clone())
    }

    /// How many deliveries are under way.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A delivery that is under way.
pub struct Opened(Arc<AtomicUsize>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A step that may lead to others of its kind.
type Step<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The delivery to one recipient of a job.
struct Delivery<'a> {
    settings: &'a LocalSettings,
    shared: &'a Shared,
    job: &'a Arc<Job>,
    place: usize,
    parts: RefCell<Vec<Part>>,
    /// What was delivered to, so that nobody gets a message twice.
    seen: RefCell<HashSet<String>>,
    /// Messages to be made of addresses that are not delivered here and now.
    onward: RefCell<Vec<Onward>>,
    /// A transport that takes the whole recipient over.
    passed: RefCell<Option<String>>,
    /// Lines for the administrator that belong to no part.
    notes: RefCell<Vec<Note>>,
    /// Recipients so far.
    steps: Cell<u32>,
}

/// Delivers to one recipient of a job.
pub async fn deliver(settings: &LocalSettings, shared: &Shared, job: &Arc<Job>, place: usize) -> Answer {
    let delivery = Delivery {
        settings,
        shared,
        job,
        place,
        parts: RefCell::default(),
        seen: RefCell::default(),
        onward: RefCell::default(),
        passed: RefCell::default(),
        notes: RefCell::default(),
        steps: Cell::default(),
    };
    let top = delivery.top();
    delivery.recipient(top.clone()).await;
    delivery.send_onward(&top).await;
    delivery.answer()
}

impl<'a> Delivery<'a> {
    /// The recipient as the queue has it.
    fn top(&self) -> Context {
        let (head, view) = (&self.job.head, &self.settings.view);
        let recipient = &head.recipients[self.place];
        let address = recipient.address.clone();
        let local = String::from_utf8_lossy(address.local_part()).to_lowercase();
        let (name, extension) = divided(&local, &view.recipient_delimiter, view.owner_request_special);
        Context {
            original: recipient.original.clone(),
            delivered: address.clone(),
            address,
            sender: head.sender.clone(),
            owned: false,
            owner_is_told: false,
            local,
            name,
            extension,
            user: None,
            origin: Origin::Envelope,
            level: 0,
            named_by: None,
            indirect: false,
            only_user: None,
            unmatched: None,
            client: Arc::new(head.client()),
        }
    }

    /// One recipient: aliases, then `.forward`, then the mailbox.
    fn recipient<'s>(&'s self, mut to: Context) -> Step<'s> {
        Box::pin(async move {
            let steps = self.steps.replace(self.steps.get() + 1);
            if to.level > LEVEL_MAX || steps > STEPS_MAX {
                let text = format!("alias database loop for {}", to.name);
                let mut failure = Failure::new(Dsn::new(5, 4, 6), text.clone());
                failure.notes.push(Note::Warning(text));
                return self.failed(&to, failure);
            }
            // `\name` goes round aliases and `.forward`.
            if let Some(plain) = to.address.as_bytes().strip_prefix(b"\\") {
                let plain = Address::new(plain);
                let level = to.level;
                to = Context { level, ..self.towards(&to, plain) };
                return self.user(to, false).await;
            }
            if self.job.delivered_to().contains(&to.key()) {
                let text = format!("mail forwarding loop for {}", to.address);
                return self.failed(&to, Failure::new(Dsn::new(5, 4, 6), text));
            }
            if self.alias(&to).await {
                return;
            }
            if to.indirect || to.only_user.as_ref().is_some_and(|user| *user != to.name) {
                return self.go_onward(&to, to.address.clone());
            }
            self.user(to, true).await;
        })
    }

    /// The same for another recipient.
    fn towards(&self, from: &Context, address: Address) -> Context {
        let view = &self.settings.view;
        from.towards(address, &view.recipient_delimiter, view.owner_request_special)
    }

    /// An address that an alias or a file names.
    async fn address(&self, from: &Context, text: &str) {
        let mut address = self.settings.rules.canonical(&Address::from(text));
        if let Some(extension) = &from.unmatched {
            address = with_extension(&address, extension, &self.settings.view.recipient_delimiter);
        }
        self.resolved(from, address).await;
    }

    /// A complete address, which is delivered here or goes on.
    async fn resolved(&self, from: &Context, address: Address) {
        let failed = |dsn, text: String| self.failed(from, Failure::new(dsn, text));
        match self.settings.resolver.resolve(&address, &from.sender).await {
            Resolved::Route(route) if *route.transport == *self.settings.service => {
                self.recipient(self.towards(from, route.recipient)).await;
            }
            Resolved::Route(route) => self.go_onward(from, route.recipient),
            Resolved::Invalid { recipient } => {
                failed(Dsn::new(5, 1, 3), format!("bad recipient address syntax: {recipient}"));
            }
            Resolved::TempFail { .. } => failed(Dsn::new(4, 3, 0), "address resolver failure".into()),
        }
    }

    /// Whether mail is delivered; otherwise it is only told what would be done.
    fn delivers(&self) -> bool {
        self.job.head.purpose.delivers()
    }

    /// Whether something is delivered to for the first time.
    fn is_new(&self, key: String) -> bool {
        let mut seen = self.seen.borrow_mut();
        let limit = usize::try_from(self.settings.view.duplicate_filter_limit).unwrap_or(usize::MAX);
        if limit > 0 && seen.len() >= limit {
            return !seen.contains(&key);
        }
        seen.insert(key)
    }

    fn sent(&self, to: &Context, reason: impl Into<String>) {
        let part = Part {
            to: to.address.clone(),
            original: to.original.clone(),
            status: Status::Sent,
            dsn: Dsn::new(2, 0, 0),
            reason: reason.into(),
            diagnostic: None,
            notes: Vec::new(),
            owner: Address::null(),
        };
        self.parts.borrow_mut().push(part);
    }

    fn failed(&self, to: &Context, failure: Failure) {
        let part = Part {
            to: to.address.clone(),
            original: to.original.clone(),
            status: failure.status(),
            dsn: failure.dsn,
            reason: failure.reason,
            diagnostic: failure.diagnostic,
            notes: failure.notes,
            owner: if to.owner_is_told { to.sender.clone() } else { Address::null() },
        };
        self.parts.borrow_mut().push(part);
    }

    /// What the delivery comes to: the worst of its parts decides.
    fn answer(self) -> Answer {
        let head = &self.job.head;
        let (job, index) = (head.job, head.recipients[self.place].index);
        let (parts, notes) = (self.parts.into_inner(), self.notes.into_inner());
        let worst = [Status::Deferred, Status::Bounced, Status::Sent]
            .iter()
            .find_map(|status| parts.iter().find(|part| part.status == *status));
        let Some(part) = worst else {
            // An alias of nothing, or of what had the message already.
            let (status, dsn) = (Status::Sent, Dsn::new(2, 0, 0));
            let passed = self.passed.into_inner();
            return Answer { passed, notes, ..Answer::plain(job, index, status, dsn, String::new()) };
        };
        let mut answer = Answer::plain(job, index, part.status, part.dsn, part.reason.clone());
        answer.diagnostic.clone_from(&part.diagnostic);
        answer.parts = parts;
        answer.notes = notes;
        answer
    }
}

/// Puts an extension on an address that has none.
fn with_extension(address: &Address, extension: &str, delimiters: &str) -> Address {
    let Some(delimiter) = delimiters.chars().next() else { return address.clone() };
    let local = String::from_utf8_lossy(address.local_part()).into_owned();
    if local.contains(|c| delimiters.contains(c)) {
        return address.clone();
    }
    let domain = address.domain().map(|d| [b"@", d].concat()).unwrap_or_default();
    Address::new([format!("{local}{delimiter}{extension}").as_bytes(), &domain].concat())
}

/// A failure of the configuration, of which the administrator is told; it bounces, as Postfix's does.
fn misconfigured(warning: String) -> Failure {
    let mut failure = Failure::new(Dsn::new(5, 3, 5), "mail system configuration error");
    failure.notes.push(Note::Warning(warning));
    failure
}
