//! `posthaste explain address`: each step of an address with table, key, answer and the place of the setting.

use integration::{run, said};
use std::path::PathBuf;
use std::process::Output;

const MAIN: &str = "compatibility_level = 3.6\n\
    myhostname = mail.example.com\n\
    mydestination = example.com\n\
    recipient_delimiter = +\n\
    canonical_maps = inline:{old@example.com=ann@example.com}\n\
    virtual_alias_maps = inline:{{ann@example.com=bob@example.com, carl@far.example}, loop=loop2, loop2=loop}\n\
    masquerade_domains = b.example\n\
    sender_dependent_relayhost_maps = inline:{t@b.example=[192.0.2.9]}\n\
    relocated_maps = inline:{x@moved.example=y@new.example}\n";

struct Configuration(PathBuf);

impl Configuration {
    fn new(name: &str) -> Configuration {
        let path = std::env::temp_dir().join(format!("posthaste-address-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory below /tmp");
        std::fs::write(path.join("main.cf"), MAIN).expect("main.cf");
        let master = "smtp inet n - n - - smtpd\n\
                      other inet n - n - - smtpd -o cleanup_service_name=plain\n\
                      plain unix n - n - 0 cleanup -o virtual_alias_maps= -o canonical_maps=\n";
        std::fs::write(path.join("master.cf"), master).expect("master.cf");
        Configuration(path)
    }

    fn explain(&self, words: &str) -> Output {
        let directory = self.0.to_str().expect("a path of ours is text");
        let words: Vec<&str> =
            ["-c", directory, "explain", "address"].into_iter().chain(words.split(' ')).collect();
        run(&testkit::world::posthaste().expect("a built posthaste"), &words)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn each_table_is_told_with_the_key_that_decided() {
    let configuration = Configuration::new("steps");
    let output = configuration.explain("old+x@example.com --sender t@host.b.example");
    let text = said(&output).replace(configuration.0.to_str().expect("text"), "D");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "  masquerade_domains (D/main.cf:7)\n    t@host.b.example becomes t@b.example\n",
        "  canonical_maps (D/main.cf:5)\n      inline:{old@example.com=ann@example.com} \"old+x@example.com\": not found\n",
        "\"old@example.com\": ann@example.com\n    old+x@example.com becomes ann+x@example.com\n",
        "\"ann@example.com\": bob@example.com, carl@far.example\n",
        "  => bob+x@example.com\n  => carl+x@far.example\n",
        "  class local (mydestination, D/main.cf:3)\n",
        "  => transport local, nexthop mail.example.com\n",
        "      inline:{t@b.example=[192.0.2.9]} \"t@b.example\": [192.0.2.9]\n",
        "  => transport smtp, nexthop [192.0.2.9]\n",
    ] {
        assert!(text.contains(line), "expected `{line}` in: {text}");
    }
}

#[test]
fn a_service_is_explained_with_the_cleanup_that_it_names() {
    let configuration = Configuration::new("service");
    let text = said(&configuration.explain("old+x@example.com --service other"));
    assert!(text.contains("  => old+x@example.com\n") && !text.contains("canonical_maps"), "{text}");
}

#[test]
fn what_goes_nowhere_is_told_by_the_exit_status() {
    let configuration = Configuration::new("nowhere");
    let output = configuration.explain("x@moved.example --json");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let delivery = &told["deliveries"][0];
    assert_eq!(delivery["nexthop"], "5.1.6 User has moved to y@new.example");
    assert_eq!((&delivery["class"], &delivery["place"]), (&"default".into(), &"default".into()));
    let output = configuration.explain("loop");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("  => 451 4.6.0 Alias expansion error\n"), "{text}");
}

#[test]
fn wrong_words_are_told_and_exit_2() {
    let output = Configuration::new("words").explain("a b");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("expected `address ADDRESS"), "{}", said(&output));
}
