//! `posthaste explain smtp`: which list, restriction, table and key decided, down to file and line.

use integration::{run, said};
use std::path::PathBuf;
use std::process::Output;

/// Nobody answers on port 1: no name is asked of anybody.
const MAIN: &str = "compatibility_level = 3.6\n\
    myhostname = mail.example.com\n\
    mydestination = example.com\n\
    local_recipient_maps = inline:{ann=x}\n\
    mynetworks = 127.0.0.0/8\n\
    dns_nameservers = 127.0.0.1:1\n\
    smtpd_restriction_classes = strict\n\
    strict = reject_non_fqdn_helo_hostname, check_sender_access inline:{{bad.example=REJECT known}}\n\
    smtpd_sender_restrictions = strict\n\
    smtpd_recipient_restrictions = check_recipient_access inline:{{ann@example.com=HOLD}}\n";

struct Configuration(PathBuf);

impl Configuration {
    fn new(name: &str) -> Configuration {
        let path = std::env::temp_dir().join(format!("posthaste-explain-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory below /tmp");
        std::fs::write(path.join("main.cf"), MAIN).expect("main.cf");
        std::fs::write(path.join("master.cf"), "smtp inet n - n - - smtpd\n").expect("master.cf");
        Configuration(path)
    }

    fn explain(&self, words: &str) -> Output {
        let directory = self.0.to_str().expect("a path of ours is text");
        let words: Vec<&str> =
            ["-c", directory, "explain", "smtp"].into_iter().chain(words.split(' ')).collect();
        run(&testkit::world::posthaste().expect("a built posthaste"), &words)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_refusal_is_told_with_the_key_that_decided() {
    let configuration = Configuration::new("refusal");
    let client = "--client 192.0.2.7 --name c.example --helo mail.c.example";
    let output = configuration.explain(&format!("{client} --from x@bad.example --to ann@example.com"));
    let text = said(&output).replace(configuration.0.to_str().expect("text"), "D");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [
        "client c.example[192.0.2.7], service smtp (D/master.cf:1)\n",
        "  smtpd_sender_restrictions (D/main.cf:9)\n    strict: asks a list\n",
        "      inline:{{bad.example=REJECT known}} \"bad.example\": REJECT known\n",
        "  => 554 5.7.1 <x@bad.example>: Sender address rejected: known\n",
    ] {
        assert!(text.contains(line), "expected `{line}` in: {text}");
    }
}

#[test]
fn what_is_accepted_shows_what_is_done_with_it_and_json_says_the_same() {
    let configuration = Configuration::new("json");
    let words = "--client 127.0.0.1 --name localhost --from x@good.example --to ann@example.com --json";
    let output = configuration.explain(words);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rcpt = &told["commands"][2];
    assert_eq!(rcpt["command"], "RCPT TO:<ann@example.com>");
    assert_eq!(rcpt["actions"][0]["action"], "hold");
    assert!(rcpt["reply"].is_null(), "{rcpt}");
}

#[test]
fn wrong_words_are_told_and_exit_2() {
    let output = Configuration::new("words").explain("--client nobody");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--client: expected an IP address, found `nobody`"), "{}", said(&output));
}
