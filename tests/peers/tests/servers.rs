//! Debian's smtp-sink, Debian's Postfix and Dovecot's LMTP receive; they store what was sent, byte for byte.

use std::path::Path;
use std::process::Command;

#[test]
fn real_servers_store_every_body_byte_for_byte() {
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
        .arg(tests.join("peers/world/servers.py"))
        .arg(&oracle)
        .env("POSTHASTE", testkit::world::posthaste().unwrap())
        .output()
        .unwrap();
    let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("bodies arrived unchanged").count(), 4, "{text}");
}
