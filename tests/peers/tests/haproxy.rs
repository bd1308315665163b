//! Debian's HAProxy tells smtpd who its clients are.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::path::Path;
use std::process::Command;

#[test]
fn haproxy_tells_the_clients_and_direct_ones_are_taken_where_so_configured() {
    if let Err(why) = testkit::world::available().and_then(|()| testkit::world::fetch()) {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return;
    }
    let oracle = testkit::world::oracle().canonicalize().unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(tests.join("testkit/world/enter"))
        .arg("posthaste")
        .arg(&oracle)
        .arg("python3")
        .arg(tests.join("peers/world/haproxy.py"))
        .arg(&oracle)
        .env("POSTHASTE", testkit::world::posthaste().unwrap())
        .output()
        .unwrap();
    let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("apart").count(), 4, "{text}");
    for finding in ["checks are taken", "with and without the proxy", "must be whole"] {
        assert!(text.contains(finding), "{text}");
    }
}
