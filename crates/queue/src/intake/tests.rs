//! Intake on the real file system.

use super::*;
use crate::journal::{DATA_START, Found, Header, MessageHead, Role, Seal, Walk};
use crate::testing::{TestDir, dir};
use crate::{Notice, RealDisk};
use bytes::Bytes;
use mail::Address;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

fn open(dir: &Path, notices: Arc<Mutex<Vec<Notice>>>) -> Intake {
    let mut settings = IntakeSettings::new(Role::Smtpd);
    settings.segment_bytes = 1 << 20;
    let hooks = Hooks { notice: Box::new(move |n| lock(&notices).push(n)), ..Hooks::none() };
    Intake::open(settings, Arc::new(RealDisk::new(dir).unwrap()), hooks).unwrap()
}

fn message(intake: &Intake, body: &[u8]) -> (Draft, Envelope) {
    let mut draft = intake.draft(intake.new_id(now()));
    draft.append(Bytes::copy_from_slice(body)).unwrap();
    let mut envelope = Envelope::new(Address::from("ann@example.org"), now());
    envelope.recipients.push(mail::Recipient::new(Address::from("bob@example.net")));
    (draft, envelope)
}

/// Ids and contents of all messages in all segments.
fn messages(dir: &TestDir) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "seg") {
            let bytes = std::fs::read(path).unwrap();
            let header = Header::decode(&bytes).unwrap();
            let seal = Seal::new(header.id, header.secret);
            for found_here in Walk::new(seal, &bytes[DATA_START as usize..], DATA_START) {
                let Found::Record(record) = found_here else { panic!("{found_here:?}") };
                let (head, envelope) = MessageHead::decode(record.payload).unwrap();
                let content = &record.payload[envelope + head.envelope_bytes as usize..];
                found.push((head.id.to_string(), content.to_vec()));
            }
        }
    }
    found.sort();
    found
}

struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark(std::thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(unpark);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn a_committed_message_lies_in_the_journal_and_a_notice_covers_it() {
    let dir = dir("intake");
    let notices = Arc::new(Mutex::new(Vec::new()));
    let intake = open(&dir, notices.clone());
    let mut expected = Vec::new();
    for n in 0..20 {
        let body = format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n * 37));
        let (draft, envelope) = message(&intake, body.as_bytes());
        let committed = block_on(intake.commit(draft, envelope, ContentFlags::default())).unwrap();
        let last = *lock(&notices).last().unwrap();
        assert_eq!(last.segment, committed.key().segment);
        assert!(last.durable > committed.key().index * 8);
        expected.push((committed.queue_id().to_string(), body.into_bytes()));
    }
    intake.close();
    expected.sort();
    assert_eq!(messages(&dir), expected);
    assert_eq!(lock(&notices).len(), 21, "one for the fresh segment and one a group");
}

#[test]
fn full_segments_are_followed_by_others_and_ids_never_repeat() {
    let dir = dir("intake-roll");
    let intake = open(&dir, Arc::default());
    let mut ids = std::collections::HashSet::new();
    for _ in 0..40 {
        let (draft, envelope) = message(&intake, &[b'z'; 100_000]);
        let committed = intake.commit_blocking(draft, envelope, ContentFlags::default()).unwrap();
        assert!(ids.insert(committed.queue_id().as_str()[5..].to_owned()));
    }
    intake.close();
    assert_eq!(messages(&dir).len(), 40);
    let again = open(&dir, Arc::default());
    assert!(ids.insert(again.new_id(now()).as_str()[5..].to_owned()));
    again.close();
}

#[test]
fn a_large_message_becomes_a_queue_file_that_its_record_names() {
    let dir = dir("intake-large");
    let intake = open(&dir, Arc::default());
    let line = [&[b'l'; 98][..], b"\r\n"].concat();
    let mut draft = intake.draft(intake.new_id(now()));
    for _ in 0..10_000 {
        draft.append(Bytes::from(line.clone())).unwrap();
    }
    let (_, envelope) = message(&intake, b"");
    let committed = intake.commit_blocking(draft, envelope.clone(), ContentFlags::default()).unwrap();
    intake.close();
    let path = dir.join("journal/large").join(committed.queue_id().as_str());
    let file = crate::file::read(Arc::new(std::fs::File::open(path).unwrap())).unwrap();
    assert_eq!(file.content.to_vec().unwrap(), line.repeat(10_000));
    assert_eq!(file.envelope.recipients, envelope.recipients);
    assert_eq!(messages(&dir), [(committed.queue_id().to_string(), Vec::new())]);
}

/// Many sessions of one loop: all are answered although the commit thread wakes only one of them a group, and
/// although some of them go away while they wait.
#[test]
fn one_wake_a_group_answers_all_sessions_of_a_loop() {
    let dir = dir("intake-wakes");
    let groups = Arc::new(Mutex::new(Vec::new()));
    let intake = open(&dir, groups.clone());
    let outer = Arc::new(Unpark(std::thread::current(), AtomicUsize::new(0)));
    struct Task {
        future: Option<Pin<Box<CommitFuture>>>,
        woken: Arc<Flag>,
    }
    struct Flag(AtomicBool, Thread, std::thread::ThreadId, Arc<Unpark>);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            if std::thread::current().id() != self.2 {
                self.3.1.fetch_add(1, Ordering::SeqCst);
                self.1.unpark();
            }
        }
    }
    let here = std::thread::current();
    let mut tasks = Vec::new();
    for _ in 0..200 {
        let (draft, envelope) = message(&intake, b"Subject: x\r\n\r\n");
        let future = Some(Box::pin(intake.commit(draft, envelope, ContentFlags::default())));
        let woken = Arc::new(Flag(AtomicBool::new(true), here.clone(), here.id(), outer.clone()));
        tasks.push(Task { future, woken });
    }
    let mut turn = 0;
    while tasks.iter().any(|t| t.future.is_some()) {
        turn += 1;
        for (n, task) in tasks.iter_mut().enumerate() {
            if !task.woken.0.swap(false, Ordering::SeqCst) {
                continue;
            }
            let Some(future) = &mut task.future else { continue };
            // Every seventh session vanishes, some while they are the one to be woken.
            let vanishes = n % 7 == 3 && turn > n % 3;
            let waker = Waker::from(task.woken.clone());
            let ready = future.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(answer) = &ready {
                assert!(answer.is_ok());
            }
            if ready.is_ready() || vanishes {
                task.future = None;
            }
        }
        let sleeps = |t: &Task| t.future.is_none() || !t.woken.0.load(Ordering::SeqCst);
        if tasks.iter().any(|t| t.future.is_some()) && tasks.iter().all(sleeps) {
            std::thread::park_timeout(std::time::Duration::from_secs(5));
        }
        assert!(turn < 1000, "sessions wait for answers that came");
    }
    intake.close();
    let wakes = outer.1.load(Ordering::SeqCst);
    assert!(wakes <= lock(&groups).len(), "{wakes} wakes for {} groups", lock(&groups).len());
    assert_eq!(messages(&dir).len(), 200, "a message goes in also when its session is gone");
}

#[test]
fn the_backlog_is_what_came_while_the_disk_was_busy() {
    let dir = dir("intake");
    let gate = Arc::new(Mutex::new(()));
    let busy = gate.clone();
    let hooks = Hooks { flush_log: Box::new(move || drop(lock(&busy))), ..Hooks::none() };
    let disk = Arc::new(RealDisk::new(&dir).unwrap());
    let intake = Intake::open(IntakeSettings::new(Role::Smtpd), disk, hooks).unwrap();
    assert_eq!(intake.backlog(), (0, COMMIT_BACKLOG));
    let shut = lock(&gate);
    let commit = |_| {
        let (draft, envelope) = message(&intake, b"x\r\n");
        intake.commit(draft, envelope, ContentFlags::default())
    };
    let first = commit(0);
    // The thread takes it, and then cannot go on.
    while intake.backlog().0 > 0 {
        std::thread::yield_now();
    }
    let others: Vec<_> = (0..3).map(commit).collect();
    assert_eq!(intake.backlog().0, 3);
    drop(shut);
    assert!(block_on(first).is_ok());
    others.into_iter().for_each(|other| assert!(block_on(other).is_ok()));
    assert_eq!(intake.backlog().0, 0);
    intake.close();
}
