//! Neither Postfix nor Posthaste starts while the other runs on the same spool; Debian's Postfix is asked.

use std::process::Command;

/// Runs in a world where both programs are; exits 0 if each keeps the other out.
const SCRIPT: &str = r#"
cat >/etc/postfix/main.cf <<END
compatibility_level = 3.6
maillog_file = /var/log/mail.log
myhostname = mail.example.com
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
END
cat >/etc/postfix/master.cf <<END
25 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
END
fail() { echo "$*"; cat /var/log/mail.log; exit 1; }
postfix start || fail "Postfix does not start on a fresh spool"
"$1" start && fail "Posthaste started beside Postfix"
"$1" status || fail "Posthaste does not see that Postfix runs"
postfix stop || fail "Postfix does not stop"
"$1" start || fail "Posthaste does not start behind Postfix"
postfix start && fail "Postfix started beside Posthaste"
postfix status || fail "Postfix does not see that Posthaste runs"
postfix stop || fail "Postfix's command does not stop Posthaste"
"$1" status && fail "Posthaste still runs"
postfix start || fail "Postfix does not start behind Posthaste"
postfix stop
exit 0
"#;

#[test]
fn neither_program_starts_while_the_other_runs() {
    if let Err(why) = testkit::world::available() {
        eprintln!("skipped: {why}");
        return;
    }
    testkit::world::fetch().unwrap();
    let enter = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/world/enter");
    let oracle = testkit::world::oracle().canonicalize().unwrap();
    let posthaste = testkit::world::posthaste().unwrap();
    let output = Command::new(enter)
        .arg("postfix")
        .arg(oracle)
        .args(["bash", "-c", SCRIPT, "locks"])
        .arg(posthaste)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
}
