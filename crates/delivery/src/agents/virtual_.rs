//! The agent `virtual`: hands jobs to the local role, which writes the mailboxes with their owners' rights.
//!
//! Postfix: virtual(8). The message goes as a sealed memory file; the log lines are written here.

use crate::local_role::failure::{Note, words};
use crate::local_role::wire::{self, Answer, Decoded, Part};
use crate::report::{Report, ReportStyle, Verdict, Via};
use crate::{Assignment, DeliveryAgent, PassOn};
use bytes::Bytes;
use mail::{Content, Diagnostic, Dsn, FailedPart, Job, Purpose, SiteFailure, Status};
use observe::{Number, Numbers, Tag};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Jobs on their way to the local role; the scheduler has far fewer under way.
const JOBS_MAX: usize = 4096;

/// How long a local role that is being restarted is waited for, and how often it is looked for.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of results read at once.
const RESULTS_READ: usize = 16 * 1024;

/// Delivers into virtual mailboxes.
pub struct VirtualAgent {
    orders: mpsc::Sender<Order>,
    tag: Tag,
    numbers: Numbers,
    style: ReportStyle,
    /// A success is one of handing on rather than of the last station.
    relays: bool,
}

/// What the connection is told.
enum Order {
    /// A job for the local role.
    Deliver(Pending),
    /// No more will come: commands that still run are to end.
    Hurry,
}

/// A job under way, with the number that its log lines carry.
struct Pending {
    report: Report,
    relays: bool,
    _number: Number,
}

impl VirtualAgent {
    /// The agent of one service; jobs go to the socket at `path`. Must be called in a `LocalSet`.
    pub fn start(path: PathBuf, tag: Tag, numbers: Numbers, style: ReportStyle) -> Self {
        VirtualAgent::start_passing(path, tag, numbers, style, None)
    }

    /// The same for an agent that may leave a recipient to another transport.
    pub(super) fn start_passing(
        path: PathBuf,
        tag: Tag,
        numbers: Numbers,
        style: ReportStyle,
        pass_on: Option<Rc<dyn PassOn>>,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(JOBS_MAX);
        tokio::task::spawn_local(keep_connected(path, inbox, pass_on));
        VirtualAgent { orders, tag, numbers, style, relays: false }
    }

    /// The same where a success means that the message was handed on.
    pub fn relaying(self) -> Self {
        VirtualAgent { relays: true, ..self }
    }
}

impl DeliveryAgent for VirtualAgent {
    const KIND: &'static str = "virtual";

    fn accept(&self, assignment: Assignment) {
        let number = self.numbers.take();
        let report = Report::new(assignment, self.tag.numbered(*number), self.style);
        // Beyond the bound the job comes back in the error; dropped, it is deferred as after a crash.
        let pending = Pending { report, relays: self.relays, _number: number };
        let _ = self.orders.try_send(Order::Deliver(pending));
    }

    fn hurry(&self) {
        // A channel that is full has jobs that were not begun.
        let _ = self.orders.try_send(Order::Hurry);
    }
}

/// Serves jobs over one connection at a time, for as long as the agent exists.
async fn keep_connected(path: PathBuf, mut inbox: mpsc::Receiver<Order>, pass_on: Option<Rc<dyn PassOn>>) {
    let mut first = None;
    loop {
        if first.is_none() {
            match inbox.recv().await {
                Some(Order::Deliver(job)) => first = Some(job),
                Some(Order::Hurry) => continue,
                None => return,
            }
        }
        match connect(&path).await {
            Ok(stream) => {
                // What was under way when the connection broke is dropped, and so deferred.
                let (pending, pass_on) = (HashMap::new(), pass_on.clone());
                let mut link = Link { stream, pending, bytes: Vec::new(), pass_on };
                let _ = link.serve(&mut first, &mut inbox).await;
            }
            Err(error) => {
                let mut jobs: Vec<Pending> = first.take().into_iter().collect();
                if let Some(job) = jobs.first() {
                    let socket = path.file_name().unwrap_or_default().display();
                    let error = words(&error);
                    let text = format_args!("connect to transport private/{socket}: {error}");
                    observe::warn(job.report.tag(), text);
                }
                while let Ok(order) = inbox.try_recv() {
                    if let Order::Deliver(job) = order {
                        jobs.push(job);
                    }
                }
                for job in jobs {
                    unavailable(job, "mail transport unavailable");
                }
            }
        }
    }
}

fn unavailable(mut job: Pending, reason: &str) {
    let dsn = Dsn::new(4, 3, 0);
    job.report.rest(Via::NONE, net::clock::now(), &Verdict::failure(dsn, reason));
    job.report.finish_transport(SiteFailure { dsn, reason: reason.to_string() });
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    let mut waited = Duration::ZERO;
    loop {
        match UnixStream::connect(path).await {
            Err(_) if waited < CONNECT_PATIENCE => {
                tokio::time::sleep(CONNECT_PAUSE).await;
                waited += CONNECT_PAUSE;
            }
            other => return other,
        }
    }
}

/// One connection to the local role.
struct Link {
    stream: UnixStream,
    pending: HashMap<u64, Pending>,
    bytes: Vec<u8>,
    pass_on: Option<Rc<dyn PassOn>>,
}

impl Link {
    /// Serves until the connection breaks, or until no more jobs can come and all are done.
    async fn serve(
        &mut self,
        first: &mut Option<Pending>,
        inbox: &mut mpsc::Receiver<Order>,
    ) -> io::Result<()> {
        if let Some(job) = first.take() {
            self.send(job).await?;
        }
        let mut more_jobs = true;
        while more_jobs || !self.pending.is_empty() {
            let mut buffer = [0; RESULTS_READ];
            tokio::select! {
                biased;
                readable = self.stream.readable() => {
                    readable?;
                    match self.stream.try_read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(n) => self.take(&buffer[..n])?,
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e),
                    }
                }
                job = inbox.recv(), if more_jobs => match job {
                    Some(Order::Deliver(job)) => self.send(job).await?,
                    // The local role sees the end; what it still says is read.
                    Some(Order::Hurry) => self.stream.shutdown().await?,
                    // A reload replaced this agent: what is under way comes to its end.
                    None => more_jobs = false,
                },
            }
        }
        Ok(())
    }

    async fn send(&mut self, pending: Pending) -> io::Result<()> {
        let job = pending.report.job();
        let (number, file) = (job.id.0, memory_file(job));
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                unavailable(pending, &format!("cannot hand the message over: {error}"));
                return Ok(());
            }
        };
        self.pending.insert(number, pending);
        let request = number.to_le_bytes();
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || sys::send_with_fds(&self.stream, &request, &[file.as_fd()]))
            .await?;
        // Eight bytes on a local stream go as a whole or not at all.
        if sent == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn take(&mut self, received: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(received);
        let mut used = 0;
        loop {
            match wire::decode_answer(&self.bytes[used..]) {
                Decoded::Answer(answer, length) => {
                    used += length;
                    self.answer(answer);
                }
                Decoded::Incomplete => break,
                Decoded::Garbage => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        self.bytes.drain(..used);
        Ok(())
    }

    fn answer(&mut self, answer: Answer) {
        let Some(pending) = self.pending.get_mut(&answer.job) else { return };
        let report = &mut pending.report;
        let Some(place) = report.job().recipients.iter().position(|r| r.index == answer.index) else {
            return;
        };
        log_notes(report, &answer.notes);
        match (answer.passed, &self.pass_on) {
            (Some(transport), Some(to)) => {
                if let Some(assignment) = report.pass(place, &transport) {
                    to.pass_on(assignment);
                }
            }
            (_, _) => {
                let transport = report.job().transport.clone();
                let via = Via { relay: &transport, conn_use: 1, connected: None };
                let now = net::clock::now();
                let verdict = Verdict {
                    relayed: pending.relays,
                    ..verdict(answer.status, answer.dsn, answer.reason, answer.diagnostic)
                };
                for part in &answer.parts {
                    log_notes(report, &part.notes);
                    let of_part = Verdict::new(part.status, part.dsn, part.reason.as_str());
                    report.part((&part.to, &part.original), via, now, of_part);
                }
                // A command of local's that gives a code without words is told of in reports alone.
                let has_line = !verdict.reason.is_empty() || self.pass_on.is_none();
                match answer.parts.is_empty() && has_line {
                    true => report.recipient(place, via, now, verdict),
                    false => {
                        let tells_all =
                            matches!(report.job().purpose, Purpose::Forecast | Purpose::ToldDelivery);
                        let is_told = |part: &Part| tells_all || part.status == Status::Bounced;
                        let parts = answer.parts.into_iter().filter(is_told).map(told_part).collect();
                        report.whole(place, described(verdict), parts);
                    }
                }
            }
        }
        if report.left() == 0
            && let Some(done) = self.pending.remove(&answer.job)
        {
            done.report.finish(None);
        }
    }
}

fn verdict(status: Status, dsn: Dsn, reason: String, diagnostic: Option<String>) -> Verdict {
    let said = |text| Diagnostic { kind: "x-unix".into(), text };
    Verdict { diagnostic: diagnostic.map(said), ..Verdict::new(status, dsn, reason) }
}

fn told_part(part: Part) -> FailedPart {
    let Part { to, original, dsn, reason, diagnostic, owner, .. } = part;
    let told = described(verdict(part.status, dsn, reason, diagnostic));
    let owner = (!owner.is_null()).then_some(owner);
    let expanded_is_told = !original.is_null();
    FailedPart {
        address: to,
        status: part.status,
        dsn,
        reason: told.reason,
        diagnostic: told.diagnostic,
        expanded_is_told,
        owner,
    }
}

/// For reports: a command may give a code without words.
fn described(mut verdict: Verdict) -> Verdict {
    if verdict.reason.is_empty() {
        verdict.reason = "(description unavailable)".into();
    }
    verdict
}

fn log_notes(report: &Report, notes: &[Note]) {
    let tag = report.tag();
    for note in notes {
        match note {
            Note::Fatal(text) => observe::fatal(tag, format_args!("{text}")),
            Note::Info(text) => observe::info(tag, format_args!("{text}")),
            Note::Warning(text) => observe::warn(tag, format_args!("{text}")),
        }
    }
}

/// Head and content of a job in a file that nobody can change.
fn memory_file(job: &Job) -> io::Result<File> {
    let head = wire::encode_head(job);
    let content = pieces(&job.content)?;
    sys::sealed_memory_file(std::iter::once(&head[..]).chain(content.iter().map(|p| &p[..])))
}

/// The content in memory. One that lies in a file is read here: as large as a message may be, for one job at a time.
fn pieces(content: &Content) -> io::Result<Vec<Bytes>> {
    let (mut pieces, mut reader) = (Vec::new(), content.reader());
    while let Some(piece) = reader.next_piece()? {
        pieces.push(piece);
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::super::testjob::{Seen, assignment};
    use super::*;
    use observe::NumbersRange;

    #[test]
    fn without_the_local_role_the_transport_fails_and_mail_is_deferred() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let numbers = Numbers::new(NumbersRange::of_slot(0));
            let tag = Tag::new("postfix", "virtual", 1);
            let style = ReportStyle::default();
            let agent = VirtualAgent::start("/nonexistent/private/local".into(), tag, numbers, style);
            let seen = Seen::new();
            agent.accept(assignment("example.com", &["ann@example.com"], &seen));
            let deadline = std::time::Instant::now() + 2 * CONNECT_PATIENCE;
            while seen.transports_failed().is_empty() && std::time::Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(seen.transports_failed(), ["mail transport unavailable"]);
            assert!(seen.done().is_empty(), "the site is not at fault");
            let outcomes = seen.outcomes();
            assert_eq!((outcomes.len(), outcomes[0].status), (1, Status::Deferred));
            assert_eq!(outcomes[0].reason, "mail transport unavailable");
        });
    }
}
