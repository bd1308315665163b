//! The local role is killed during deliveries, into an mbox, a Maildir, a command, and onward: at random points, and in
//! front of each call that changes something.
//!
//! `CRASH_ROUNDS` sets how many kills (12 where it is not set, 500 for a thorough run), `CRASH_SEED` when they come.

use crash::{Acked, Instance, Load, Options, Rng, Role, Sink};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Large enough that writing an entry takes many calls, of which a kill may hit any.
const BODY: usize = 150_000;

/// The pause of a client between two messages: a run of many kills must not fill the disk.
fn pause(rounds: u64) -> Duration {
    Duration::from_millis(60 * rounds.div_ceil(100))
}

#[test]
fn a_kill_of_the_local_role_loses_no_message_and_leaves_no_half_one() {
    let rounds = number("CRASH_ROUNDS", 12);
    let mut rng = Rng::new(number("CRASH_SEED", 77));
    let sink = Sink::start().unwrap();
    let boxes = std::env::temp_dir().join(format!("posthaste-local-boxes-{}", std::process::id()));
    drop(fs::remove_dir_all(&boxes));
    fs::create_dir(&boxes).unwrap();
    fs::set_permissions(&boxes, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let all = format!(
        "{0}/mbox, {0}/Maildir/, \"|f=$(mktemp {0}/.command.XXXXXXXX); cat >$f && mv $f {0}/command.${{f##*.}}\", x@far.test",
        boxes.display()
    );
    let aliases = boxes.join("aliases");
    fs::write(&aliases, format!("/^r[0-9]+$/ {}\n", all.replace('$', "$$"))).unwrap();
    let main_cf = format!(
        "mydestination = example.org\nlocal_recipient_maps =\nalias_maps = regexp:{}\nmailbox_size_limit = 0\n\
         message_size_limit = 0\ndeliver_lock_delay = 1s\nlocal_destination_concurrency_limit = 4\nservice_throttle_time = 1s\nstale_lock_time = 2s\n",
        aliases.display()
    );
    let options = Options { relay_port: sink.port, main_cf, ..Options::default() };
    let mut instance = Instance::start("local", options).unwrap();
    let load = Load::start(instance.port, 2, BODY, pause(rounds));

    let has_strace = Command::new("strace").arg("-V").output().is_ok();
    assert!(has_strace || std::env::var_os("CI").is_none(), "strace is missing: ./test installs it");
    let mut kills = 0;
    for round in 0..rounds {
        // Master lets a role wait that ends again and again; what is there meanwhile may be a command of the one before.
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let found = instance.pid(Role::Local);
            std::thread::sleep(Duration::from_millis(100 + rng.below(300)));
            if found.is_some() && instance.pid(Role::Local) == found || Instant::now() > end {
                break;
            }
        }
        let killed = match has_strace && round % 2 == 1 {
            true => kill_at_call(&instance, 1 + round / 2 % CALLS_MAX),
            false => instance.kill(Role::Local).map(|_| true),
        };
        let killed = killed.unwrap_or_else(|e| panic!("round {round}: {e}\n{}", instance.output()));
        kills += u64::from(killed);
    }
    let acked = load.finish();
    assert!(acked.len() as u64 >= rounds, "the load hardly ran: {} messages", acked.len());

    let missing = wait_until_all_are_there(&acked, &boxes, &sink);
    assert!(missing.is_empty(), "lost: {missing:?}\n{}", instance.output());
    instance.stop().unwrap();
    let whole = check_mbox(&boxes.join("mbox"));
    for file in files(&boxes.join("Maildir/new")) {
        assert!(is_whole(&fs::read_to_string(&file).unwrap()), "{} is half a message", file.display());
    }
    println!("{kills} kills in {rounds} rounds, {} acknowledged, {whole} entries in the mbox", acked.len());
    fs::remove_dir_all(&boxes).unwrap();
}

/// Calls that change files or tell somebody; those that only look make no difference to a kill.
const CALLS: &str = "openat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,syncfs,ftruncate,fchmod,fchown,\
                     mkdir,mkdirat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,clone,clone3,vfork";

/// So many of them a thread makes in one delivery.
const CALLS_MAX: u64 = 12;

/// How long a thread is given to make them; where none does, this kill is left out.
const CALLS_PATIENCE: Duration = Duration::from_secs(10);

/// Lets the local role be killed as one of its threads, or a command of it, enters its `number`th call from now; false
/// where that did not come to pass.
fn kill_at_call(instance: &Instance, number: u64) -> std::io::Result<bool> {
    let pid = instance.pid(Role::Local).ok_or_else(|| std::io::Error::other("it does not run"))?;
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
        .args(["-e", &format!("inject={CALLS}:signal=KILL:when={number}"), "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    let end = Instant::now() + CALLS_PATIENCE;
    while instance.pid(Role::Local) == Some(pid) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let is_gone = instance.pid(Role::Local) != Some(pid);
    strace.kill()?;
    strace.wait()?;
    Ok(is_gone)
}

/// Waits until each message is in every place; the first ones that are not when two minutes passed without a new one.
fn wait_until_all_are_there(acked: &[Acked], boxes: &Path, sink: &Sink) -> Vec<(&'static str, u64)> {
    let mut last = (Instant::now(), 0);
    loop {
        let in_mbox = ids(&fs::read_to_string(boxes.join("mbox")).unwrap_or_default());
        let in_files =
            |files: Vec<PathBuf>| -> HashSet<u64> { files.iter().flat_map(|f| ids(&head(f))).collect() };
        let in_maildir = in_files(files(&boxes.join("Maildir/new")));
        let is_command =
            |f: &PathBuf| f.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"command."));
        let by_command = in_files(files(boxes).into_iter().filter(is_command).collect());
        let onward: HashSet<u64> = sink.deliveries().iter().map(|d| d.id).collect();
        let places =
            [("mbox", &in_mbox), ("Maildir", &in_maildir), ("command", &by_command), ("onward", &onward)];
        let missing: Vec<_> = places
            .iter()
            .flat_map(|(name, seen)| acked.iter().filter(|a| !seen.contains(&a.id)).map(|a| (*name, a.id)))
            .collect();
        if missing.is_empty() {
            return missing;
        }
        let count = places.iter().map(|(_, seen)| seen.len()).sum();
        if count != last.1 {
            last = (Instant::now(), count);
        }
        if last.0.elapsed() > Duration::from_secs(120) {
            return missing;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Each entry begins with its `From_` line and holds one whole message; gives how many there are.
fn check_mbox(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("the mbox can be read");
    assert!(text.starts_with("From ") && text.ends_with("\n\n"), "the mbox is cut off");
    let entries: Vec<&str> = text.split("\n\nFrom ").collect();
    for entry in &entries {
        assert_eq!(ids(entry).len(), 1, "an entry holds another");
        assert!(is_whole(entry.trim_end()), "half an entry: …{}", &entry[entry.len().saturating_sub(90)..]);
    }
    entries.len()
}

/// The whole body of a message of the load.
fn is_whole(message: &str) -> bool {
    let body = message.split_once("\n\n").map_or("", |(_, body)| body);
    let filler = body.lines().filter(|line| line.len() == 70 && line.bytes().all(|b| b == b'x')).count();
    // Its header counts to the size that the load makes.
    filler * 72 + 200 >= BODY
}

fn ids(text: &str) -> HashSet<u64> {
    text.lines().filter_map(|l| l.strip_prefix("X-Crash-Id: ")?.parse().ok()).collect()
}

fn head(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect()
}
