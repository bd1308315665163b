//! Log tools read our log as they read Postfix's.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::collections::BTreeMap;

/// The figures that pflogsumm prints after 20 interleaved sessions, by name.
fn figures(program: &str, command: &str) -> BTreeMap<String, String> {
    let output = peers::in_world(program, "pflogsumm.py", &[command]);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(value, name)| (name.to_owned(), value.to_owned())).collect()
}

/// `0:01:02` in seconds.
fn seconds(time: &str) -> u32 {
    time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u32>().unwrap())
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
