//! Log tools read our log as they read Postfix's.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::collections::{BTreeMap, BTreeSet};

/// The figures that pflogsumm prints after 20 interleaved sessions, by name.
fn figures(program: &str, command: &str) -> BTreeMap<String, String> {
    let text = peers::in_world(program, "pflogsumm.py", &[command]);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(value, name)| (name.to_owned(), value.to_owned())).collect()
}

/// `0:01:02` in seconds.
fn seconds(time: &str) -> u32 {
    time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u32>().unwrap())
}

/// What the modes of fail2ban's filter find after clients misbehaved, one line a finding; and the log.
fn findings(program: &str) -> (Vec<String>, String) {
    let said = peers::in_world(program, "fail2ban.py", &[program]);
    let (found, log) = said.split_once("---\n").unwrap();
    (found.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(), log.to_owned())
}

/// The clients, by the last part of their addresses, that a mode is there for. `auth` waits for AUTH; `disconnect` lines
/// with a failed AUTH are those of `ddos`.
const MEANT: &[(&str, &[u8])] = &[
    ("normal", &[21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 37]),
    ("more", &[21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 37]),
    ("rbl", &[26]),
    ("ddos", &[32, 33, 34, 35, 50, 51, 52, 53, 54]),
    ("extra", &[21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 37]),
    ("errors", &[28, 29]),
    ("aggressive", &[21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 37, 50, 51, 52, 53, 54]),
];

#[test]
fn fail2ban_finds_in_our_log_what_it_finds_in_postfix_s() {
    if !peers::have_worlds() {
        return;
    }
    let (theirs, _) = findings("postfix");
    let (ours, log) = findings("posthaste");
    assert_eq!(ours, theirs, "{log}");
    for (mode, meant) in MEANT {
        let of_mode = ours.iter().filter_map(|line| line.strip_prefix(mode)?.strip_prefix(": 192.0.2."));
        let clients: BTreeSet<u8> =
            of_mode.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(clients, meant.iter().copied().collect(), "{mode}: {ours:#?}");
    }
}

#[test]
fn pflogsumm_joins_20_interleaved_sessions_as_with_postfix() {
    if !peers::have_worlds() {
        return;
    }
    if !peers::have("pflogsumm") {
        return;
    }
    let mut theirs = figures("postfix", "postfix");
    let mut ours = figures("posthaste", "posthaste");
    assert_eq!(theirs.get("connections").map(String::as_str), Some("20"), "{theirs:?}");
    // Sessions of three seconds each; the log's clock has whole seconds, so each may be one off.
    let time = |figures: &mut BTreeMap<String, String>| {
        let name = figures.keys().find(|name| name.starts_with("total connect time")).cloned();
        name.and_then(|name| figures.remove(&name)).map(|time| seconds(&time))
    };
    let (their_time, our_time) = (time(&mut theirs), time(&mut ours));
    assert!(their_time.is_some_and(|t| (40..=100).contains(&t)), "{their_time:?}");
    assert!(our_time.is_some_and(|t| (40..=100).contains(&t)), "{our_time:?}");
    assert_eq!(ours, theirs);
}
