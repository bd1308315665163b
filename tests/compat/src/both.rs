//! A world that has Debian's Postfix at its usual paths and `posthaste` beside it.

use std::io::Write;
use std::process::{Command, Stdio};
use testkit::{case, world};

/// Shell functions that scripts have: wait for a condition, for the port, for its end; start and stop either program.
const HELPERS: &str = r#"
until_ok() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; echo "timed out: $*"; return 1; }
listening() { grep -q ':0019 0\{8\}:0000 0A\|:0019 0\{32\}:0000 0A' /proc/net/tcp /proc/net/tcp6; }
silent() { ! listening; }
posthaste_serves() { posthaste start -c /etc/postfix </dev/null >/dev/null 2>&1; until_ok listening; }
posthaste_ends() { posthaste stop -c /etc/postfix </dev/null >/dev/null 2>&1; until_ok silent; }
postfix_serves() { touch /var/log/mail.log; chown postfix /var/log/mail.log; postfix start </dev/null >/dev/null 2>&1; until_ok listening; }
postfix_ends() { postfix stop </dev/null >/dev/null 2>&1; until_ok silent; }
"#;

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
    stdin.write_all((head + HELPERS + script).as_bytes()).expect("the script fits the pipe");
    drop(stdin);
    let output = child.wait_with_output().expect("world/enter");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    Some(text)
}
