//! The agent and the role together, over a socket, into mailboxes of the caller.

use super::*;
use crate::DeliveryAgent as _;
use crate::agents::testjob::{Seen, assignment};
use crate::agents::virtual_::VirtualAgent;
use crate::report::ReportStyle;
use mail::Status;
use observe::{Numbers, NumbersRange, Tag};
use std::fs;
use std::path::{Path, PathBuf};
use tables::Maps;

const MAPS: &str = "inline:{ {ann@a.example = ann/}, {bob@a.example = bob}, {deep@a.example = x/y/deep/}, \
    {dir@a.example = dir}, {low@a.example = low}, {@b.example = all/} }";
const UIDS: &str = "inline:{ {low@a.example = 5}, {@a.example = 5000}, {@b.example = 5000} }";

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("delivery-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(base: &Path) -> Settings {
    let maps = |spec: &str| Maps::open(&[spec.to_string()], &tables::Settings::default()).unwrap();
    Settings {
        mailbox_maps: maps(MAPS),
        uid_maps: maps(UIDS),
        gid_maps: maps("static:5000"),
        mailbox_base: base.to_str().unwrap().into(),
        minimum_uid: 100,
        writing: Arc::new(writing()),
        recipient_delimiter: "+".into(),
        original_recipient: true,
    }
}

fn writing() -> Writing {
    Writing {
        hostname: "mail.example.com".into(),
        size_max: 0,
        locking: Locking {
            dotlock: true,
            fcntl: true,
            flock: false,
            attempts: 3,
            delay: Duration::from_millis(20),
            stale: Duration::from_secs(500),
        },
        strict_ownership: true,
        as_caller: true,
    }
}

/// Delivers one message through socket and role; gives status, code and reason of each recipient.
fn deliver(settings: Settings, recipients: &[&str]) -> Vec<(Status, String, String)> {
    deliver_all(settings, &[recipients]).remove(0)
}

fn deliver_all(settings: Settings, jobs: &[&[&str]]) -> Vec<Vec<(Status, String, String)>> {
    let base = PathBuf::from(&settings.mailbox_base);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let socket = base.join("socket");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (_settings, receiver) =
            watch::channel(Arc::new(Services::one("test", Service::Virtual(Arc::new(settings)))));
        let (trigger, shutdown) = Shutdown::new();
        let spawner = Spawner::default();
        let inputs = Inputs { listener, settings: receiver, spawner, workers: 4, shutdown };
        let role = tokio::task::spawn_local(run(inputs));
        let numbers = Numbers::new(NumbersRange::of_slot(0));
        let tag = Tag::new("postfix", "virtual", 1);
        let agent = VirtualAgent::start(socket, tag, numbers, ReportStyle::default());
        let seen: Vec<_> = jobs.iter().map(|_| Seen::new()).collect();
        for (n, (recipients, seen)) in jobs.iter().zip(&seen).enumerate() {
            let mut assignment = assignment("a.example", recipients, seen);
            assignment.job.id = mail::JobId(n as u64);
            agent.accept(assignment);
        }
        let all = async {
            while seen.iter().any(|s| s.done().is_empty()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("answers come");
        trigger.request();
        role.await.unwrap().unwrap();
        let outcome = |o: mail::Outcome| (o.status, o.dsn.to_string(), o.reason);
        seen.iter().map(|s| s.outcomes().into_iter().map(outcome).collect()).collect()
    })
}

fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_maildir_is_made_and_filled() {
    let dir = Scratch::new("maildir");
    let outcomes = deliver(settings(&dir.0), &["Ann+list@A.example", "deep@a.example", "any@b.example"]);
    for outcome in &outcomes {
        assert_eq!(*outcome, (Status::Sent, "2.0.0".into(), "delivered to maildir".into()));
    }
    let file = only_file(&dir.0.join("ann/new"));
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        text,
        "Return-Path: <s@x.example>\nX-Original-To: Ann+list@A.example\nDelivered-To: Ann+list@A.example\n\
         Subject: x\n\nFrom here\nto there\n"
    );
    let name = file.file_name().unwrap().to_str().unwrap();
    let (time, rest) = name.split_once(".V").unwrap();
    assert!(
        time.parse::<u64>().is_ok() && rest.contains('I') && rest.ends_with(".mail.example.com"),
        "{name}"
    );
    assert_eq!(fs::read_dir(dir.0.join("ann/tmp")).unwrap().count(), 0);
    assert!(
        dir.0.join("ann/cur").is_dir()
            && dir.0.join("x/y/deep/new").is_dir()
            && dir.0.join("all/new").is_dir()
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.0.join("ann")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn entries_of_an_mbox_follow_each_other_whole() {
    let dir = Scratch::new("mbox");
    let job: &[&str] = &["bob@a.example"];
    for outcomes in deliver_all(settings(&dir.0), &[job; 30]) {
        assert_eq!(outcomes, [(Status::Sent, "2.0.0".into(), "delivered to mailbox".into())]);
    }
    let text = fs::read_to_string(dir.0.join("bob")).unwrap();
    let entries: Vec<&str> = text.split_inclusive("\n\nFrom s@x.example  ").collect();
    assert_eq!(entries.len(), 30);
    let tail = "\nReturn-Path: <s@x.example>\nX-Original-To: bob@a.example\nDelivered-To: bob@a.example\n\
                Subject: x\n\n>From here\nto there\n\n";
    assert!(text.starts_with("From s@x.example  ") && text.ends_with(tail), "{text}");
    assert!(!dir.0.join("bob.lock").exists());
}

#[test]
fn a_mailbox_that_another_program_has_locked_is_tried_again_then_deferred() {
    let dir = Scratch::new("locked");
    fs::write(dir.0.join("bob.lock"), "").unwrap();
    let outcomes = deliver(settings(&dir.0), &["bob@a.example", "ann@a.example"]);
    let lock = dir.0.join("bob.lock");
    let reason = format!(
        "delivery failed to mailbox {}: unable to create lock file {}: File exists",
        dir.0.join("bob").display(),
        lock.display()
    );
    assert_eq!(outcomes[0], (Status::Deferred, "4.2.0".into(), reason));
    assert_eq!(outcomes[1].0, Status::Sent);
    assert!(lock.exists(), "another's lock stays");

    // A clock of whole seconds tells that the lock is old.
    let locking = Locking { stale: Duration::ZERO, attempts: 300, ..writing().locking };
    let impatient = Writing { locking, ..writing() };
    let impatient = Settings { writing: Arc::new(impatient), ..settings(&dir.0) };
    assert_eq!(deliver(impatient, &["bob@a.example"])[0].0, Status::Sent);
    assert!(!lock.exists(), "a stale lock is taken over");
}

#[test]
fn a_full_mailbox_bounces_and_stays_as_it_was() {
    let dir = Scratch::new("full");
    fs::write(dir.0.join("bob"), vec![b'x'; 1000]).unwrap();
    let limited = Settings { writing: Arc::new(Writing { size_max: 1100, ..writing() }), ..settings(&dir.0) };
    let outcomes = deliver(limited, &["bob@a.example"]);
    let reason = format!(
        "delivery failed to mailbox {}: error writing message: File too large",
        dir.0.join("bob").display()
    );
    assert_eq!(outcomes[0], (Status::Bounced, "5.2.2".into(), reason));
    assert_eq!(fs::metadata(dir.0.join("bob")).unwrap().len(), 1000);
}

#[test]
fn unknown_users_bounce_and_bad_ids_and_directories_defer() {
    let dir = Scratch::new("wrong");
    fs::create_dir(dir.0.join("dir")).unwrap();
    let outcomes = deliver(settings(&dir.0), &["Who@a.example", "low@a.example", "dir@a.example"]);
    assert_eq!(outcomes[0], (Status::Bounced, "5.1.1".into(), "unknown user: \"who@a.example\"".into()));
    assert_eq!(outcomes[1], (Status::Deferred, "4.3.5".into(), "mail system configuration error".into()));
    let reason = format!(
        "delivery failed to mailbox {}: cannot open file: Is a directory",
        dir.0.join("dir").display()
    );
    assert_eq!(outcomes[2], (Status::Deferred, "4.2.0".into(), reason));
}

#[test]
fn a_mailbox_is_written_with_its_owners_rights() {
    use std::os::unix::fs::MetadataExt as _;
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let dir = Scratch::new("rights");
    rustix::fs::chown(&dir.0, Some(rustix::fs::Uid::from_raw(5000)), Some(rustix::fs::Gid::from_raw(5000)))
        .unwrap();
    fs::create_dir(dir.0.join("x")).unwrap();
    let as_owner = Writing { as_caller: false, ..writing() };
    let as_owner = Settings { writing: Arc::new(as_owner), ..settings(&dir.0) };
    let outcomes = deliver(as_owner, &["ann@a.example", "bob@a.example", "deep@a.example"]);
    assert_eq!((outcomes[0].0, outcomes[1].0), (Status::Sent, Status::Sent));
    for path in [only_file(&dir.0.join("ann/new")), dir.0.join("ann"), dir.0.join("bob")] {
        let stat = fs::metadata(&path).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (5000, 5000), "{path:?}");
    }
    assert!(outcomes[2].2.contains("Permission denied"), "x belongs to root: {:?}", outcomes[2]);
}

#[test]
fn half_an_entry_of_a_process_that_was_killed_is_cut_off_before_the_next() {
    let dir = Scratch::new("half");
    let mut killed = std::process::Command::new("/bin/true").spawn().unwrap();
    killed.wait().unwrap();
    let whole = "From a@x.example  Sun Nov 22 16:30:15 2026\nSubject: one\n\nbody\n\n";
    let half = "From b@x.example  Sun Nov 22 16:30:16 2026\nSubject: tw";
    let note = format!("posthaste mail.example.com {} {:>20}\n", killed.id(), whole.len());
    fs::write(dir.0.join("bob"), format!("{whole}{half}")).unwrap();
    fs::write(dir.0.join("bob.lock"), &note).unwrap();
    assert_eq!(deliver(settings(&dir.0), &["bob@a.example"])[0].0, Status::Sent);
    let text = fs::read_to_string(dir.0.join("bob")).unwrap();
    assert!(
        text.starts_with(&format!("{whole}From s@x.example  ")) && !text.contains("Subject: tw"),
        "{text}"
    );
    assert!(!dir.0.join("bob.lock").exists());

    // What another program put in place of it meanwhile stays.
    let other = format!("{whole}no entry of ours\n");
    fs::write(dir.0.join("bob"), &other).unwrap();
    fs::write(dir.0.join("bob.lock"), &note).unwrap();
    assert_eq!(deliver(settings(&dir.0), &["bob@a.example"])[0].0, Status::Sent);
    assert!(fs::read_to_string(dir.0.join("bob")).unwrap().starts_with(&other));
}
