//! One run: what happens is drawn from the seed, what must hold is checked all along.

use crate::disk::{Failures, SimDisk};
use crate::known::{Failure, Known, Plan, Sent};
use crate::rng::Rng;
use bytes::Bytes;
use mail::{Address, ContentFlags, Dsn, Envelope, JobId, Outcome, Recipient, Status, Timestamp};
use queue::faults::plant;
use queue::{
    CommitError, Committer, Disk, Hooks, IntakeSettings, MessageKey, NewMessage, Notice, Record, Report,
    Role, Store, StoreSettings,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct World {
    rng: Rng,
    plan: Plan,
    disk: SimDisk,
    now: Timestamp,
    smtpd: Option<Committer>,
    store: Option<Store>,
    notices: Arc<Mutex<Vec<Notice>>>,
    reports: Arc<Mutex<Vec<String>>>,
    sent: BTreeMap<String, Sent>,
    /// What the store gave out and is not done, as the scheduler would hold it.
    held: HashMap<MessageKey, NewMessage>,
    /// Failures were shown since the outcomes were synced last.
    failures: bool,
    serial: u64,
}

type Check = Result<(), String>;

/// Runs one seed.
pub fn run(seed: u64, plan: Plan) -> Result<(), Failure> {
    plant(plan.fault);
    let result = World::new(seed, plan).and_then(|mut world| world.live());
    plant(None);
    result.map_err(|what| Failure { seed, what })
}

impl World {
    fn new(seed: u64, plan: Plan) -> Result<World, String> {
        let world = World {
            rng: Rng::new(seed),
            plan,
            disk: SimDisk::new(seed),
            now: Timestamp::from_secs(1_700_000_000),
            smtpd: None,
            store: None,
            notices: Arc::default(),
            reports: Arc::default(),
            sent: BTreeMap::new(),
            held: HashMap::new(),
            failures: false,
            serial: 0,
        };
        world.disk.set_now(world.now);
        for dir in ["deferred", "defer", "hold", "corrupt"] {
            world.disk.make_dir(Path::new(dir)).map_err(|e| e.to_string())?;
        }
        world.disk.sync_dir(Path::new(".")).map_err(|e| e.to_string())?;
        Ok(world)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.plan.verbose {
            println!("{:>12} {}", self.now.micros() - 1_700_000_000_000_000, what());
        }
    }

    fn live(&mut self) -> Check {
        let lives = 2 + self.rng.below(4);
        for life in 0..lives {
            self.say(|| format!("-- life {life}"));
            let steps = 5 + self.rng.below(40);
            let fuse = self.rng.chance(70).then(|| self.rng.below(150));
            self.disk.cut_after(fuse);
            let per_mille = if self.rng.chance(20) { 1 + self.rng.below(30) } else { 0 };
            self.disk.fail(Failures { per_mille });
            for _ in 0..steps {
                self.step()?;
                if self.disk.is_dead() {
                    break;
                }
            }
            self.disk.fail(Failures::default());
            self.power_cut()?;
        }
        self.end()
    }

    fn step(&mut self) -> Check {
        self.open()?;
        match self.rng.below(100) {
            0..30 => self.send()?,
            30..45 => self.take_news()?,
            45..70 => self.deliver()?,
            70..85 => self.pass(Duration::from_millis(self.rng.clone().below(80)))?,
            85..92 => self.pass(Duration::from_secs(20 + self.rng.clone().below(60)))?,
            92..95 => self.kill_smtpd(),
            95..98 => self.kill_qmgr(),
            98..99 => self.stop()?,
            _ => self.send_large()?,
        }
        self.rng.bits();
        let failed = self.disk.failed();
        if failed > 0 {
            self.failures = true;
        }
        Ok(())
    }

    /// Starts the processes that do not run.
    fn open(&mut self) -> Check {
        if self.smtpd.is_none() && !self.disk.is_dead() {
            let notices = self.notices.clone();
            let report = self.reporter();
            let hooks =
                Hooks { flush_log: Box::new(|| ()), notice: Box::new(move |n| push(&notices, n)), report };
            let mut settings = IntakeSettings::new(Role::Smtpd);
            settings.segment_bytes = SEGMENT;
            settings.journal_bytes_max = JOURNAL;
            settings.large_message_bytes = 4096;
            settings.body_memory_max = 20_000;
            self.smtpd = Committer::open(&settings, Arc::new(self.disk.clone()), hooks, self.now).ok();
        }
        if self.store.is_none() && !self.disk.is_dead() {
            let mut settings = StoreSettings::new(self.reporter());
            settings.segment_bytes = SEGMENT;
            settings.journal_bytes_max = JOURNAL;
            settings.inline = true;
            settings.spill_after = Duration::from_secs(60);
            match Store::open(settings, Arc::new(self.disk.clone()), self.now) {
                Ok((store, found)) => {
                    self.say(|| format!("store opened: {found:?}"));
                    self.store = Some(store);
                }
                Err(error) => self.say(|| format!("store does not open: {error}")),
            }
        }
        Ok(())
    }

    fn reporter(&self) -> queue::Reporter {
        let reports = self.reports.clone();
        let verbose = self.plan.verbose;
        Arc::new(move |report: &Report| {
            if verbose {
                println!("             report: {report}");
            }
            push(&reports, report.to_string());
        })
    }

    fn content(&mut self, len: u64) -> Vec<u8> {
        self.serial += 1;
        let mut content = format!("Subject: {}\r\n\r\n", self.serial).into_bytes();
        while (content.len() as u64) < len {
            content.extend_from_slice(format!("line {:x}\r\n", self.rng.bits()).as_bytes());
        }
        content
    }

    fn send(&mut self) -> Check {
        let group = 1 + self.rng.below(4);
        let sizes: Vec<u64> = (0..group).map(|_| self.rng.below(3000)).collect();
        self.send_group(&sizes)
    }

    fn send_large(&mut self) -> Check {
        let size = 5000 + self.rng.below(5000);
        self.send_group(&[size])
    }

    fn send_group(&mut self, sizes: &[u64]) -> Check {
        let mut waiting = Vec::new();
        for &size in sizes {
            let content = self.content(size);
            let recipients = 1 + self.rng.below(3) as usize;
            let now = self.now;
            let Some(smtpd) = &mut self.smtpd else { return Ok(()) };
            let id = smtpd.new_id(now);
            let mut draft = smtpd.draft(id.clone());
            let mut whole = true;
            for piece in content.chunks(1000) {
                whole &= draft.append(Bytes::copy_from_slice(piece)).is_ok();
            }
            if !whole {
                continue;
            }
            let mut envelope = Envelope::new(Address::from("sender@example.org"), now);
            let addresses: Vec<_> =
                (0..recipients).map(|n| Address::new(format!("r{n}-{}@example.net", id.as_str()))).collect();
            envelope.recipients = addresses.iter().cloned().map(Recipient::new).collect();
            if self.rng.chance(5) {
                envelope.hold = Some("held".into());
            }
            waiting.push(smtpd.waiting(draft, envelope, ContentFlags::default()));
            if self.sent.contains_key(id.as_str()) {
                return Err(format!("queue id {id} was given out twice"));
            }
            let recipients = vec![Known::default(); recipients];
            self.sent.insert(id.to_string(), Sent { content, acked: false, recipients, addresses });
        }
        let answers: Rc<RefCell<Vec<(String, bool)>>> = Rc::default();
        let into = answers.clone();
        let Some(smtpd) = &mut self.smtpd else { return Ok(()) };
        smtpd.commit(waiting, self.now, &mut |group| {
            for (_, answer) in group {
                match answer {
                    Ok(committed) => into.borrow_mut().push((committed.queue_id().to_string(), true)),
                    Err(CommitError::NoSpace | CommitError::Io(_) | CommitError::Overload) => {}
                }
            }
        });
        for (id, acked) in answers.take() {
            self.say(|| format!("{id}: acknowledged"));
            if let Some(sent) = self.sent.get_mut(&id) {
                sent.acked = acked;
            }
        }
        Ok(())
    }

    fn take_news(&mut self) -> Check {
        let notices = std::mem::take(&mut *lock(&self.notices));
        let lose = self.rng.chance(10);
        let now = self.now;
        let Some(store) = &mut self.store else { return Ok(()) };
        if !lose {
            notices.into_iter().for_each(|notice| store.take_notice(notice));
        }
        let Ok(news) = store.poll_new(now) else { return Ok(()) };
        for message in news {
            self.accept(message)?;
        }
        Ok(())
    }

    /// The scheduler gets a message.
    fn accept(&mut self, message: NewMessage) -> Check {
        let id = message.queue_id.to_string();
        self.say(|| format!("{id}: taken, done {:?}", message.done));
        let content = match message.content.to_vec() {
            Ok(content) => content,
            Err(_) if self.disk.is_dead() => return Ok(()),
            Err(error) => return Err(format!("{id}: its content cannot be read: {error}")),
        };
        let Some(sent) = self.sent.get(&id) else { return Err(format!("{id}: nobody sent this")) };
        if content != sent.content {
            return Err(format!("{id}: not the content that was sent"));
        }
        let addresses: Vec<_> = message.envelope.recipients.iter().map(|r| r.address.clone()).collect();
        if addresses != sent.addresses {
            return Err(format!("{id}: not the recipients that were sent: {addresses:?}"));
        }
        for (n, done) in message.done.iter().enumerate() {
            let known = &sent.recipients[n];
            if *done && known.delivered == 0 && known.reports.is_empty() {
                return Err(format!("{id}: recipient {n} counts as done and never was"));
            }
        }
        self.held.insert(message.key, message);
        Ok(())
    }

    /// Delivers some of what is held, or defers or bounces it.
    fn deliver(&mut self) -> Check {
        let mut keys: Vec<_> = self.held.keys().copied().collect();
        keys.sort();
        let count = (1 + self.rng.below(4)).min(keys.len() as u64);
        for _ in 0..count {
            let key = keys[self.rng.below(keys.len() as u64) as usize];
            self.deliver_one(key)?;
        }
        Ok(())
    }

    fn deliver_one(&mut self, key: MessageKey) -> Check {
        let Some(message) = self.held.remove(&key) else { return Ok(()) };
        let now = self.now;
        let Some(store) = &mut self.store else { return Ok(()) };
        store.record(Record::Attempt { key });
        if store.write_out(now).is_err() {
            self.held.insert(key, message);
            return Ok(());
        }
        let mut deferred = false;
        let mut bounced = Vec::new();
        for n in 0..message.done.len() {
            if message.done[n] {
                continue;
            }
            match self.rng.below(10) {
                0..6 => self.delivered(&message, n)?,
                6..8 => {
                    deferred = true;
                    let outcome = outcome(n, Status::Deferred);
                    if let Some(store) = &mut self.store {
                        store.record(Record::Outcome { key, outcome });
                    }
                }
                8 if message.envelope.sender.is_null() => self.delivered(&message, n)?,
                8 => bounced.push(n),
                // Neither: the agent is still at it, and the message is retried later.
                _ => deferred = true,
            }
        }
        if !bounced.is_empty() && !self.bounce(&message, &bounced) {
            deferred = true;
        }
        if deferred {
            let at = self.now.after(Duration::from_secs(1 + self.rng.below(400)));
            if let Some(store) = &mut self.store {
                store.record(Record::Retry { key, at });
            }
        }
        self.write_out();
        Ok(())
    }

    fn delivered(&mut self, message: &NewMessage, n: usize) -> Check {
        let id = message.queue_id.as_str();
        let Some(sent) = self.sent.get_mut(id) else { return Err(format!("{id}: nobody sent this")) };
        let known = &mut sent.recipients[n];
        if known.synced {
            return Err(format!("{id}: recipient {n} is delivered again although its outcome was synced"));
        }
        if known.bounced {
            return Err(format!("{id}: recipient {n} is delivered although a report says that it failed"));
        }
        known.delivered += 1;
        self.say(|| format!("{id}: recipient {n} delivered"));
        if let Some(store) = &mut self.store {
            store.record(Record::Outcome { key: message.key, outcome: outcome(n, Status::Sent) });
        }
        self.pending(id.to_owned(), n);
        Ok(())
    }

    /// An outcome was recorded, and is not written out yet.
    fn pending(&mut self, id: String, n: usize) {
        let now = self.now;
        if let Some(known) = self.sent.get_mut(&id).map(|sent| &mut sent.recipients[n]) {
            known.written_at = Some(now);
        }
    }

    fn write_out(&mut self) {
        let now = self.now;
        let written = self.store.as_mut().is_some_and(|store| store.write_out(now).is_ok());
        if written && !self.disk.is_dead() {
            for known in self.sent.values_mut().flat_map(|sent| &mut sent.recipients) {
                known.written |= known.written_at.is_some();
            }
        }
    }

    fn bounce(&mut self, message: &NewMessage, failed: &[usize]) -> bool {
        let content = self.content(200);
        let now = self.now;
        let Some(store) = &mut self.store else { return false };
        let id = store.new_id(now);
        let mut envelope = Envelope::new(Address::null(), now);
        envelope.recipients.push(Recipient::new(Address::from("sender@example.org")));
        let outcomes: Vec<_> = failed.iter().map(|&n| outcome(n, Status::Bounced)).collect();
        let addresses = vec![Address::from("sender@example.org")];
        let sent =
            Sent { content: content.clone(), acked: false, recipients: vec![Known::default()], addresses };
        self.sent.insert(id.to_string(), sent);
        let pieces = vec![Bytes::from(content)];
        let cause = Some((message.key, &outcomes[..]));
        match store.bounce(cause, id.clone(), envelope, pieces, ContentFlags::default()) {
            Ok(report) => {
                self.say(|| format!("{}: recipients {failed:?} bounced by {id}", message.queue_id));
                for &n in failed {
                    if let Some(sent) = self.sent.get_mut(message.queue_id.as_str()) {
                        sent.recipients[n].reports.push(id.to_string());
                        sent.recipients[n].bounced = true;
                    }
                    self.pending(message.queue_id.to_string(), n);
                }
                self.held.insert(report.key, report);
                true
            }
            // It may lie there nevertheless, as after a sync that failed.
            Err(_) => {
                for &n in failed {
                    if let Some(sent) = self.sent.get_mut(message.queue_id.as_str()) {
                        sent.recipients[n].reports.push(id.to_string());
                    }
                }
                false
            }
        }
    }

    /// Time passes; the store does what it has to do.
    fn pass(&mut self, time: Duration) -> Check {
        self.now = self.now.after(time);
        self.disk.set_now(self.now);
        self.write_out();
        let now = self.now;
        let failed_before = self.disk.failed();
        for _ in 0..3 {
            let Some(store) = &mut self.store else { return Ok(()) };
            store.turn(now);
            // What `turn` recorded itself.
            let _ = store.write_out(now);
        }
        if !self.disk.is_dead() && self.disk.failed() == failed_before {
            for known in self.sent.values_mut().flat_map(|sent| &mut sent.recipients) {
                if known.written
                    && known.written_at.is_some_and(|at| now.since(at) >= Duration::from_millis(50))
                {
                    known.synced = !self.failures;
                }
            }
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        for due in store.due(now, 20) {
            let Some(store) = &mut self.store else { return Ok(()) };
            match store.load(due.key) {
                Ok(Some(message)) => self.accept(message)?,
                Ok(None) => self.say(|| format!("{}: is gone", due.queue_id)),
                Err(_) => {
                    store.record(Record::Retry { key: due.key, at: now.after(Duration::from_secs(1)) });
                }
            }
        }
        Ok(())
    }

    fn kill_smtpd(&mut self) {
        self.say(|| "smtpd killed".into());
        self.smtpd = None;
    }

    /// The process goes, the kernel stays: what was written is there.
    fn kill_qmgr(&mut self) {
        self.say(|| "qmgr killed".into());
        self.store = None;
        self.held.clear();
        for known in self.sent.values_mut().flat_map(|sent| &mut sent.recipients) {
            if !known.written {
                known.written_at = None;
                known.bounced = false;
            }
        }
    }

    /// Orderly stop: nothing may be left in the journal.
    fn stop(&mut self) -> Check {
        self.say(|| "stop".into());
        self.write_out();
        self.smtpd = None;
        self.held.clear();
        let now = self.now;
        if let Some(store) = self.store.take()
            && store.stop(now).is_ok()
            && !self.disk.is_dead()
        {
            let left = self.disk.list(Path::new("journal")).map_err(|e| e.to_string())?;
            let left: Vec<_> = left.iter().filter(|e| e.name.ends_with(".seg")).map(|e| &e.name).collect();
            if !left.is_empty() && !self.failures {
                return Err(format!("segments are left behind an orderly stop: {left:?}"));
            }
        }
        Ok(())
    }

    fn power_cut(&mut self) -> Check {
        self.say(|| "power cut".into());
        self.smtpd = None;
        self.store = None;
        self.held.clear();
        lock(&self.notices).clear();
        self.disk.power_cut();
        for known in self.sent.values_mut().flat_map(|sent| &mut sent.recipients) {
            if !known.synced {
                known.written = false;
                known.written_at = None;
                known.bounced = false;
            }
        }
        Ok(())
    }

    /// No more crashes: all that is queued is delivered, and every acknowledged recipient must have a fate.
    fn end(&mut self) -> Check {
        self.say(|| "-- the end".into());
        for round in 0..200 {
            self.open()?;
            self.take_news()?;
            self.pass(Duration::from_secs(30))?;
            let mut keys: Vec<_> = self.held.keys().copied().collect();
            keys.sort();
            for key in keys {
                let Some(message) = self.held.remove(&key) else { continue };
                for n in 0..message.done.len() {
                    if !message.done[n] {
                        self.delivered(&message, n)?;
                    }
                }
                self.write_out();
            }
            let Some(store) = &mut self.store else { return Err("the store does not open any more".into()) };
            let listed = store.list();
            for held in listed.iter().filter(|l| l.place == queue::Place::Hold) {
                store.record(Record::Release { key: held.key });
                store.record(Record::Retry { key: held.key, at: self.now });
            }
            if listed.is_empty() && store.scanned() && round > 5 {
                break;
            }
        }
        let left = self.store.as_ref().map(|store| store.list()).unwrap_or_default();
        if !left.is_empty() {
            return Err(format!("never delivered: {left:?}"));
        }
        self.each_has_a_fate()
    }

    fn each_has_a_fate(&self) -> Check {
        let delivered: HashSet<&str> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.recipients.iter().all(|known| known.delivered > 0))
            .map(|(id, _)| id.as_str())
            .collect();
        for (id, sent) in self.sent.iter().filter(|(_, sent)| sent.acked) {
            for (n, known) in sent.recipients.iter().enumerate() {
                let reported = known.reports.iter().any(|report| delivered.contains(report.as_str()));
                if known.delivered == 0 && !reported {
                    return Err(format!("{id}: recipient {n} was acknowledged and is lost ({known:?})"));
                }
            }
        }
        let damage = lock(&self.reports).iter().find(|r| r.contains("are damaged")).cloned();
        match damage {
            // Power cuts lose what was not synced; they damage nothing.
            Some(report) if !self.failures => Err(format!("damage without a cause: {report}")),
            _ => Ok(()),
        }
    }
}

/// Small, so that segments are filled, recycled and refused often.
const SEGMENT: u64 = 32 << 10;
const JOURNAL: u64 = 16 * SEGMENT;

fn outcome(n: usize, status: Status) -> Outcome {
    let class = match status {
        Status::Sent => 2,
        Status::Deferred => 4,
        Status::Bounced => 5,
    };
    Outcome {
        job: JobId(0),
        index: n as u32,
        status,
        dsn: Dsn::new(class, 0, 0),
        reason: "the simulator said so".into(),
        diagnostic: None,
        remote_mta: None,
        relayed: false,
        next_hop_reports: false,
    }
}

fn push<T>(list: &Mutex<Vec<T>>, value: T) {
    lock(list).push(value);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
