//! Each process is killed at random points under load; every acknowledged message arrives.
//!
//! `CRASH_ROUNDS` sets how many kills (40 where it is not set), `CRASH_SEED` the order of roles.

use crash::{Instance, Load, Options, Rng, Role, Sink, judge};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn a_kill_of_any_process_loses_nothing_and_repeats_only_what_was_in_flight() {
    let rounds = number("CRASH_ROUNDS", 40);
    let seed = number("CRASH_SEED", 20_261);
    let mut rng = Rng::new(seed);
    let sink = Sink::start().unwrap();
    let mut instance =
        Instance::start("kill", Options { relay_port: sink.port, ..Options::default() }).unwrap();
    let load = Load::start(instance.port, 8, 900, Duration::from_millis(2));

    let mut kills = Vec::new();
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(50 + rng.below(400)));
        let role =
            [Role::Smtpd, Role::Qmgr, Role::Smtpd, Role::Qmgr, Role::Local, Role::Control, Role::Master]
                [rng.below(7) as usize];
        let old = instance.pid(role);
        let at = instance.kill(role).unwrap_or_else(|e| panic!("round {round}: {e}\n{}", instance.output()));
        if matches!(role, Role::Qmgr | Role::Master) {
            kills.push(at);
        }
        if role == Role::Master {
            instance.start_master().unwrap();
        } else {
            instance.wait_for_restart(role, old.unwrap_or(0)).unwrap();
        }
    }
    let acked = load.finish();
    assert!(acked.len() as u64 > rounds, "the load hardly ran: {} messages", acked.len());

    // Everything that was acknowledged drains; a stall of 150 s is a loss: what is released from hold is met by the look at
    // the directories, which comes each minute.
    let mut last = (Instant::now(), sink.count());
    let mut released = 0;
    let verdict = loop {
        let verdict = judge(&acked, &sink.deliveries(), &kills);
        if verdict.lost.is_empty() {
            break verdict;
        }
        if sink.count() != last.1 {
            last = (Instant::now(), sink.count());
        }
        if last.0.elapsed() > Duration::from_secs(150) {
            break verdict;
        }
        released += release(&instance.dir.join("spool")).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    };
    // A message that is delivered twice would be delivered again soon.
    std::thread::sleep(Duration::from_secs(3));
    let mut verdict =
        if verdict.lost.is_empty() { judge(&acked, &sink.deliveries(), &kills) } else { verdict };
    let log = std::fs::read_to_string(instance.dir.join("mail.log")).unwrap();
    verdict.excuse_unread(&sink.deliveries(), &log);
    println!(
        "seed {seed}: {rounds} kills, {} acknowledged, {released} released from hold, {} delivered, {} repeated in flight",
        acked.len(),
        sink.count(),
        verdict.in_flight
    );
    assert!(verdict.lost.is_empty(), "lost: {:?}\n{}", verdict.lost, instance.output());
    assert!(
        verdict.repeated.is_empty(),
        "repeated without cause: {:?}\n{}",
        verdict.repeated,
        instance.output()
    );
}

/// Releases as an administrator does what is on hold because it was in delivery at three crashes in a row; how many.
fn release(spool: &Path) -> std::io::Result<usize> {
    let held: Vec<_> = std::fs::read_dir(spool.join("hold"))?.collect::<Result<_, _>>()?;
    for file in &held {
        let name = file.file_name().into_string().unwrap_or_default();
        let into = spool.join("deferred").join(name.get(..1).unwrap_or_default());
        std::fs::create_dir_all(&into)?;
        let owner = file.metadata()?;
        std::os::unix::fs::chown(&into, Some(owner.uid()), Some(owner.gid()))?;
        std::fs::rename(file.path(), into.join(&name))?;
    }
    Ok(held.len())
}

#[test]
fn held_mail_is_released_into_the_deferred_queue() {
    let spool = std::env::temp_dir().join(format!("posthaste-release-{}", std::process::id()));
    std::fs::create_dir_all(spool.join("hold")).unwrap();
    std::fs::write(spool.join("hold/A1C7C127001A6"), "").unwrap();
    assert_eq!(release(&spool).unwrap(), 1);
    assert!(spool.join("deferred/A/A1C7C127001A6").is_file());
    std::fs::remove_dir_all(&spool).unwrap();
}
