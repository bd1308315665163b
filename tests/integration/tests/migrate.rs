//! `posthaste migrate --check`: what a Postfix configuration is here, by file and line, as text and as JSON.

use integration::{run, said};
use std::path::PathBuf;
use std::process::Output;

struct Configuration(PathBuf);

impl Configuration {
    fn new(name: &str, main: &str, master: &str) -> Configuration {
        let path = std::env::temp_dir().join(format!("posthaste-migrate-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory below /tmp");
        std::fs::write(path.join("main.cf"), main).expect("main.cf");
        std::fs::write(path.join("master.cf"), master).expect("master.cf");
        Configuration(path)
    }

    fn migrate(&self, words: &[&str]) -> Output {
        let directory = self.0.to_str().expect("a path of ours is text");
        let words: Vec<&str> = ["migrate"].iter().chain(words).copied().chain([directory]).collect();
        run(&testkit::world::posthaste().expect("a built posthaste"), &words)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_configuration_that_is_the_same_here_exits_0() {
    let main =
        "compatibility_level = 3.12\nmyhostname = mail.example.com\ntransport_maps = static:discard:\n";
    let configuration =
        Configuration::new("same", main, "smtp inet n - n - - smtpd\nqmgr unix n - n 300 1 qmgr\n");
    let output = configuration.migrate(&["--check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).ends_with("\n6 same, 0 differ, 0 not supported\n"), "{}", said(&output));
}

#[test]
fn what_differs_exits_1_and_what_is_missing_exits_2_with_file_and_line() {
    let main = "compatibility_level = 3.12\nipc_timeout = 10s\nipc_ttl = 1000s\nfoo = bar\n";
    let master = "smtp inet n - y - - smtpd\ncleanup unix n - y - 0 cleanup\n";
    let configuration = Configuration::new("differs", main, master);
    let output = configuration.migrate(&["--check"]);
    let text = said(&output).replace(configuration.0.to_str().expect("text"), "D");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [
        "D/main.cf:2: parameter ipc_timeout: differs: has no effect: ",
        "D/main.cf:3: parameter ipc_ttl: same\n",
        "D/main.cf:4: parameter foo: differs: unused parameter",
        "D/master.cf:1: service smtp/inet: same\n",
        "D/master.cf:2: service cleanup/unix: differs: runs inside smtpd; so its chroot column has no effect\n",
        "\n3 same, 3 differ, 0 not supported\n",
    ] {
        assert!(text.contains(line), "expected `{line}` in: {text}");
    }

    let main = "compatibility_level = 3.12\nsmtpd_milters = inet:127.0.0.1:8891\nsmtpd_timeout = soon\n\
                transport_maps = texthash:/nonexistent/t, nis:x\nno setting\n";
    let configuration =
        Configuration::new("missing", main, "smtp inet n - y - - smtpd\nx unix - n n - - maild\n");
    let output = configuration.migrate(&["--check"]);
    let text = said(&output).replace(configuration.0.to_str().expect("text"), "D");
    assert_eq!(output.status.code(), Some(2), "{text}");
    for line in [
        "D/main.cf:2: parameter smtpd_milters: not supported: milters are not built yet",
        "D/main.cf:3: line smtpd_timeout: not supported: expected ",
        "D/main.cf:4: table texthash:/nonexistent/t: not supported: cannot be read: No such file",
        "D/main.cf:4: table nis:x: not supported: ",
        "D/main.cf:5: line -: not supported: expected `name = value`, found `no setting`",
        "D/master.cf:2: service x/unix: not supported: expected one of Postfix's programs, found `maild`",
    ] {
        assert!(text.contains(line), "expected `{line}` in: {text}");
    }
}

#[test]
fn json_says_the_same_for_programs() {
    let configuration = Configuration::new("json", "ipc_timeout = 10s\n", "smtp inet n - y - - smtpd\n");
    let output = configuration.migrate(&["--check", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(output.status.code(), Some(1));
    let item = &all["items"][1];
    assert_eq!(
        (&item["name"], &item["verdict"], &item["line"]),
        (&"ipc_timeout".into(), &"differs".into(), &1.into())
    );
    assert_eq!(all["summary"]["not supported"], 0);
}

#[test]
fn a_directory_without_a_configuration_exits_2() {
    let output = run(&testkit::world::posthaste().expect("built"), &["migrate", "--check", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("/nonexistent/main.cf: cannot be read: "), "{}", said(&output));
}
