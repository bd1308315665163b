//! Debian's postgrey and policyd-spf decide as they do behind Debian's Postfix.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::path::Path;
use std::process::Command;

/// What clients are told, what the mail gets in front, and what the log says.
fn told(program: &str) -> String {
    let oracle = testkit::world::oracle().canonicalize().unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(tests.join("testkit/world/enter"))
        .arg(program)
        .arg(&oracle)
        .arg("python3")
        .arg(tests.join("peers/world/policy_services.py"))
        .arg(&oracle)
        .arg(program)
        .env("POSTHASTE", testkit::world::posthaste().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}{errors}");
    text
}

#[test]
fn postgrey_and_policyd_spf_decide_as_behind_postfix() {
    if let Err(why) = testkit::world::available().and_then(|()| testkit::world::fetch()) {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return;
    }
    if !peers::have("perl") {
        return;
    }
    let theirs = told("postfix");
    for words in ["Greylisted", "SPF fail", "mail: Received-SPF: Pass", "mail: X-Greylist: delayed"] {
        assert!(theirs.contains(words), "{words}: {theirs}");
    }
    let ours = told("posthaste");
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
}
