//! A world that has Debian's Postfix at its usual paths and `posthaste` beside it.

use std::io::Write;
use std::process::{Command, Stdio};
use testkit::{case, world};

/// Runs a shell script in such a world, with the configuration of the cases, and returns what it printed; nothing where
/// there can be no world.
pub fn run(script: &str) -> Option<String> {
    if let Err(why) = world::available() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return None;
    }
    world::fetch().expect("Debian's packages");
    let oracle = world::oracle().canonicalize().expect("fetched");
    let enter = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/world/enter");
    let head = format!(
        "set -u\ncat >/etc/postfix/main.cf <<'END'\n{}END\ncat >/etc/postfix/master.cf <<'END'\n{}END\n",
        case::CaseFile::default().main_cf(),
        case::MASTER
    );
    let mut child = Command::new(enter)
        .args(["both".as_ref(), oracle.as_os_str(), "bash".as_ref()])
        .env("POSTHASTE", world::posthaste().expect("built"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("world/enter");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all((head + script).as_bytes()).expect("the script fits the pipe");
    drop(stdin);
    let output = child.wait_with_output().expect("world/enter");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    Some(text)
}
