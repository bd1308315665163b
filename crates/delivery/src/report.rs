//! Logs each recipient's line and reports its outcome; what an agent forgets is deferred.

use crate::StatusFilter;
use crate::assignment::{Assignment, CRASH_DSN, CRASH_REASON, OutcomeSender};
use config::parameters::{Global, Verify};
use config::{Errors, Scope};
use mail::{
    Address, Diagnostic, Dsn, FailedPart, Job, JobRecipient, Outcome, SiteFailure, Status, Timestamp,
};
use observe::Tag;
use observe::events::delivery::{DeliveryEnded, Passed};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// How results are logged and softened; the same for all agents.
#[derive(Clone, Copy, Debug)]
pub struct ReportStyle {
    /// `soft_bounce`: what fails for good is tried again.
    pub soft_bounce: bool,
    /// `delay_logging_resolution_limit`.
    pub delay_decimals: u32,
    /// `address_verify_negative_cache = no`.
    pub forgets_failures: bool,
}

impl ReportStyle {
    /// As a service has it.
    pub fn read_in(scope: &Scope<'_>) -> Result<ReportStyle, Errors> {
        let (global, verify) = (Global::read_in(scope)?, Verify::read_in(scope)?);
        Ok(ReportStyle {
            soft_bounce: global.soft_bounce,
            delay_decimals: u32::try_from(global.delay_logging_resolution_limit).unwrap_or(2),
            forgets_failures: !verify.address_verify_negative_cache,
        })
    }
}

impl Default for ReportStyle {
    fn default() -> Self {
        ReportStyle { soft_bounce: false, delay_decimals: 2, forgets_failures: false }
    }
}

/// Over what a recipient was delivered, or was to be: the log's `relay=` and `conn_use=`.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// `host[address]:port`, `virtual`, `none`, …
    pub relay: &'a str,
    /// How many messages the connection has carried, this one included.
    pub conn_use: u32,
    /// When the connection was ready; `None` where there was none or it was kept from an earlier message.
    pub connected: Option<Timestamp>,
}

impl Via<'static> {
    /// No relay: nothing was reached.
    pub const NONE: Via<'static> = Via { relay: "none", conn_use: 1, connected: None };
}

/// One recipient's result, as an agent finds it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Sent, deferred or bounced.
    pub status: Status,
    /// Enhanced code; its class agrees with `status`.
    pub dsn: Dsn,
    /// The text in the log's parentheses.
    pub reason: String,
    /// What the remote said.
    pub diagnostic: Option<Diagnostic>,
    /// The remote server's name.
    pub remote_mta: Option<String>,
    /// Another server takes over, as against the last station.
    pub relayed: bool,
    /// That server will report a success itself.
    pub next_hop_reports: bool,
}

impl Verdict {
    /// A result found here, without a remote side.
    pub fn new(status: Status, dsn: Dsn, reason: impl Into<String>) -> Self {
        Verdict {
            status,
            dsn,
            reason: reason.into(),
            diagnostic: None,
            remote_mta: None,
            relayed: false,
            next_hop_reports: false,
        }
    }

    /// A failure, for good or for now as the class of `dsn` says.
    pub fn failure(dsn: Dsn, reason: impl Into<String>) -> Self {
        let status = if dsn.class == 5 { Status::Bounced } else { Status::Deferred };
        Verdict::new(status, dsn, reason)
    }

    /// The same with another code, and the status that goes with it, and text.
    fn changed(self, (dsn, reason): (Dsn, String)) -> Self {
        let status = match dsn.class {
            4 => Status::Deferred,
            5 => Status::Bounced,
            _ => self.status,
        };
        Verdict { status, dsn, reason, ..self }
    }
}

/// A job under way: each recipient gets one line and one outcome, then the job is finished.
///
/// Dropped before that, by a panic for one, it logs and defers what is left with 4.3.0.
pub struct Report {
    desk: Rc<Desk>,
    outcomes: Option<OutcomeSender>,
    filter: Option<Rc<StatusFilter>>,
    left: usize,
    /// Results whose filter asks a server.
    held: Vec<Held>,
}

/// What a line of the log is made of, beside the result.
struct Desk {
    job: Job,
    tag: Tag,
    style: ReportStyle,
}

/// A result that waits for its filter.
struct Held {
    line: Line,
    verdict: Verdict,
    filtered: Pin<Box<dyn Future<Output = (Dsn, String)>>>,
}

/// Whose a result is.
#[derive(Clone)]
enum Whose {
    /// The recipient's at this place of the job: a line and an outcome.
    Recipient(usize),
    /// An address's that a recipient became, and its address before rewriting: a line alone.
    Part(Address, Address),
    /// The recipient's at this place, whose lines are those of its parts: an outcome alone, with those that failed.
    Whole(usize, Vec<FailedPart>),
}

impl Whose {
    /// The place in the job whose outcome it is.
    fn place(&self) -> Option<usize> {
        match self {
            Whose::Recipient(place) | Whose::Whole(place, _) => Some(*place),
            Whose::Part(..) => None,
        }
    }
}

/// A result, its text and code aside.
#[derive(Clone)]
struct Line {
    whose: Whose,
    relay: String,
    conn_use: u32,
    connected: Option<Timestamp>,
    now: Timestamp,
}

/// Gives a job to the agent of its transport.
pub trait PassOn {
    /// Takes a job whose transport is another one than before; where nobody has it, the job is deferred.
    fn pass_on(&self, assignment: Assignment);
}

impl Report {
    /// Takes a job over.
    pub fn new(assignment: Assignment, tag: Tag, style: ReportStyle) -> Self {
        let Assignment { job, outcomes, filter } = assignment;
        let left = job.recipients.len();
        let desk = Rc::new(Desk { job, tag, style });
        Report { desk, outcomes: Some(outcomes), filter, left, held: Vec::new() }
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.desk.job
    }

    /// Who logs.
    pub fn tag(&self) -> &Tag {
        &self.desk.tag
    }

    /// How many recipients have no result yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether the recipient at `place` of the job has no result yet.
    pub fn is_left(&self, place: usize) -> bool {
        let waiting = |r: &JobRecipient| self.outcomes.as_ref().is_some_and(|o| o.is_waiting(r.index));
        let is_held = || self.held.iter().any(|held| held.line.whose.place() == Some(place));
        self.job().recipients.get(place).is_some_and(waiting) && !is_held()
    }

    /// The places of the recipients without a result.
    pub fn places_left(&self) -> Vec<usize> {
        (0..self.job().recipients.len()).filter(|place| self.is_left(*place)).collect()
    }

    /// Logs and reports the recipient at `place` of the job; nothing where it has its result already.
    pub fn recipient(&mut self, place: usize, via: Via<'_>, now: Timestamp, verdict: Verdict) {
        if !self.is_left(place) {
            return;
        }
        self.left -= 1;
        self.judged(Whose::Recipient(place), via, now, verdict);
    }

    /// A result as the filter says, now or once its tables have been asked.
    fn judged(&mut self, whose: Whose, via: Via<'_>, now: Timestamp, verdict: Verdict) {
        let line = Line {
            whose,
            relay: via.relay.to_owned(),
            conn_use: via.conn_use,
            connected: via.connected,
            now,
        };
        let Some(filter) = self.filter.clone() else { return self.settle(line, verdict) };
        let (desk, dsn, reason) = (self.desk.clone(), verdict.dsn, verdict.reason.clone());
        let mut filtered: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { filter.apply(&desk.tag, dsn, &reason).await });
        match tables::now(filtered.as_mut()) {
            Some(result) => self.settle(line, verdict.changed(result)),
            None => self.held.push(Held { line, verdict, filtered }),
        }
    }

    fn settle(&mut self, line: Line, verdict: Verdict) {
        let Some(outcomes) = &mut self.outcomes else { return };
        let via = Via { relay: &line.relay, conn_use: line.conn_use, connected: line.connected };
        let outcome = match line.whose {
            Whose::Part(address, original) => {
                return self.desk.log((&address, &original), via, line.now, &verdict);
            }
            Whose::Recipient(place) => {
                let JobRecipient { recipient, .. } = &self.desk.job.recipients[place];
                self.desk.log((&recipient.address, &recipient.original), via, line.now, &verdict);
                let relay = (line.relay != Via::NONE.relay).then(|| line.relay.clone());
                Outcome { relay, ..self.desk.outcome(place, verdict, Vec::new()) }
            }
            Whose::Whole(place, parts) => {
                let relay = Some(self.desk.job.transport.to_string());
                Outcome { relay, ..self.desk.outcome(place, verdict, parts) }
            }
        };
        outcomes.outcome(outcome);
    }

    /// Takes the recipient at `place` out of the job, for the transport `transport:nexthop` (without nexthop: the
    /// recipient's domain) to deliver; its outcome goes the job's own way.
    pub fn pass(&mut self, place: usize, transport: &str) -> Option<Assignment> {
        if !self.is_left(place) {
            return None;
        }
        let mut job = self.job().clone();
        let recipient = job.recipients[place].clone();
        let address = &recipient.recipient.address;
        let (transport, nexthop) = transport.split_once(':').unwrap_or((transport, ""));
        observe::emit(self.tag(), &Passed { queue_id: &job.queue_id, recipient: address, transport });
        job.transport = transport.into();
        job.nexthop = if nexthop.is_empty() { address.domain_lower().into() } else { nexthop.into() };
        job.recipients = vec![recipient];
        let outcomes = self.outcomes.as_mut()?.pass(&job)?;
        self.left -= 1;
        Some(Assignment { job, outcomes, filter: None })
    }

    /// Logs a result for an address that a recipient became; what it means for the recipient is told by [`whole`].
    ///
    /// [`whole`]: Report::whole
    pub fn part(
        &mut self,
        (to, original): (&Address, &Address),
        via: Via<'_>,
        now: Timestamp,
        verdict: Verdict,
    ) {
        self.judged(Whose::Part(to.clone(), original.clone()), via, now, verdict);
    }

    /// Reports the recipient at `place` of the job, whose lines are logged; `parts` are those of several that failed.
    pub fn whole(&mut self, place: usize, verdict: Verdict, parts: Vec<FailedPart>) {
        if !self.is_left(place) {
            return;
        }
        self.left -= 1;
        self.judged(Whose::Whole(place, parts), Via::NONE, net::clock::now(), verdict);
    }

    /// Logs and reports all recipients without a result.
    pub fn rest(&mut self, via: Via<'_>, now: Timestamp, verdict: &Verdict) {
        for place in self.places_left() {
            self.recipient(place, via, now, verdict.clone());
        }
    }

    /// Ends the job. Recipients without a result are deferred, as after a crash. Must be called in a `LocalSet`.
    pub fn finish(mut self, site_failure: Option<SiteFailure>) {
        if self.held.is_empty() {
            return self.end(site_failure);
        }
        tokio::task::spawn_local(async move {
            for Held { line, verdict, filtered } in std::mem::take(&mut self.held) {
                let verdict = verdict.changed(filtered.await);
                self.settle(line, verdict);
            }
            self.end(site_failure);
        });
    }

    /// Gives the recipients without a result to another transport, with a line for each; an empty nexthop leaves the
    /// job's. Postfix: deliver_pass.c.
    pub fn pass_on(mut self, transport: &str, nexthop: &str, to: &dyn PassOn) {
        self.settle_held();
        self.filter = None;
        let places = self.places_left();
        if places.is_empty() {
            return self.end(None);
        }
        let Some(outcomes) = self.outcomes.take() else { return };
        let mut job = self.job().clone();
        job.transport = transport.into();
        if !nexthop.is_empty() {
            job.nexthop = nexthop.into();
        }
        job.recipients = places.iter().map(|place| job.recipients[*place].clone()).collect();
        for JobRecipient { recipient, .. } in &job.recipients {
            let passed = Passed { queue_id: &job.queue_id, recipient: &recipient.address, transport };
            observe::emit(self.tag(), &passed);
        }
        to.pass_on(Assignment { job, outcomes, filter: None });
    }

    /// Ends the job because its transport as a whole cannot be used.
    pub fn finish_transport(mut self, failure: SiteFailure) {
        self.settle_held();
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.transport_failed(failure);
        }
    }

    fn end(&mut self, site_failure: Option<SiteFailure>) {
        self.settle_held();
        // What an agent forgot has not been judged by anybody: no filter sees it.
        self.filter = None;
        let now = net::clock::now();
        self.rest(Via::NONE, now, &Verdict::failure(CRASH_DSN, CRASH_REASON));
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.done(site_failure);
        }
    }

    /// Without waiting for their filters.
    fn settle_held(&mut self) {
        for Held { line, verdict, .. } in std::mem::take(&mut self.held) {
            self.settle(line, verdict);
        }
    }
}

impl Desk {
    /// The line of an address, which is a recipient's or one that it became, with the address before rewriting.
    fn log(
        &self,
        (recipient, original): (&Address, &Address),
        via: Via<'_>,
        now: Timestamp,
        verdict: &Verdict,
    ) {
        let (soft_bounce, status, dsn) = self.softened(verdict);
        let mut stamps = self.job.stamps;
        stamps.connected = via.connected;
        let (delay, delays) = stamps.delays(now);
        observe::emit(
            &self.tag,
            &DeliveryEnded {
                queue_id: &self.job.queue_id,
                recipient,
                original,
                relay: via.relay,
                conn_use: via.conn_use,
                delay,
                delays,
                delay_decimals: self.style.delay_decimals,
                dsn,
                purpose: self.job.purpose,
                status,
                forgets_failures: self.style.forgets_failures,
                soft_bounce,
                reason: &verdict.reason,
            },
        );
    }

    /// What `soft_bounce` makes of the result of a delivery, and whether it does.
    fn softened(&self, verdict: &Verdict) -> (bool, Status, Dsn) {
        let softens = self.style.soft_bounce && self.job.purpose.delivers();
        match softens && verdict.status == Status::Bounced {
            true => (true, Status::Deferred, verdict.dsn.with_class(4)),
            false => (false, verdict.status, verdict.dsn),
        }
    }

    fn outcome(&self, place: usize, verdict: Verdict, parts: Vec<FailedPart>) -> Outcome {
        let (_, status, dsn) = self.softened(&verdict);
        Outcome {
            job: self.job.id,
            index: self.job.recipients[place].index,
            status,
            dsn,
            reason: verdict.reason,
            diagnostic: verdict.diagnostic,
            remote_mta: verdict.remote_mta,
            relay: None,
            relayed: verdict.relayed,
            next_hop_reports: verdict.next_hop_reports,
            parts,
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.outcomes.is_some() {
            self.end(Some(SiteFailure { dsn: CRASH_DSN, reason: CRASH_REASON.to_string() }));
        }
    }
}
