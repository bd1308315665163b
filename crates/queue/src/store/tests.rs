//! The store on the real file system, with everything that blocks done in order.

mod failures;

use super::*;
use crate::testing::{TestDir, dir};
use crate::{Committer, Hooks, IntakeSettings, RealDisk, Role};
use mail::Status;
use mail::{Address, Dsn, JobId, Recipient};
use std::sync::Mutex;

struct World {
    dir: TestDir,
    now: Timestamp,
    notices: Arc<Mutex<Vec<Notice>>>,
    reports: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(name: &str) -> World {
        // Later than the host's clock, since a mark in a file sets the file's time to that.
        let now = Timestamp::from_secs(4_000_000_000);
        World { dir: dir(name), now, notices: Arc::default(), reports: Arc::default() }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(RealDisk::new(&self.dir).unwrap())
    }

    fn committer(&self) -> Committer {
        self.committer_on(self.disk())
    }

    fn committer_on(&self, disk: Arc<dyn Disk>) -> Committer {
        let notices = self.notices.clone();
        let hooks = Hooks { notice: Box::new(move |n| notices.lock().unwrap().push(n)), ..Hooks::none() };
        let mut settings = IntakeSettings::new(Role::Smtpd);
        settings.segment_bytes = 1 << 20;
        Committer::open(&settings, disk, hooks, self.now).unwrap()
    }

    fn store(&self) -> (Store, Recovered) {
        self.store_on(self.disk())
    }

    fn store_on(&self, disk: Arc<dyn Disk>) -> (Store, Recovered) {
        let reports = self.reports.clone();
        let mut settings = StoreSettings::new(Arc::new(move |r| reports.lock().unwrap().push(r.to_string())));
        settings.segment_bytes = 1 << 20;
        settings.inline = true;
        Store::open(settings, disk, self.now).unwrap()
    }

    fn send(&self, committer: &mut Committer, recipients: usize, body: &[u8]) -> MessageKey {
        self.try_send(committer, recipients, body).unwrap()
    }

    fn try_send(
        &self,
        committer: &mut Committer,
        recipients: usize,
        body: &[u8],
    ) -> Result<MessageKey, CommitError> {
        let mut draft = committer.draft(committer.new_id(self.now));
        draft.append(Bytes::copy_from_slice(body)).unwrap();
        let mut envelope = Envelope::new(Address::from("ann@example.org"), self.now);
        envelope.recipients =
            (0..recipients).map(|n| Recipient::new(Address::new(format!("r{n}@example.net")))).collect();
        let waiting = committer.waiting(draft, envelope, ContentFlags::default());
        let mut keys = Vec::new();
        committer.commit(vec![waiting], self.now, &mut |group| {
            keys.extend(group.into_iter().map(|(_, answer)| answer.map(|committed| committed.key())));
        });
        keys.remove(0)
    }

    fn news(&self, store: &mut Store) -> Vec<NewMessage> {
        for notice in self.notices.lock().unwrap().drain(..) {
            store.take_notice(notice);
        }
        store.poll_new(self.now).unwrap()
    }

    /// Lets time pass and the store do what it has to do.
    fn pass(&mut self, store: &mut Store, seconds: u64) {
        for _ in 0..4 {
            self.now = self.now.after(Duration::from_millis(seconds * 250));
            store.write_out(self.now).unwrap();
            store.turn(self.now);
        }
    }

    fn scan(&mut self, store: &mut Store) {
        let mut turns = 0;
        while !store.scanned() {
            self.pass(store, 1);
            turns += 1;
            assert!(turns < 100, "the directories are never read");
        }
    }

    fn files(&self, sub: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut todo = vec![self.dir.join(sub)];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else {
                    found.push(entry.file_name().into_string().unwrap());
                }
            }
        }
        found.sort();
        found
    }
}

fn outcome(index: u32, status: Status) -> Outcome {
    let class = match status {
        Status::Sent => 2,
        Status::Deferred => 4,
        Status::Bounced => 5,
    };
    Outcome {
        job: JobId(1),
        index,
        status,
        dsn: Dsn::new(class, 0, 0),
        reason: "said so".into(),
        diagnostic: None,
        remote_mta: None,
        relay: None,
        relayed: false,
        next_hop_reports: false,
        parts: Vec::new(),
    }
}

#[test]
fn a_message_comes_once_and_is_forgotten_when_all_recipients_are_done() {
    let mut world = World::new("store-cycle");
    let mut committer = world.committer();
    let (mut store, _) = world.store();
    let key = world.send(&mut committer, 2, b"Subject: x\r\n\r\nbody\r\n");
    let news = world.news(&mut store);
    assert_eq!(news.len(), 1);
    assert_eq!((news[0].key, news[0].envelope.recipients.len()), (key, 2));
    assert_eq!(news[0].content.to_vec().unwrap(), b"Subject: x\r\n\r\nbody\r\n");
    assert!(world.news(&mut store).is_empty());
    store.record(Record::Attempt { key });
    store.record(Record::Outcome { key, outcome: outcome(0, Status::Sent) });
    world.pass(&mut store, 1);
    drop(store);
    // Killed in between: one recipient is left, and the message was in flight once.
    let (mut store, recovered) = world.store();
    assert_eq!(recovered.messages, 1);
    let again = world.news(&mut store);
    assert_eq!((again[0].key, &again[0].done[..], again[0].crashes), (key, &[true, false][..], 1));
    store.record(Record::Outcome { key, outcome: outcome(1, Status::Sent) });
    world.pass(&mut store, 1);
    assert!(store.list().is_empty());
    drop(store);
    let (_, recovered) = world.store();
    assert_eq!(recovered.messages, 0);
    assert_eq!(*world.reports.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn what_stays_becomes_a_queue_file_whose_time_is_the_next_attempt() {
    let mut world = World::new("store-spill");
    let mut committer = world.committer();
    let (mut store, _) = world.store();
    let key = world.send(&mut committer, 3, b"Subject: y\r\n\r\nstays\r\n");
    let id = world.news(&mut store)[0].queue_id.clone();
    store.record(Record::Attempt { key });
    store.record(Record::Outcome { key, outcome: outcome(0, Status::Sent) });
    store.record(Record::Outcome { key, outcome: outcome(1, Status::Deferred) });
    let retry_at = world.now.after(Duration::from_secs(300));
    store.record(Record::Retry { key, at: retry_at });
    world.pass(&mut store, 70);
    world.pass(&mut store, 1);
    assert!(store.index.files.contains_key(&key));
    assert_eq!(world.files("deferred"), [id.to_string()]);
    assert_eq!(world.files("defer"), [id.to_string()]);
    assert!(store.due(world.now, 10).is_empty());
    world.now = retry_at;
    let due = store.due(world.now, 10);
    assert_eq!((due.len(), due[0].key), (1, key));
    let message = store.load(key).unwrap().unwrap();
    assert_eq!(message.done, [true, false, false]);
    assert_eq!(message.content.to_vec().unwrap(), b"Subject: y\r\n\r\nstays\r\n");
    store.record(Record::Outcome { key, outcome: outcome(1, Status::Sent) });
    drop(store);
    // The mark lies in the file, whoever reads it.
    let (mut store, _) = world.store();
    world.scan(&mut store);
    let due = store.due(world.now, 10);
    assert_eq!(due.len(), 1);
    assert_eq!(store.load(due[0].key).unwrap().unwrap().done, [true, true, false]);
    store.record(Record::Outcome { key: due[0].key, outcome: outcome(2, Status::Sent) });
    world.pass(&mut store, 1);
    assert!(world.files("deferred").is_empty() && world.files("defer").is_empty());
}

#[test]
fn a_stop_leaves_files_only_and_segments_for_use_again() {
    let mut world = World::new("store-stop");
    let mut committer = world.committer();
    let (mut store, _) = world.store();
    let body = vec![b'q'; 200_000];
    let mut ids = Vec::new();
    for n in 0..20 {
        let body = [format!("Subject: {n}\r\n\r\n").as_bytes(), &body, b"\r\n"].concat();
        world.send(&mut committer, 1, &body);
    }
    while let news @ [_, ..] = &world.news(&mut store)[..] {
        ids.extend(news.iter().map(|m| m.queue_id.to_string()));
    }
    drop(committer);
    store.stop(world.now).unwrap();
    ids.sort();
    assert_eq!(world.files("deferred"), ids);
    let left: Vec<_> = world.files("journal").into_iter().filter(|name| name.ends_with(".seg")).collect();
    assert_eq!(left, Vec::<String>::new());
    let (mut store, recovered) = world.store();
    assert_eq!(recovered.messages, 0);
    world.scan(&mut store);
    assert_eq!(store.list().len(), 20);
}

#[test]
fn a_report_and_its_cause_are_one_group() {
    let mut world = World::new("store-bounce");
    let mut committer = world.committer();
    let (mut store, _) = world.store();
    let key = world.send(&mut committer, 1, b"Subject: z\r\n\r\n");
    world.news(&mut store);
    let id = store.new_id(world.now);
    let mut envelope = Envelope::new(Address::null(), world.now);
    envelope.recipients.push(Recipient::new(Address::from("ann@example.org")));
    let cause = [outcome(0, Status::Bounced)];
    let content = vec![Bytes::from_static(b"Subject: Undelivered\r\n\r\n")];
    let report =
        store.bounce(Some((key, &cause)), id.clone(), envelope, content, ContentFlags::default()).unwrap();
    assert_eq!(store.list().len(), 1);
    world.pass(&mut store, 1);
    drop(store);
    let (mut store, recovered) = world.store();
    assert_eq!(recovered.messages, 1);
    let again = store.poll_new(world.now).unwrap();
    assert_eq!((again[0].key, &again[0].queue_id), (report.key, &id));
    assert_eq!(again[0].content.to_vec().unwrap(), b"Subject: Undelivered\r\n\r\n");
}

/// A message with so many recipients that is a queue file, due now; its key and path.
fn spilled(world: &mut World, store: &mut Store, recipients: usize) -> (MessageKey, PathBuf) {
    let mut committer = world.committer();
    let key = world.send(&mut committer, recipients, b"Subject: spilled\r\n\r\n");
    world.news(store);
    store.record(Record::Retry { key, at: world.now.after(Duration::from_secs(100)) });
    world.pass(store, 70);
    world.pass(store, 1);
    world.now = world.now.after(Duration::from_secs(100));
    assert_eq!(store.due(world.now, 10).len(), 1);
    let message = store.load(key).unwrap().unwrap();
    (key, world.dir.join(store.hashing.path("deferred", &message.queue_id)))
}

fn report_on(store: &mut Store, key: MessageKey, outcomes: &[Outcome], now: Timestamp) {
    let mut envelope = Envelope::new(Address::null(), now);
    envelope.recipients.push(Recipient::new(Address::from("ann@example.org")));
    let id = store.new_id(now);
    store.bounce(Some((key, outcomes)), id, envelope, Vec::new(), ContentFlags::default()).unwrap();
}

#[test]
fn a_crash_between_a_report_and_the_marks_in_the_file_repeats_no_report() {
    let mut world = World::new("store-told");
    let (mut store, _) = world.store();
    let (key, path) = spilled(&mut world, &mut store, 3);
    let before = std::fs::read(&path).unwrap();
    report_on(&mut store, key, &[outcome(0, Status::Bounced), outcome(2, Status::Bounced)], world.now);
    drop(store);
    // A power cut: the report was synced, the marks were not.
    std::fs::write(&path, before).unwrap();
    let (mut store, recovered) = world.store();
    assert_eq!(recovered.messages, 1);
    world.scan(&mut store);
    let due = store.due(world.now, 10);
    assert_eq!(store.load(due[0].key).unwrap().unwrap().done, [true, false, true]);
    world.pass(&mut store, 2);
    drop(store);
    // They are in the file now, for whoever reads it next.
    let file = crate::file::read(Arc::new(std::fs::read(&path).unwrap())).unwrap();
    assert_eq!(file.marks.iter().map(|mark| mark.done).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn a_segment_whose_report_tells_of_a_file_stays_until_the_file_is_marked() {
    let mut world = World::new("store-told-freed");
    let disk = crate::testing::Stubborn::new(&world.dir);
    let broken = disk.broken.clone();
    let (mut store, _) = world.store_on(Arc::new(disk));
    let (key, path) = spilled(&mut world, &mut store, 2);
    broken.store(true, Ordering::Relaxed);
    report_on(&mut store, key, &[outcome(0, Status::Bounced)], world.now);
    assert!(world.reports.lock().unwrap().iter().any(|r| r.contains("broken on purpose")));
    assert_eq!(store.load(key).unwrap().unwrap().done, [true, false]);
    world.pass(&mut store, 2);
    assert!(store.marks.durable(u64::MAX).is_some_and(|position| position < store.log.position()));
    broken.store(false, Ordering::Relaxed);
    world.pass(&mut store, 3);
    assert_eq!(store.marks.durable(u64::MAX), Some(u64::MAX));
    let file = crate::file::read(Arc::new(std::fs::read(&path).unwrap())).unwrap();
    assert_eq!(file.marks.iter().map(|mark| mark.done).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_message_in_flight_at_three_crashes_goes_to_hold() {
    let mut world = World::new("store-crashes");
    let mut committer = world.committer();
    let key = world.send(&mut committer, 1, b"Subject: poison\r\n\r\n");
    for crashes in 0..3 {
        let (mut store, _) = world.store();
        let news = world.news(&mut store);
        assert_eq!(news[0].crashes, crashes);
        store.record(Record::Attempt { key });
        world.pass(&mut store, 1);
    }
    let (mut store, _) = world.store();
    assert!(world.news(&mut store).is_empty());
    assert_eq!(store.list()[0].place, Place::Hold);
    assert!(world.reports.lock().unwrap().iter().any(|r| r.contains("in delivery at 3 crashes")));
    world.pass(&mut store, 70);
    let held = world.files("hold");
    assert_eq!(held.len(), 1);
    let log = store.hashing.path("defer", &QueueId::parse(&held[0]).unwrap());
    let reasons = crate::report_log::read(&*world.disk(), &log).unwrap();
    assert_eq!(reasons[0].reason, "in delivery at 3 crashes in a row");
}

#[test]
fn a_queue_file_in_flight_at_three_crashes_goes_to_hold_with_the_reason() {
    let mut world = World::new("store-file-crashes");
    let (mut store, _) = world.store();
    let (mut key, path) = spilled(&mut world, &mut store, 2);
    for _ in 0..3 {
        store.record(Record::Attempt { key });
        world.pass(&mut store, 1);
        drop(store);
        store = world.store().0;
        world.scan(&mut store);
        key = store.list()[0].key;
        store.due(world.now, 10);
    }
    world.pass(&mut store, 1);
    assert_eq!(store.list()[0].place, Place::Hold);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(world.files("hold"), [name]);
    let log = store.hashing.path("defer", &QueueId::parse(name).unwrap());
    let reasons = crate::report_log::read(&*world.disk(), &log).unwrap();
    assert_eq!(reasons.len(), 2);
    assert_eq!(reasons[1].reason, "in delivery at 3 crashes in a row");
}

#[test]
fn damage_in_the_middle_is_saved_and_the_rest_is_delivered() {
    let world = World::new("store-damage");
    let mut committer = world.committer();
    let keys: Vec<_> =
        (0..3).map(|n| world.send(&mut committer, 1, format!("Subject: {n}\r\n\r\n").as_bytes())).collect();
    drop(committer);
    let path = world.dir.join(keys[1].segment.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[keys[1].index as usize * 8 + 60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (mut store, recovered) = world.store();
    assert_eq!((recovered.messages, recovered.damaged), (2, 1));
    let found: Vec<_> = store.poll_new(world.now).unwrap().iter().map(|m| m.key).collect();
    assert_eq!(found, [keys[0], keys[2]]);
    let range = format!("{}-{}", keys[1].index * 8, keys[2].index * 8);
    assert!(world.files("corrupt")[0].ends_with(&range));
    let report = world.reports.lock().unwrap()[0].clone();
    assert!(report.contains(&format!("bytes {} to {}", keys[1].index * 8, keys[2].index * 8)), "{report}");
}

#[test]
fn a_segment_of_done_messages_is_used_again() {
    let mut world = World::new("store-recycle");
    let mut committer = world.committer();
    let (mut store, _) = world.store();
    let mut segments_seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let key = world.send(&mut committer, 1, &[b'r'; 100_000]);
        segments_seen.insert(key.segment);
        world.news(&mut store);
        store.record(Record::Outcome { key, outcome: outcome(0, Status::Sent) });
        world.pass(&mut store, 1);
    }
    assert!(segments_seen.len() >= 5);
    assert!(world.files("journal").len() <= 6, "{:?}", world.files("journal"));
}

#[test]
fn the_modes_that_postfixs_commands_set_are_followed() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new("store-modes");
    let (mut store, _) = world.store();
    let (key, path) = spilled(&mut world, &mut store, 1);
    store.record(Record::Retry { key, at: world.now.after(Duration::from_secs(3600)) });
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    world.pass(&mut store, 70);
    world.pass(&mut store, 2);
    let due = store.due(world.now, 10);
    assert_eq!((due[0].key, due[0].retry_at), (key, Timestamp::from_secs(0)));
    assert!(store.load(key).unwrap().unwrap().envelope.force_expire);
    // Asked for once; that the message is given up stays so.
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o710);
}
