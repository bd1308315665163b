//! A run: clients, the queue and a delivery agent on one simulated disk, with crashes at any write.
//!
//! The world knows what each client was told and what was delivered. After the run everything drains, and each
//! recipient of an acknowledged message has one fate.

use crate::disk::Trouble;
use crate::{Rng, SimDisk};
use bytes::Bytes;
use mail::{Address, ContentFlags, Dsn, Envelope, JobId, Outcome, QueueId, Recipient, Status, Timestamp};
use queue::{
    Committer, Hooks, IntakeSettings, NewMessage, Notice, Record, Report, Reporter, Role, Store,
    StoreSettings,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a client was told about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// `250`.
    Accepted,
    /// `4xx`: the client keeps it and sends it again.
    Refused,
    /// The connection broke: it may be queued or not.
    Nothing,
}

/// What became of a recipient, as the agent saw it.
#[derive(Clone, Debug, Default)]
struct Fate {
    delivered: u32,
    bounced: u32,
    /// The final outcome survives a kill.
    written: bool,
    /// The final outcome survives a power cut.
    synced: bool,
}

struct Model {
    told: Told,
    content: Vec<u8>,
    fates: Vec<Fate>,
}

/// How long after it was written an outcome may be lost in a power cut.
const OUTCOME_SYNC: Duration = Duration::from_millis(50);

/// A run under way.
pub struct World {
    rng: Rng,
    disk: SimDisk,
    now: Timestamp,
    intake: Option<Committer>,
    store: Option<Store>,
    notices: Arc<Mutex<Vec<Notice>>>,
    reports: Arc<Mutex<Vec<Report>>>,
    models: BTreeMap<QueueId, Model>,
    /// Reports whose writing failed: where the power failed too, or the segment could not be voided any more, they may be
    /// in the queue with what they tell, or nothing of both is.
    perhaps: BTreeMap<QueueId, (QueueId, Vec<usize>)>,
    /// Reports to senders by id: they are mail, too.
    active: Vec<NewMessage>,
    /// Final outcomes that `write_out` wrote, and when.
    unsynced: Vec<(Timestamp, QueueId, usize)>,
    /// What went wrong, in words.
    pub failures: Vec<String>,
    /// How many messages were acknowledged, and how many crashes happened.
    pub accepted: u32,
    /// How many power cuts and kills.
    pub crashes: u32,
    trouble: bool,
    log: Vec<String>,
}

impl World {
    /// A fresh queue.
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.bits());
        for dir in
            ["deferred", "hold", "corrupt", "incoming", "active", "maildrop", "defer", "bounce", "trace"]
        {
            queue::Disk::make_dir(&disk, std::path::Path::new(dir)).expect("a fresh disk takes directories");
        }
        queue::Disk::sync_dir(&disk, std::path::Path::new("")).expect("a fresh disk syncs");
        let trouble = rng.one_in(3);
        let mut world = World {
            rng,
            disk,
            now: Timestamp::from_secs(1_800_000_000),
            intake: None,
            store: None,
            notices: Arc::default(),
            reports: Arc::default(),
            models: BTreeMap::new(),
            perhaps: BTreeMap::new(),
            active: Vec::new(),
            unsynced: Vec::new(),
            failures: Vec::new(),
            accepted: 0,
            crashes: 0,
            trouble,
            log: Vec::new(),
        };
        world.start();
        world
    }

    /// The last steps, for a failing run.
    pub fn log(&self) -> &[String] {
        &self.log
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.log.push(what());
    }

    fn fail(&mut self, what: String) {
        self.log.push(format!("FAILURE {what}"));
        self.failures.push(what);
    }

    fn reporter(&self) -> Reporter {
        let reports = self.reports.clone();
        Arc::new(move |report| reports.lock().unwrap_or_else(PoisonError::into_inner).push(report.clone()))
    }

    fn start(&mut self) {
        self.start_store();
        self.start_intake();
    }

    fn start_store(&mut self) {
        let mut settings = StoreSettings::new(self.reporter());
        settings.segment_bytes = 64 << 10;
        settings.journal_bytes_max = 1 << 20;
        settings.content_memory_max = 64 << 10;
        settings.inline = true;
        match Store::open(settings, Arc::new(self.disk.clone()), self.now) {
            Ok((store, recovered)) => {
                self.note(|| format!("store opened: {recovered:?}"));
                self.store = Some(store);
            }
            Err(error) => {
                self.note(|| format!("store does not open: {error}"));
                if !self.disk.is_down() && !self.trouble {
                    self.fail(format!("the store does not open: {error}"));
                }
            }
        }
    }

    fn start_intake(&mut self) {
        let mut settings = IntakeSettings::new(Role::Smtpd);
        settings.segment_bytes = 64 << 10;
        settings.journal_bytes_max = 1 << 20;
        settings.large_message_bytes = 8 << 10;
        settings.body_memory_max = 64 << 10;
        let notices = self.notices.clone();
        let hooks = Hooks {
            flush_log: Box::new(|| ()),
            notice: Box::new(move |notice| {
                notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice)
            }),
            report: self.reporter(),
        };
        match Committer::open(&settings, Arc::new(self.disk.clone()), hooks, self.now) {
            Ok(intake) => self.intake = Some(intake),
            Err(error) => {
                self.note(|| format!("intake does not open: {error}"));
                if !self.disk.is_down() && !self.trouble {
                    self.fail(format!("the intake does not open: {error}"));
                }
            }
        }
    }

    /// Runs `steps` random steps and then drains the queue.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.rng.one_in(12) {
                let calls = self.rng.below(40);
                self.disk.fail_power_after(calls);
            }
            self.step();
            if self.disk.is_down() {
                self.power_cut();
            }
            if !self.failures.is_empty() {
                return;
            }
        }
        self.drain();
    }

    fn step(&mut self) {
        self.disk.set_now(self.now);
        if self.trouble {
            let trouble = if self.rng.one_in(4) {
                Trouble {
                    write: 1 + self.rng.below(20),
                    sync: 1 + self.rng.below(20),
                    full: 1 + self.rng.below(20),
                }
            } else {
                Trouble::default()
            };
            self.disk.set_trouble(trouble);
        }
        match self.rng.below(16) {
            0..5 => self.submit(),
            5..8 => self.pump(),
            8..12 => self.attempt(),
            12 => self.advance(),
            13 => self.wake(),
            14 => {
                if self.rng.one_in(3) {
                    self.one_process_dies();
                }
            }
            _ => {
                if self.rng.one_in(4) {
                    self.stop_and_start();
                }
            }
        }
    }

    fn submit(&mut self) {
        if self.intake.is_none() && !self.disk.is_down() {
            self.start_intake();
        }
        let Some(mut intake) = self.intake.take() else { return };
        let mut waiting = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let id = intake.new_id(self.now);
            let content = self.content(&id);
            let mut envelope = Envelope::new(self.sender(), self.now);
            for n in 0..1 + self.rng.below(3) {
                envelope.recipients.push(Recipient::new(Address::new(format!("r{n}@example.org"))));
            }
            let mut draft = intake.draft(id.clone());
            let model = Model {
                told: Told::Nothing,
                content: content.clone(),
                fates: vec![Fate::default(); envelope.recipients.len()],
            };
            if self.models.insert(id.clone(), model).is_some() {
                self.fail(format!("the id {id} was given out twice"));
            }
            let whole = content.chunks(1500).all(|piece| draft.append(Bytes::copy_from_slice(piece)).is_ok());
            if whole {
                waiting.push(intake.waiting(draft, envelope, ContentFlags::default()));
                ids.push(id);
            } else if let Some(model) = self.models.get_mut(&id) {
                model.told = Told::Refused;
            }
        }
        let mut told = Vec::new();
        intake.commit(waiting, self.now, &mut |answers| {
            for (_, answer) in answers {
                if let Ok(committed) = answer {
                    told.push(committed.queue_id().clone());
                }
            }
        });
        // Two failures in a row, of the group and of the segment that was to say so, leave the refusal open.
        let down = self.disk.is_down() || !intake.refusals_are_durable();
        for id in &ids {
            let Some(model) = self.models.get_mut(id) else { continue };
            model.told = match (told.contains(id), down) {
                (true, _) => Told::Accepted,
                (false, true) => Told::Nothing,
                (false, false) => Told::Refused,
            };
        }
        self.accepted += told.len() as u32;
        self.note(|| format!("submitted {ids:?}, accepted {told:?}"));
        self.intake = Some(intake);
    }

    fn sender(&mut self) -> Address {
        if self.rng.one_in(5) { Address::null() } else { Address::from("sender@example.com") }
    }

    /// Content that tells its id. Sometimes it holds bytes of the journal itself, as an attacker would try.
    fn content(&mut self, id: &QueueId) -> Vec<u8> {
        let mut content = format!("Subject: {id}\r\n\r\n").into_bytes();
        if self.rng.one_in(6) {
            let names = self.disk.names();
            let journal: Vec<_> = names.iter().filter(|(n, _)| n.starts_with("journal")).collect();
            if let Some((name, _)) = journal.get(self.rng.index(journal.len().max(1)))
                && let Ok(file) = queue::Disk::open_read(&self.disk, name)
            {
                let mut stolen = vec![0; 2048];
                let from = self.rng.below(8) * 512;
                let n = file.read_at(&mut stolen, from).unwrap_or(0);
                // Kept as lines, since that is what content is made of.
                content.extend(stolen[..n].iter().filter(|b| !matches!(b, b'\r' | b'\n')));
                content.extend_from_slice(b"\r\n");
            }
        }
        let lines = if self.rng.one_in(10) { self.rng.below(400) } else { self.rng.below(30) };
        for n in 0..lines {
            content.extend_from_slice(format!("{n} of {id} {:x}\r\n", self.rng.bits()).as_bytes());
        }
        content
    }

    fn pump(&mut self) {
        let Some(mut store) = self.store.take() else {
            if !self.disk.is_down() {
                self.start_store();
            }
            return;
        };
        // Notices may be lost, and the journal is read all the same.
        let notices = std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        for notice in notices {
            store.take_notice(notice);
        }
        match store.poll_new(self.now) {
            Ok(new) => {
                for message in new {
                    self.arrived(message);
                }
            }
            Err(error) => self.note(|| format!("poll_new: {error}")),
        }
        self.store = Some(store);
    }

    /// A message came out of the queue: it must be what went in.
    fn arrived(&mut self, message: NewMessage) {
        let id = message.queue_id.clone();
        if let Some((cause, bounced)) = self.perhaps.remove(&id) {
            for index in bounced {
                self.happened(&cause, index, |fate| fate.bounced += 1);
            }
        }
        let content = message.content.to_vec();
        match (self.models.get(&id), content) {
            (None, _) => self.fail(format!("{id} was never sent")),
            (Some(model), Ok(content)) if model.told == Told::Refused => {
                let size = content.len();
                self.fail(format!("{id} ({size} bytes) was refused and is queued"));
            }
            (Some(model), Ok(content)) if content != model.content => {
                let (found, sent) = (content.len(), model.content.len());
                self.fail(format!("{id} came out changed: {found} bytes instead of {sent}"));
            }
            (Some(model), Ok(_)) if model.fates.len() != message.envelope.recipients.len() => {
                self.fail(format!("{id} has other recipients"));
            }
            (Some(_), Ok(_)) => {
                self.note(|| format!("{id} active, done {:?}, crashes {}", message.done, message.crashes));
                if self.active.iter().any(|m| m.queue_id == id) {
                    self.fail(format!("{id} came twice"));
                }
                self.active.push(message);
            }
            // The disk fails under us; the message is read again after the restart.
            (Some(_), Err(error)) => self.note(|| format!("{id} cannot be read: {error}")),
        }
    }

    fn attempt(&mut self) {
        if self.active.is_empty() || self.store.is_none() {
            return self.pump();
        }
        let at = self.rng.index(self.active.len());
        let message = self.active.swap_remove(at);
        self.deliver(message, false);
    }

    /// One delivery attempt of a whole message; with `at_last` every recipient is delivered.
    fn deliver(&mut self, mut message: NewMessage, at_last: bool) {
        let Some(mut store) = self.store.take() else { return };
        let (id, key) = (message.queue_id.clone(), message.key);
        store.record(Record::Attempt { key });
        if let Err(error) = store.write_out(self.now) {
            // Without the note no agent gets the job.
            self.note(|| format!("{id}: attempt not noted: {error}"));
            self.store = Some(store);
            self.active.push(message);
            return;
        }
        let mut finals = Vec::new();
        let mut bounced = Vec::new();
        let mut left = false;
        for index in 0..message.done.len() {
            if message.done[index] {
                continue;
            }
            let choice = if at_last { 0 } else { self.rng.below(10) };
            let status = match choice {
                0..5 => Status::Sent,
                5..8 => Status::Deferred,
                _ => Status::Bounced,
            };
            let outcome = outcome(index, status);
            match status {
                Status::Sent => {
                    self.happened(&id, index, |fate| fate.delivered += 1);
                    store.record(Record::Outcome { key, outcome });
                    finals.push(index);
                    message.done[index] = true;
                }
                Status::Deferred => {
                    store.record(Record::Outcome { key, outcome });
                    left = true;
                }
                Status::Bounced if message.envelope.sender.is_null() => {
                    self.happened(&id, index, |fate| fate.bounced += 1);
                    store.record(Record::Outcome { key, outcome });
                    finals.push(index);
                    message.done[index] = true;
                }
                Status::Bounced => bounced.push(index),
            }
        }
        if !bounced.is_empty() {
            if self.report(&mut store, &mut message, &bounced) {
                finals.extend(&bounced);
            } else {
                left = true;
            }
        }
        if left {
            let at = self.now.after(Duration::from_secs(1 + self.rng.below(400)));
            store.record(Record::Retry { key, at });
        }
        let written = store.write_out(self.now);
        self.note(|| {
            format!("{id}: final {finals:?}, bounced {bounced:?}, left {left}, written {written:?}")
        });
        if written.is_ok() {
            for index in finals {
                self.happened(&id, index, |fate| fate.written = true);
                self.unsynced.push((self.now, id.clone(), index));
            }
        }
        self.store = Some(store);
    }

    /// Writes the report about recipients that failed; whether it and the outcomes are in the queue.
    fn report(&mut self, store: &mut Store, message: &mut NewMessage, bounced: &[usize]) -> bool {
        let (id, key) = (message.queue_id.clone(), message.key);
        let report = store.new_id(self.now);
        let content = format!("Subject: {report}\r\n\r\nabout {id}\r\n").into_bytes();
        let mut envelope = Envelope::new(Address::null(), self.now);
        envelope.recipients.push(Recipient::new(message.envelope.sender.clone()));
        let model = Model { told: Told::Nothing, content: content.clone(), fates: vec![Fate::default()] };
        self.models.insert(report.clone(), model);
        let outcomes: Vec<_> = bounced.iter().map(|&index| outcome(index, Status::Bounced)).collect();
        let cause = Some((key, outcomes.as_slice()));
        let done = store.bounce(
            cause,
            report.clone(),
            envelope,
            vec![Bytes::from(content)],
            ContentFlags::default(),
        );
        match done {
            Ok(new) => {
                for &index in bounced {
                    self.happened(&id, index, |fate| fate.bounced += 1);
                    message.done[index] = true;
                }
                self.note(|| format!("{id}: report {report} about {bounced:?}"));
                self.active.push(new);
                true
            }
            Err(error) => {
                self.note(|| format!("{id}: no report: {error}"));
                self.perhaps.insert(report, (id, bounced.to_vec()));
                false
            }
        }
    }

    /// Something final happened to a recipient; again is a mistake where the first outcome had been kept.
    fn happened(&mut self, id: &QueueId, index: usize, what: impl FnOnce(&mut Fate)) {
        let Some(fate) = self.models.get_mut(id).and_then(|m| m.fates.get_mut(index)) else { return };
        let before = fate.delivered + fate.bounced;
        what(fate);
        let again = fate.delivered + fate.bounced > before && before > 0;
        if again && (fate.written || fate.synced) {
            let fate = fate.clone();
            self.fail(format!("{id} recipient {index} has a second fate: {fate:?}"));
        }
    }

    fn advance(&mut self) {
        let by = match self.rng.below(4) {
            0 => Duration::from_millis(self.rng.below(40)),
            1 => Duration::from_millis(60 + self.rng.below(1000)),
            2 => Duration::from_secs(self.rng.below(30)),
            _ => Duration::from_secs(61 + self.rng.below(300)),
        };
        self.now = self.now.after(by);
        self.disk.set_now(self.now);
        self.turn();
    }

    fn turn(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        store.turn(self.now);
        let written = store.write_out(self.now);
        self.note(|| format!("turn, written {written:?}"));
        self.store = Some(store);
        if written.is_err() || self.disk.is_down() || self.trouble {
            return;
        }
        let now = self.now;
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|(at, _, _)| now.since(*at) >= OUTCOME_SYNC);
        self.unsynced = rest;
        for (_, id, index) in synced {
            if let Some(fate) = self.models.get_mut(&id).and_then(|m| m.fates.get_mut(index)) {
                fate.synced = true;
            }
        }
    }

    /// What waits and is due becomes active.
    fn wake(&mut self) {
        let Some(mut store) = self.store.take() else { return };
        if self.rng.one_in(3) {
            store.make_due(None, self.now);
        }
        let due = store.due(self.now, 10);
        for due in due {
            match store.load(due.key) {
                Ok(Some(message)) => self.arrived(message),
                Ok(None) => self.note(|| format!("{} is gone", due.queue_id)),
                Err(error) => {
                    self.note(|| format!("{} cannot be loaded: {error}", due.queue_id));
                    if !self.disk.is_down() && !self.trouble {
                        self.fail(format!("{} cannot be loaded: {error}", due.queue_id));
                    }
                }
            }
        }
        self.store = Some(store);
    }

    /// The power fails: everything restarts on what the disk kept.
    fn power_cut(&mut self) {
        self.crashes += 1;
        self.intake = None;
        self.store = None;
        self.active.clear();
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.disk = self.disk.restart();
        self.note(|| "POWER CUT".into());
        self.forget_unsynced();
        self.disk.set_now(self.now);
        self.start();
    }

    /// What was written and not synced may come again.
    fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        for fate in self.models.values_mut().flat_map(|model| &mut model.fates) {
            fate.written &= fate.synced;
        }
    }

    /// One process is killed; the page cache, the disk and the other process live on.
    fn one_process_dies(&mut self) {
        self.crashes += 1;
        if self.rng.one_in(2) {
            self.note(|| "smtpd is killed".into());
            self.intake = None;
            self.start_intake();
        } else {
            self.note(|| "qmgr is killed".into());
            self.store = None;
            self.active.clear();
            self.start_store();
        }
    }

    /// An orderly stop leaves only files; then everything starts again.
    fn stop_and_start(&mut self) {
        self.intake = None;
        let Some(store) = self.store.take() else { return };
        self.active.clear();
        let stopped = store.stop(self.now);
        self.note(|| format!("stopped: {stopped:?}"));
        if self.disk.is_down() {
            return;
        }
        if let Err(error) = &stopped {
            if !self.trouble {
                self.fail(format!("an orderly stop failed: {error}"));
            }
            // What a failed sync covered, and could be written nowhere else, may come again.
            self.forget_unsynced();
        }
        self.start();
    }

    fn drain(&mut self) {
        self.disk.set_trouble(Trouble::default());
        // A power cut that was to come later does not come any more.
        self.disk.fail_power_after(u64::MAX);
        self.trouble = false;
        if self.store.is_none() {
            self.start_store();
        }
        self.note(|| "draining".into());
        for _ in 0..2_000 {
            self.pump();
            while let Some(message) = self.active.pop() {
                let left = self.active.len();
                self.deliver(message, true);
                if self.active.len() > left {
                    // The attempt could not be noted: the journal is full until a turn has freed some of it.
                    break;
                }
                if !self.failures.is_empty() {
                    return;
                }
            }
            self.now = self.now.after(Duration::from_secs(70));
            self.disk.set_now(self.now);
            self.turn();
            self.release_suspects();
            let Some(store) = &mut self.store else { return self.fail("the store is gone".into()) };
            store.make_due(None, self.now);
            self.wake();
            let Some(store) = &self.store else { return };
            if self.active.is_empty() && store.scanned() && store.list().is_empty() {
                return self.settle();
            }
        }
        let left = self.store.as_ref().map(|s| s.list().len()).unwrap_or(0);
        self.fail(format!("the queue does not drain: {left} left"));
    }

    /// Mail that was in flight at three crashes is on hold; an administrator lets it go.
    fn release_suspects(&mut self) {
        let Some(store) = &mut self.store else { return };
        let held: Vec<_> = store.list().into_iter().filter(|l| l.place == queue::Place::Hold).collect();
        for listed in held {
            store.record(Record::Release { key: listed.key });
            store.record(Record::Retry { key: listed.key, at: self.now });
        }
    }

    fn settle(&mut self) {
        let mut failures = BTreeSet::new();
        for (id, model) in &self.models {
            for (index, fate) in model.fates.iter().enumerate() {
                if model.told == Told::Accepted && fate.delivered + fate.bounced == 0 {
                    failures.insert(format!("{id} recipient {index} was accepted and is lost"));
                }
            }
        }
        for failure in failures {
            self.fail(failure);
        }
    }
}

fn outcome(index: usize, status: Status) -> Outcome {
    let class = match status {
        Status::Sent => 2,
        Status::Deferred => 4,
        Status::Bounced => 5,
    };
    Outcome {
        job: JobId(0),
        index: index as u32,
        status,
        dsn: Dsn::new(class, 0, 0),
        reason: "simulated".into(),
        diagnostic: None,
        remote_mta: None,
        relayed: false,
        next_hop_reports: false,
    }
}
