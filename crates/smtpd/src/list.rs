//! A restriction list: its entries in order, and what comes of asking them (Postfix: SMTPD_ACCESS_README).

use crate::about::{About, Stage};
use crate::access::Subject;
use crate::complaint::Complaint;
use crate::notices::Class;
use crate::restrictions::{Effect, Restriction, Verdict};
use crate::{access, restrictions, witness};
use mail::{Address, Dsn, Reply};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tables::Table;

/// Lists within lists at most. Classes cannot hold themselves, but a table can name a class that asks the table.
const NESTING_MAX: u32 = 100;

/// A restriction list, a restriction class, or what an access table names as its result.
#[derive(Default)]
pub struct List {
    entries: Vec<Entry>,
    /// The parameter that holds it, and where that is set; empty for the result of a table.
    name: String,
    place: Option<String>,
}

/// One entry.
pub struct Entry {
    /// As it is written.
    pub(crate) text: String,
    pub(crate) what: What,
    /// `warn_if_reject` stands before it.
    pub(crate) warns: bool,
    /// What stands behind it is never asked.
    pub(crate) ignored: Option<Complaint>,
}

/// What an entry does.
pub enum What {
    /// It asks one restriction.
    One {
        /// The restriction.
        restriction: Box<dyn Restriction>,
        /// It stops strangers from relaying.
        guards_relaying: bool,
    },
    /// A table by itself: the access check of the stage.
    Bare(Table),
    /// A restriction class.
    Class(Arc<List>),
    /// It makes no sense: refused for now, and the log says why.
    Broken(Complaint),
}

/// A list that decides in the place of a restriction.
#[derive(Clone)]
pub struct Nested {
    /// The list.
    pub list: Arc<List>,
    /// Where it must not permit anything: what the log says if it does.
    pub forbids_permit: Option<Complaint>,
    /// What the access table was asked about that named the list, and how refusals call it; a class keeps what it is in.
    pub subject: Option<(String, &'static str)>,
}

/// What came of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// No entry decided.
    Open,
    /// One permits: what stands behind it in the same list is passed over.
    Permit,
    /// One refuses.
    Refuse(Reply),
}

/// For the log, in the order in which it happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A restriction acted: `hold`, `reject_warning`, … and the text.
    Acted(&'static str, String),
    /// Something makes no sense.
    Complaint(Complaint),
}

/// What restrictions do besides deciding.
#[derive(Default)]
pub struct Effects {
    /// For the log.
    pub said: Vec<Said>,
    /// What a refusal is for the postmaster; a matter of policy where nothing else is known.
    pub class: Option<Class>,
    /// For the log, behind the refusal.
    pub afterthought: Option<Complaint>,
    /// The message is taken and thrown away; no further restriction is asked about it.
    pub discard: bool,
    /// The connection is closed, and the refusal stays unsaid.
    pub hangs_up: bool,
    /// Why the message goes to the hold queue.
    pub hold: Option<String>,
    /// `transport:nexthop` through which the message goes instead of its recipients' own (`FILTER`).
    pub filter: Option<String>,
    /// The only recipient in the place of all (`REDIRECT`).
    pub redirect: Option<Address>,
    /// Recipients in addition (`BCC`).
    pub bcc: Vec<Address>,
    /// Headers to stand above the message's own (`PREPEND`).
    pub prepend: Vec<String>,
    /// What is permitted in the end is put off instead, with this reply.
    pub defer_if_permit: Option<Reply>,
    /// What the same list refuses for good is put off instead, with this reply.
    pub defer_if_reject: Option<Reply>,
}

/// Where in nested lists an entry is asked.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: u32,
    warns: bool,
}

type Deciding<'a> = Pin<Box<dyn Future<Output = Decision> + 'a>>;

impl List {
    /// A list of entries.
    pub fn of(entries: Vec<Entry>) -> List {
        List { entries, ..List::default() }
    }

    /// The same under the name of a parameter, which is set at `place`.
    pub fn named(self, name: &str, place: Option<String>) -> List {
        List { name: name.to_owned(), place, ..self }
    }

    /// Whether it stops strangers from relaying wherever it is asked: a guard stands before any `permit`.
    pub fn guards_relaying(&self) -> bool {
        let asked =
            self.entries.iter().take_while(|entry| entry.text != "permit").filter(|entry| !entry.warns);
        asked.into_iter().any(|entry| match &entry.what {
            What::One { guards_relaying, .. } => *guards_relaying,
            What::Class(list) => list.guards_relaying(),
            What::Bare(_) | What::Broken(_) => false,
        })
    }

    /// From left to right, until one decides: what the list says at `stage`.
    pub async fn on(&self, about: &About<'_>, stage: Stage, effects: &mut Effects) -> Result<(), Reply> {
        let about = About { stage, ..*about };
        effects.defer_if_reject = None;
        if let Some(trail) = about.trail.filter(|_| !self.entries.is_empty()) {
            trail.entered(&self.name, self.place.as_deref());
        }
        match self.decide(&about, effects, Place::default()).await {
            Decision::Open | Decision::Permit => Ok(()),
            Decision::Refuse(reply) => Err(reply),
        }
    }

    async fn decide(&self, about: &About<'_>, effects: &mut Effects, place: Place) -> Decision {
        if self.entries.is_empty() {
            return Decision::Open;
        }
        about.debug_start();
        let decision = self.ask(about, effects, place).await;
        about.debug_end(effects);
        decision
    }

    async fn ask(&self, about: &About<'_>, effects: &mut Effects, place: Place) -> Decision {
        for entry in &self.entries {
            // Nothing can change what becomes of the message: it is thrown away, or put off either way.
            if effects.discard || (effects.defer_if_permit.is_some() && effects.defer_if_reject.is_some()) {
                break;
            }
            let place = Place { warns: place.warns || entry.warns, ..place };
            match entry.decide(about, effects, place).await {
                Decision::Open => {}
                decided => return decided,
            }
        }
        Decision::Open
    }
}

impl Entry {
    async fn decide(&self, about: &About<'_>, effects: &mut Effects, place: Place) -> Decision {
        about.debug_asked(&self.text, self.warns);
        let verdict = match &self.what {
            What::One { restriction, .. } => restriction.check(about).verdict().await,
            What::Bare(table) => access::of_stage(table, about).await,
            What::Class(list) => {
                Verdict::List(Nested { list: Arc::clone(list), forbids_permit: None, subject: None })
            }
            What::Broken(complaint) => Verdict::Broken(complaint.clone(), restrictions::misconfigured()),
        };
        witness::found(self, &verdict);
        if let Some(trail) = about.trail {
            trail.asked(self, place.depth, &verdict);
        }
        if let (What::One { .. }, Verdict::Permit) = (&self.what, &verdict)
            && !about.rules.permits_logged.is_empty()
        {
            let name = self.text.split(' ').next().unwrap_or_default();
            about.note_permit(name, effects).await;
        }
        let decision = act(verdict, about, effects, place).await;
        about.debug_decided(&self.text, &decision, effects);
        if matches!(decision, Decision::Refuse(_)) && self.text.starts_with("reject_unlisted_") {
            effects.class = Some(Class::Bounce);
        }
        match (&decision, &self.ignored) {
            (Decision::Permit, Some(ignored)) => effects.said.push(Said::Complaint(ignored.clone())),
            (Decision::Refuse(_), ignored) if effects.afterthought.is_none() => {
                effects.afterthought.clone_from(ignored);
            }
            _ => {}
        }
        decision
    }
}

/// What a verdict does.
async fn act(verdict: Verdict, about: &About<'_>, effects: &mut Effects, place: Place) -> Decision {
    match verdict {
        Verdict::Dunno => Decision::Open,
        Verdict::Permit => Decision::Permit,
        Verdict::Granted(grant) => {
            grant.note(about, effects).await;
            Decision::Permit
        }
        Verdict::Ungranted(grant, complaint) => {
            grant.note(about, effects).await;
            effects.said.push(Said::Complaint(complaint));
            effects.class = Some(Class::Software);
            Decision::Refuse(restrictions::misconfigured())
        }
        Verdict::Refuse(reply) | Verdict::NotNow(reply) | Verdict::DeferIfPermit(reply) if place.warns => {
            effects.said.push(Said::Acted("reject_warning", reply.to_string()));
            Decision::Open
        }
        Verdict::Refuse(reply) => Decision::Refuse(effects.refusal(reply)),
        Verdict::NotNow(reply) | Verdict::Unable(reply) => Decision::Refuse(reply),
        Verdict::DeferIfPermit(reply) => {
            effects.defer_if_permit.get_or_insert(reply);
            Decision::Open
        }
        Verdict::DeferIfReject(reply) => {
            effects.defer_if_reject.get_or_insert(reply);
            Decision::Open
        }
        Verdict::HangUp(text) => {
            effects.said.push(Said::Acted("hangup", text));
            effects.hangs_up = true;
            Decision::Refuse(Reply::new(421, Dsn::new(4, 7, 0), "The connection is closed without a reply"))
        }
        Verdict::Act(act) => {
            // The log says nothing of a header.
            if !matches!(act.effect, Effect::Prepend(_)) {
                effects.said.push(Said::Acted(act.name, act.text.clone()));
            }
            effects.take(act.effect, act.text);
            Decision::Open
        }
        Verdict::Complain(complaint) => {
            effects.said.push(Said::Complaint(complaint));
            Decision::Open
        }
        Verdict::Broken(complaint, reply) => {
            effects.said.push(Said::Complaint(complaint));
            effects.class = Some(Class::Software);
            Decision::Refuse(reply)
        }
        Verdict::Told(complaint, verdict) => {
            effects.said.push(Said::Complaint(complaint));
            Box::pin(act(*verdict, about, effects, place)).await
        }
        Verdict::List(nested) => nested.decide(about, effects, place).await,
    }
}

impl Nested {
    fn decide<'a>(self, about: &'a About<'_>, effects: &'a mut Effects, place: Place) -> Deciding<'a> {
        Box::pin(async move {
            if place.depth == NESTING_MAX {
                effects.said.push(Said::Complaint(Complaint::TooDeep));
                return Decision::Refuse(restrictions::misconfigured());
            }
            let place = Place { depth: place.depth + 1, ..place };
            let subject = self.subject.as_ref().map(|(value, class)| Subject { value, class });
            let about = &About { subject: subject.or(about.subject), ..*about };
            match (self.list.decide(about, effects, place).await, self.forbids_permit) {
                (Decision::Permit, Some(complaint)) => {
                    effects.said.push(Said::Complaint(complaint));
                    Decision::Refuse(restrictions::misconfigured())
                }
                (decision, _) => decision,
            }
        })
    }
}

impl Effects {
    /// What a refusal becomes where something before it could not be asked.
    fn refusal(&mut self, reply: Reply) -> Reply {
        match self.defer_if_reject.take() {
            Some(instead) if reply.is_permanent() => instead,
            _ => reply,
        }
    }

    /// What comes of all lists of a step: a permission may have to wait.
    pub fn in_the_end(&mut self, verdict: Result<(), Reply>) -> Result<(), Reply> {
        match self.defer_if_permit.take() {
            Some(instead) if verdict.is_ok() => Err(instead),
            _ => verdict,
        }
    }

    fn take(&mut self, effect: Effect, text: String) {
        match effect {
            Effect::None => {}
            Effect::Hold => {
                self.hold.get_or_insert(text);
            }
            Effect::Discard => self.discard = true,
            Effect::Filter(destination) => self.filter = Some(destination),
            Effect::Redirect(address) => self.redirect = Some(address),
            Effect::Bcc(address) => self.bcc.push(address),
            Effect::Prepend(header) => self.prepend.push(header),
        }
    }

    /// Why the message is to be held, if it is. That stands in the log once a message: not again if it `is_held`.
    pub fn told_hold_once(&mut self, is_held: bool) {
        let mut to_be_told = !is_held;
        self.said.retain(|said| !matches!(said, Said::Acted("hold", _)) || std::mem::take(&mut to_be_told));
    }
}
