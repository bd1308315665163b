//! What the queue manager itself costs a message: `drain DIRECTORY MESSAGES DESTINATIONS`.
//!
//! Fills a journal first, then delivers all of it to an agent that answers in the loop's next turn. Prints time and
//! processor time a message without the filling; run it under `strace -fc` for system calls.

use bytes::Bytes;
use mail::{Address, ContentFlags, Dsn, Envelope, Job, Outcome, Recipient, Status};
use net::{Shutdown, clock};
use observe::Tag;
use qmgr::{Back, Hand, Inputs, Router, Routing, Settings, Snapshot, Target, run};
use queue::{Hooks, Intake, IntakeSettings, RealDisk, Role, Store, StoreSettings};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Messages that the intake takes at once.
const AT_ONCE: usize = 200;

#[derive(Default)]
struct NextTurn {
    jobs: RefCell<Vec<(Job, Rc<dyn Back>)>>,
    delivered: Cell<usize>,
}

impl Hand for NextTurn {
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn deliver(&self, job: Job, back: Rc<dyn Back>) {
        self.jobs.borrow_mut().push((job, back));
    }
}

impl NextTurn {
    fn answer(&self) {
        for (job, back) in self.jobs.take() {
            for r in &job.recipients {
                back.outcome(Outcome {
                    job: job.id,
                    index: r.index,
                    status: Status::Sent,
                    dsn: Dsn::new(2, 0, 0),
                    reason: "250 2.0.0 Ok: queued as 4XyZ1".into(),
                    diagnostic: None,
                    remote_mta: Some("mx.example.org".into()),
                    relay: None,
                    relayed: true,
                    next_hop_reports: false,
                    parts: Vec::new(),
                });
                self.delivered.set(self.delivered.get() + 1);
            }
            back.done(job.id, None);
        }
    }
}

struct ByDomain;

impl Router for ByDomain {
    fn route<'a>(&'a self, recipient: &'a Address, _: &'a Address, _: mail::Purpose) -> Routing<'a> {
        Target {
            transport: "smtp".into(),
            nexthop: recipient.domain_lower().into(),
            recipient: recipient.clone(),
            local: false,
        }
        .into()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, messages, destinations] = &words[..] else {
        return Err("drain DIRECTORY MESSAGES DESTINATIONS".into());
    };
    let (directory, messages, destinations) =
        (Path::new(directory), messages.parse::<usize>()?, destinations.parse::<usize>()?);
    for dir in ["journal", "private", "incoming", "active", "deferred", "hold", "corrupt", "defer"] {
        std::fs::create_dir_all(directory.join(dir))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        fill(directory, messages, destinations).await?;
        drain(directory, messages).await
    })
}

async fn fill(
    directory: &Path,
    messages: usize,
    destinations: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = IntakeSettings::new(Role::Smtpd);
    settings.journal_bytes_max = 4 << 30;
    let intake = Intake::open(settings, Arc::new(RealDisk::new(directory)?), Hooks::none())?;
    let body =
        Bytes::from("Subject: x\r\n\r\n".to_owned() + &"0123456789 0123456789 0123456789\r\n".repeat(30));
    let mut commits = Vec::new();
    for n in 0..messages {
        let now = clock::now();
        let mut draft = intake.draft(intake.new_id(now));
        draft.append(body.clone()).map_err(|e| format!("{e:?}"))?;
        let mut envelope = Envelope::new(Address::from("sender@example.net"), now);
        let to = format!("r{n}@d{}.example.org", n % destinations);
        envelope.recipients = vec![Recipient::new(Address::new(to))];
        commits.push(intake.commit(draft, envelope, ContentFlags::default()));
        if commits.len() == AT_ONCE {
            for commit in commits.drain(..) {
                commit.await?;
            }
        }
    }
    for commit in commits {
        commit.await?;
    }
    Ok(())
}

async fn drain(directory: &Path, messages: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = StoreSettings::new(Arc::new(|report| eprintln!("{report}")));
    settings.journal_bytes_max = 4 << 30;
    let (store, recovered) = Store::open(settings, Arc::new(RealDisk::new(directory)?), clock::now())?;
    let socket = directory.join("private/journal");
    let _ = std::fs::remove_file(&socket);
    let (_orders, orders) = mpsc::channel(1);
    let (_reloads, reloads) = mpsc::channel(1);
    let (trigger, shutdown) = Shutdown::new();
    let hand = Rc::new(NextTurn::default());
    let tag = Tag::new("postfix", "qmgr", 1);
    let bounce = bounce::Settings::of_host("mail.example.net");
    let (start, cpu) = (Instant::now(), processor_time());
    let running = tokio::task::spawn_local(run(Inputs {
        spool: store,
        snapshot: Snapshot {
            settings: Arc::new(Settings::default()),
            router: Rc::new(ByDomain),
            bounce: Arc::new(bounce),
            verify: Arc::default(),
        },
        reloads,
        hand: hand.clone(),
        notices: tokio::net::UnixListener::bind(&socket)?,
        orders,
        desk: verify::Desk::in_memory(verify::Settings::default()),
        probes: mpsc::channel(1).1,
        bounce_tag: tag.clone(),
        cleanup_tag: tag.clone(),
        tag,
        shutdown,
    }));
    while hand.delivered.get() < messages {
        hand.answer();
        tokio::task::yield_now().await;
    }
    let (took, cpu) = (start.elapsed(), processor_time() - cpu);
    println!(
        "{messages} messages ({} recovered): {:.0} a second, {:.1} µs of processor time a message",
        recovered.messages,
        messages as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / messages as f64
    );
    trigger.request();
    running.await??;
    Ok(())
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let all = std::fs::read_dir("/proc/self/task").map(|tasks| {
        tasks
            .flatten()
            .filter_map(|t| std::fs::read_to_string(t.path().join("schedstat")).ok())
            .filter_map(|s| s.split(' ').next().and_then(|n| n.parse::<u64>().ok()))
            .sum()
    });
    let first = stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Duration::from_nanos(all.unwrap_or(first))
}
