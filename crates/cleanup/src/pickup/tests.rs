//! Tests of pickup on a queue directory of its own.

use super::*;
use queue::record::put;
use queue::{Hooks, IntakeSettings, RealDisk, Role};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

struct World {
    root: PathBuf,
    inputs: PickupInputs,
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_795_365_207)
}

impl World {
    fn new(name: &str) -> World {
        let root = std::env::temp_dir().join(format!("pickup-{name}-{}", std::process::id()));
        for dir in ["maildrop", "corrupt", "journal"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&root).unwrap());
        let settings = IntakeSettings { segment_bytes: 1 << 20, ..IntakeSettings::new(Role::Smtpd) };
        let intake = Intake::open(settings, disk.clone(), Hooks::none()).unwrap();
        let cleanup = Settings {
            myhostname: "mail.example.com".into(),
            mail_name: "Postfix".into(),
            hopcount_limit: 3,
            always_add_missing_headers: false,
            undisclosed_recipients_header: String::new(),
            message_drop_headers: vec!["bcc".into()],
            obsolete_from_format: false,
            mapper: rewrite::Mapper::of_rules(rewrite::Rules {
                origin: Some("example.com".into()),
                parent: None,
                swap_bangpath: true,
                allow_percent_hack: true,
            }),
            replace_stray_cr: true,
            checks: Arc::default(),
        };
        let inputs = PickupInputs {
            intake,
            disk,
            look: |_| Ok(Look { uid: 1000, is_regular: true, links: 1 }),
            settings: cleanup.into(),
            tables: rewrite::Tables::Asked,
            checks_content: true,
            content_filter: String::new(),
            delay_warning_time: Duration::ZERO,
            empty_recipient: Address::from("MAILER-DAEMON"),
            detects_smtputf8: true,
            tag: Tag::new("postfix", "pickup", 1),
            cleanup_tag: Tag::new("postfix", "cleanup", 1),
        };
        World { root, inputs }
    }

    fn submit(&self, name: &str, mode: u32, records: &[(u8, &str)]) {
        let mut file = Vec::new();
        records.iter().for_each(|(kind, data)| put(&mut file, *kind, data.as_bytes()));
        let path = self.root.join("maildrop").join(name);
        std::fs::write(&path, file).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(dir)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn journal(&self) -> String {
        let read = |name: String| std::fs::read(self.root.join("journal").join(name)).unwrap_or_default();
        let bytes: Vec<u8> = self.names("journal").into_iter().flat_map(read).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.inputs.intake.close();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

const MESSAGE: [(u8, &str); 10] = [
    (b'T', "1795365200 42"),
    (b'A', "rewrite_context=local"),
    (b'F', "Ann"),
    (b'S', "ann"),
    (b'R', "bob"),
    (b'M', ""),
    (b'N', "Subject: picked up"),
    (b'X', ""),
    (b'R', "Bob"),
    (b'E', ""),
];

#[test]
fn a_submission_is_committed_and_then_removed() {
    let world = World::new("take");
    world.submit("98D8998C008", 0o744, &MESSAGE);
    assert!(!world.inputs.step(now()));
    assert!(world.names("maildrop").is_empty() && world.names("corrupt").is_empty());
    let journal = world.journal();
    for wanted in [
        "ann@example.com",
        "bob@example.com",
        "Subject: picked up\r\n",
        "From: Ann <ann@example.com>\r\n",
        "from userid 1000",
    ] {
        assert!(journal.contains(wanted), "{wanted}");
    }
    assert!(!journal.contains("Bob@example.com"), "the same recipient in other letters");
}

#[test]
fn what_is_still_written_is_left_alone() {
    let world = World::new("partial");
    world.submit("123.456", 0o744, &MESSAGE);
    world.submit("98D8998C008", 0o600, &MESSAGE);
    world.inputs.step(now());
    assert_eq!(world.names("maildrop").len(), 2);
    assert!(!world.journal().contains("picked up"));
}

#[test]
fn what_nobody_writes_any_more_is_removed_after_a_day() {
    let world = World::new("abandoned");
    for (name, age) in [("123.456", 100_000), ("124.456", 80_000), ("123.x", 100_000), ("x.1", 100_000)] {
        world.submit(name, 0o600, &MESSAGE);
        let file = std::fs::File::options().write(true).open(world.root.join("maildrop").join(name)).unwrap();
        let modified = std::time::UNIX_EPOCH + Duration::from_secs(1_795_365_207 - age);
        file.set_modified(modified).unwrap();
    }
    world.inputs.step(now());
    let mut left = world.names("maildrop");
    left.sort();
    assert_eq!(left, ["123.x", "124.456", "x.1"]);
}

#[test]
fn what_is_no_message_is_kept_in_corrupt() {
    let world = World::new("corrupt");
    world.submit("A1", 0o744, &MESSAGE[..9]);
    world.submit("A2", 0o744, &[(b'S', "ann"), (b'M', ""), (b'X', ""), (b'E', "")]);
    let mut loops = MESSAGE.to_vec();
    loops.splice(6..6, std::iter::repeat_n((b'N', "Received: x"), 5));
    world.submit("A3", 0o744, &loops);
    world.inputs.step(now());
    let mut kept = world.names("corrupt");
    kept.sort();
    assert_eq!(kept, ["A1", "A2", "A3"]);
    assert!(world.names("maildrop").is_empty());
}

#[test]
fn what_cannot_be_read_keeps_nothing_else_waiting() {
    let mut world = World::new("unreadable");
    world.inputs.look = |path| match path.ends_with("A1") {
        true => Ok(Look { uid: 1000, is_regular: false, links: 1 }),
        false => Ok(Look { uid: 1000, is_regular: true, links: 1 }),
    };
    // Opened, the first would be waited for until somebody writes into it.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.root.join("maildrop/A1"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o744),
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.root.join("maildrop/A2")).unwrap();
    world.submit("A3", 0o744, &MESSAGE);
    world.inputs.step(now());
    let mut left = world.names("maildrop");
    left.sort();
    assert_eq!(left, ["A1", "A2"]);
    assert!(world.journal().contains("picked up"));
}

#[test]
fn the_thread_takes_what_it_is_told_of_and_ends_when_told() {
    let world = World::new("thread");
    let listener = UnixListener::bind(world.root.join("pickup")).unwrap();
    let pickup = Pickup::start(world.inputs.clone(), listener, now).unwrap();
    world.submit("98D8998C008", 0o744, &MESSAGE);
    let _trigger = UnixStream::connect(world.root.join("pickup")).unwrap();
    for _ in 0..500 {
        if world.names("maildrop").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(world.names("maildrop").is_empty());
    pickup.stop();
}
