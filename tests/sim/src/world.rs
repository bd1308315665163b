//! One run: clients, the queue, its manager and its agents, with crashes at any write. What happens is drawn from the
//! seed; the ledger checks what must hold all along.

use crate::agents::{Agents, ByDomain};
use crate::disk::{Failures, SimDisk};
use crate::ledger::{Ledger, Times, Told};
use crate::rng::Rng;
use crate::spool::{Reports, Watched, hear};
use bytes::Bytes;
use mail::{Address, ContentFlags, Envelope, Recipient, Timestamp};
use observe::Tag;
use qmgr::{After, Driver, Order, Parts, scheduler};
use queue::faults::{Fault, plant};
use queue::{
    Committer, Disk, Hooks, IntakeSettings, Listed, Notice, Place, Reporter, Role, Store, StoreSettings,
};
use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

/// Small, so that segments are filled, recycled and refused often.
const SEGMENT: u64 = 32 << 10;
const JOURNAL: u64 = 16 * SEGMENT;

/// Turns of the queue manager that must be enough for what is at hand.
const TURNS_MAX: usize = 200;

/// How a run is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// A fault in the queue's code that the run has to find.
    pub fault: Option<Fault>,
    /// Print what happens.
    pub verbose: bool,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Messages acknowledged.
    pub accepted: u64,
    /// Power cuts and kills.
    pub crashes: u64,
}

/// What must hold did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Replays it.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sim {}: {}", self.seed, self.what)
    }
}

/// Ends the run with the promise that was broken.
type Check = Result<(), String>;

struct World {
    rng: Rng,
    disk: SimDisk,
    smtpd: Option<Committer>,
    qmgr: Option<Driver<Watched>>,
    agents: Rc<Agents>,
    ledger: Rc<RefCell<Ledger>>,
    notices: Arc<Mutex<Vec<Notice>>>,
    reports: Reports,
    settings: Arc<qmgr::Settings>,
    serial: u64,
    stats: Stats,
}

/// Runs one seed.
pub fn run(seed: u64, plan: Plan) -> Result<Stats, Failure> {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        let settings =
            observe::Settings { destination: observe::Destination::Nowhere, console: plan.verbose };
        observe::start(settings).unwrap_or_default();
    });
    plant(plan.fault);
    let result = World::new(seed, plan).and_then(|mut world| world.live().map(|()| world.stats));
    plant(None);
    result.map_err(|what| Failure { seed, what })
}

impl World {
    fn new(seed: u64, plan: Plan) -> Result<World, String> {
        let mut rng = Rng::new(seed);
        let now = Timestamp::from_secs(1_700_000_000);
        let lifetime = Duration::from_secs(if rng.chance(50) { 200 } else { 432_000 });
        let backoff = (Duration::from_secs(10), Duration::from_secs(100));
        let times = Times { lifetime, backoff };
        let scheduler = scheduler::Settings {
            minimal_backoff: backoff.0,
            maximal_backoff: backoff.1,
            maximal_lifetime: lifetime,
            bounce_lifetime: lifetime,
            active_limit: if rng.chance(20) { 3 } else { 100 },
            ..scheduler::Settings::default()
        };
        let ledger = Rc::new(RefCell::new(Ledger::new(times, now, plan.verbose)));
        let world = World {
            rng,
            disk: SimDisk::new(seed),
            smtpd: None,
            qmgr: None,
            agents: Rc::new(Agents::new(ledger.clone())),
            ledger,
            notices: Arc::default(),
            reports: Arc::default(),
            settings: Arc::new(qmgr::Settings {
                scheduler: Arc::new(scheduler),
                ..qmgr::Settings::default()
            }),
            serial: 0,
            stats: Stats::default(),
        };
        world.disk.set_now(now);
        for dir in ["deferred", "defer", "hold", "corrupt"] {
            world.disk.make_dir(Path::new(dir)).map_err(|e| e.to_string())?;
        }
        world.disk.sync_dir(Path::new(".")).map_err(|e| e.to_string())?;
        Ok(world)
    }

    fn now(&self) -> Timestamp {
        self.ledger.borrow().now
    }

    fn say(&self, what: &str) {
        self.ledger.borrow().say(|| what.to_owned());
    }

    /// Ends the run where a promise is broken.
    fn check(&self) -> Check {
        self.ledger.borrow_mut().broken.take().map_or(Ok(()), Err)
    }

    fn live(&mut self) -> Check {
        let lives = 2 + self.rng.below(4);
        for life in 0..lives {
            self.say(&format!("-- life {life}"));
            let steps = 5 + self.rng.below(40);
            let fuse = self.rng.chance(70).then(|| self.rng.below(200));
            self.disk.cut_after(fuse);
            let failures = self.failures();
            self.disk.fail(failures);
            for _ in 0..steps {
                self.step()?;
                if self.disk.is_dead() {
                    break;
                }
            }
            self.disk.fail(Failures::default());
            self.power_cut();
            self.check()?;
        }
        self.end()
    }

    /// One life in four has a disk that fails: mostly seldom, sometimes all the time.
    fn failures(&mut self) -> Failures {
        let rng = &mut self.rng;
        if !rng.chance(25) {
            return Failures::default();
        }
        let most = if rng.chance(20) { 300 } else { 30 };
        let mut kind = || if rng.chance(60) { 1 + rng.below(most) } else { 0 };
        Failures { write: kind(), sync: kind(), full: kind() }
    }

    fn step(&mut self) -> Check {
        self.open()?;
        match self.rng.below(100) {
            0..28 => self.send(),
            28..43 => self.news()?,
            43..68 => self.deliver()?,
            68..82 => self.pass(Duration::from_millis(self.rng.clone().below(80)))?,
            82..90 => self.pass(Duration::from_secs(10 + self.rng.clone().below(70)))?,
            90..93 => self.kill_smtpd(),
            93..96 => self.kill_qmgr(),
            96 => self.stop(),
            97 => self.flush()?,
            _ => self.send_large(),
        }
        self.rng.bits();
        self.check()
    }

    /// Starts the processes that do not run.
    fn open(&mut self) -> Check {
        let failed = self.disk.failed();
        if !self.disk.is_dead() && self.smtpd.is_none() {
            let mut settings = IntakeSettings::new(Role::Smtpd);
            settings.segment_bytes = SEGMENT;
            settings.journal_bytes_max = JOURNAL;
            settings.large_message_bytes = 4096;
            settings.body_memory_max = 20_000;
            let notices = self.notices.clone();
            let hooks = Hooks {
                flush_log: Box::new(|| ()),
                notice: Box::new(move |notice| lock(&notices).push(notice)),
                report: self.reporter(),
            };
            let opened = Committer::open(&settings, Arc::new(self.disk.clone()), hooks, self.now());
            self.smtpd = self.opened("smtpd", failed, opened);
        }
        if !self.disk.is_dead() && self.qmgr.is_none() {
            let mut settings = StoreSettings::new(self.reporter());
            settings.segment_bytes = SEGMENT;
            settings.journal_bytes_max = JOURNAL;
            settings.content_memory_max = 16 << 10;
            settings.inline = true;
            settings.spill_after = Duration::from_secs(60);
            let opened = Store::open(settings, Arc::new(self.disk.clone()), self.now());
            self.qmgr = self.opened("qmgr", failed, opened).map(|(store, found)| {
                self.say(&format!("qmgr opened: {found:?}"));
                self.driver(store)
            });
        }
        self.check()
    }

    /// What opened; where it did not the disk must have died, or let calls fail beyond the `failed` ones before.
    fn opened<T>(&self, what: &str, failed: u64, opened: std::io::Result<T>) -> Option<T> {
        hear(&self.reports, &self.disk, &self.ledger);
        match opened {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.say(&format!("{what} does not open: {error}"));
                if !self.disk.is_dead() && self.disk.failed() == failed {
                    self.ledger.borrow_mut().fail(format!("{what} does not open: {error}"));
                }
                None
            }
        }
    }

    fn driver(&self, store: Store) -> Driver<Watched> {
        let tag = Tag::new("postfix", "qmgr", 1);
        Driver::new(Parts {
            spool: Watched {
                store,
                disk: self.disk.clone(),
                ledger: self.ledger.clone(),
                reports: self.reports.clone(),
            },
            settings: self.settings.clone(),
            router: Rc::new(ByDomain::default()),
            bounce: Arc::new(bounce_settings()),
            hand: self.agents.clone(),
            desk: verify::Desk::in_memory(verify::Settings::default()),
            bounce_tag: tag.clone(),
            cleanup_tag: tag.clone(),
            tag,
        })
    }

    fn reporter(&self) -> Reporter {
        let reports = self.reports.clone();
        Arc::new(move |report| lock(&reports).push(report.clone()))
    }

    /// Content that names itself. Some of it holds bytes of the journal, as an attacker would try.
    fn content(&mut self, len: u64) -> Vec<u8> {
        self.serial += 1;
        let mut content = format!("Subject: {}\r\n\r\n", self.serial).into_bytes();
        if self.rng.chance(10) {
            self.steal(&mut content);
        }
        while (content.len() as u64) < len {
            content.extend_from_slice(format!("line {:x}\r\n", self.rng.bits()).as_bytes());
        }
        content
    }

    fn steal(&mut self, content: &mut Vec<u8>) {
        let files = self.disk.files();
        let journal: Vec<_> = files.iter().filter(|(path, _)| path.starts_with("journal")).collect();
        let Some((path, _)) = journal.get(self.rng.below(journal.len() as u64) as usize) else { return };
        let mut stolen = vec![0; 2048];
        let from = self.rng.below(16) * 512;
        let Ok(n) = self.disk.open_read(path).and_then(|file| file.read_at(&mut stolen, from)) else {
            return;
        };
        // Kept as one line, since that is what content is made of.
        content.extend(stolen[..n].iter().filter(|b| !matches!(b, b'\r' | b'\n')));
        content.extend_from_slice(b"\r\n");
    }

    fn send(&mut self) {
        let group = 1 + self.rng.below(4);
        let sizes: Vec<u64> = (0..group).map(|_| self.rng.below(3000)).collect();
        self.send_group(&sizes);
    }

    fn send_large(&mut self) {
        let size = 5000 + self.rng.below(5000);
        self.send_group(&[size]);
    }

    fn send_group(&mut self, sizes: &[u64]) {
        let now = self.now();
        let (mut waiting, mut ids) = (Vec::new(), Vec::new());
        for &size in sizes {
            let content = self.content(size);
            let envelope = self.envelope();
            let Some(smtpd) = &mut self.smtpd else { return };
            let id = smtpd.new_id(now);
            let mut draft = smtpd.draft(id.clone());
            let addresses: Vec<_> = envelope.recipients.iter().map(|r| r.address.clone()).collect();
            let from_null = envelope.sender.is_null();
            self.ledger.borrow_mut().sent(id.as_str(), content.clone(), addresses, from_null);
            let whole = content.chunks(1000).all(|piece| draft.append(Bytes::copy_from_slice(piece)).is_ok());
            if whole {
                waiting.push(smtpd.waiting(draft, envelope, ContentFlags::default()));
                ids.push(id);
            } else {
                self.ledger.borrow_mut().answered(id.as_str(), Told::Refused);
            }
        }
        let mut acked = Vec::new();
        let Some(smtpd) = &mut self.smtpd else { return };
        smtpd.commit(waiting, now, &mut |group| {
            let committed = group.into_iter().filter_map(|(_, answer)| answer.ok());
            acked.extend(committed.map(|committed| committed.queue_id().clone()));
        });
        self.stats.accepted += acked.len() as u64;
        // Two failures in a row, of the group and of the segment that was to say so, leave the refusal open.
        let open = self.disk.is_dead() || !smtpd.refusals_are_durable();
        let mut ledger = self.ledger.borrow_mut();
        for id in ids {
            let told = match acked.contains(&id) {
                true => Told::Accepted,
                false if open => Told::Nothing,
                false => Told::Refused,
            };
            ledger.answered(id.as_str(), told);
        }
        drop(ledger);
        hear(&self.reports, &self.disk, &self.ledger);
    }

    fn envelope(&mut self) -> Envelope {
        let now = self.now();
        let sender = if self.rng.chance(15) { Address::null() } else { Address::from("ann@example.org") };
        let mut envelope = Envelope::new(sender, now);
        let domain = ["example.net", "example.com", "example.edu"][self.rng.below(3) as usize];
        for n in 0..1 + self.rng.below(3) {
            let address = Address::new(format!("r{n}-{}@{domain}", self.serial));
            envelope.recipients.push(Recipient::new(address));
        }
        if self.rng.chance(5) {
            envelope.hold = Some("held".into());
        }
        if self.rng.chance(20) {
            envelope.warn_at = Some(now.after(Duration::from_secs(50)));
        }
        envelope
    }

    /// The queue manager hears of new mail, mostly.
    fn news(&mut self) -> Check {
        let notices = std::mem::take(&mut *lock(&self.notices));
        let lose = self.rng.chance(10);
        if let Some(qmgr) = self.qmgr.as_ref().filter(|_| !lose) {
            notices.into_iter().for_each(|notice| qmgr.notice(notice));
        }
        self.turns()
    }

    /// Lets the queue manager do all that it can do now.
    fn turns(&mut self) -> Check {
        let now = self.now();
        for _ in 0..TURNS_MAX {
            let Some(qmgr) = &mut self.qmgr else { return Ok(()) };
            let after = qmgr.turn(now);
            self.check()?;
            if after != After::More {
                return Ok(());
            }
        }
        Err(format!("the queue manager is busy with nothing for {TURNS_MAX} turns"))
    }

    /// Agents get on with what they have.
    fn deliver(&mut self) -> Check {
        for _ in 0..1 + self.rng.below(6) {
            self.agents.work(&mut self.rng, false);
        }
        self.turns()
    }

    /// Time passes; the queue does what it has to do.
    fn pass(&mut self, time: Duration) -> Check {
        let now = self.now().after(time);
        self.ledger.borrow_mut().now = now;
        self.disk.set_now(now);
        let failed = self.disk.failed();
        // A turn collects what the turn before began.
        for _ in 0..4 {
            self.turns()?;
        }
        if self.qmgr.is_some() && !self.disk.is_dead() && self.disk.failed() == failed {
            self.ledger.borrow_mut().synced();
        }
        Ok(())
    }

    fn flush(&mut self) -> Check {
        let now = self.now();
        if let Some(qmgr) = &mut self.qmgr {
            self.ledger.borrow().say(|| "flush".into());
            qmgr.order(Order::FlushAll, now);
        }
        self.turns()
    }

    fn kill_smtpd(&mut self) {
        self.say("smtpd killed");
        self.stats.crashes += 1;
        self.smtpd = None;
    }

    /// The process goes, the kernel stays: what was written is there.
    fn kill_qmgr(&mut self) {
        self.say("qmgr killed");
        self.stats.crashes += 1;
        self.qmgr = None;
        self.agents.forget();
        self.ledger.borrow_mut().killed();
    }

    /// Orderly stop: nothing may be left in the journal.
    fn stop(&mut self) {
        self.say("stop");
        self.smtpd = None;
        let now = self.now();
        let Some(qmgr) = self.qmgr.take() else { return };
        let stopped = qmgr.stop(now);
        self.agents.forget();
        let mut ledger = self.ledger.borrow_mut();
        ledger.say(|| format!("stopped: {stopped:?}"));
        let excused = self.disk.is_dead() || ledger.unsure();
        if excused {
            return ledger.killed();
        }
        if let Err(error) = stopped {
            return ledger.fail(format!("an orderly stop fails: {error}"));
        }
        ledger.stopped();
        let left = self.disk.files().into_iter().map(|(path, _)| path);
        let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
        if !left.is_empty() {
            ledger.fail(format!("segments are left behind an orderly stop: {left:?}"));
        }
    }

    fn power_cut(&mut self) {
        self.say("power cut");
        self.stats.crashes += 1;
        self.smtpd = None;
        self.qmgr = None;
        self.agents.forget();
        lock(&self.notices).clear();
        self.disk.power_cut();
        // Whatever the queue still had to say it said before.
        lock(&self.reports).clear();
        self.ledger.borrow_mut().power_cut();
    }

    /// No more crashes: all that is queued is delivered, and every acknowledged recipient must have a fate.
    fn end(&mut self) -> Check {
        self.say("-- the end");
        let mut left = Vec::new();
        for round in 0..300 {
            self.open()?;
            self.news()?;
            self.pass(Duration::from_secs(30))?;
            while !self.agents.is_idle() {
                self.agents.work(&mut self.rng, true);
                self.turns()?;
            }
            left = self.list()?;
            if left.is_empty() && self.ledger.borrow().scanned && round > 5 {
                break;
            }
            let now = self.now();
            for held in left.iter().filter(|listed| listed.place == Place::Hold) {
                if let Some(qmgr) = &mut self.qmgr {
                    qmgr.order(Order::Release(held.queue_id.clone()), now);
                }
            }
        }
        if !left.is_empty() {
            return Err(format!("never delivered: {left:?}"));
        }
        self.ledger.borrow_mut().each_has_a_fate();
        self.check()
    }

    fn list(&mut self) -> Result<Vec<Listed>, String> {
        let now = self.now();
        let (answer, mut listed) = tokio::sync::oneshot::channel();
        let Some(qmgr) = &mut self.qmgr else {
            return Err("the queue manager does not start any more".into());
        };
        qmgr.order(Order::List(answer), now);
        listed.try_recv().map_err(|e| e.to_string())
    }
}

fn bounce_settings() -> bounce::Settings {
    bounce::Settings::of_host("example.org")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
