//! `posthaste explain smtp --tls…`: what encryption and a client's certificate change. The outcomes are those that
//! Debian's Postfix gives such sessions.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::{free_port, run, said};
use std::path::PathBuf;
use testkit::policy::{Policy, PolicySettings};

const MAIN: &str = "compatibility_level = 3.6\n\
    myhostname = mail.example.com\n\
    mydestination = example.com\n\
    local_recipient_maps =\n\
    relay_clientcerts = inline:{AA:01=known}\n\
    smtpd_restriction_classes = known, any, both, key\n\
    known = permit_tls_clientcerts, reject\n\
    any = permit_tls_all_clientcerts, reject\n\
    both = check_ccert_access inline:{{AA:01=REJECT cert},{BB:02=DEFER key}}\n\
    key = check_ccert_access { inline:{{AA:01=REJECT cert},{BB:02=DEFER key}} { search_order = pubkey_fingerprint } }\n";

struct Configuration(PathBuf);

impl Configuration {
    fn new(name: &str, list: &str) -> Configuration {
        let path = std::env::temp_dir().join(format!("posthaste-explain-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("main.cf"), format!("{MAIN}smtpd_recipient_restrictions = {list}\n"))
            .unwrap();
        std::fs::write(path.join("master.cf"), "smtp inet n - n - - smtpd\n").unwrap();
        Configuration(path)
    }

    /// The reply to RCPT; nothing where it is accepted.
    fn reply(&self, words: &str) -> Option<String> {
        let directory = self.0.to_str().unwrap();
        let session = "--client 192.0.2.7 --name c.example --from a@example.net --to x@example.com --json";
        let words = format!("-c {directory} explain smtp {session} {words}");
        let output =
            run(&testkit::world::posthaste().unwrap(), &words.split_whitespace().collect::<Vec<_>>());
        let told: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
        told["commands"][2]["reply"].as_str().map(str::to_owned)
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const DENIED: &str = "554 5.7.1 <x@example.com>: Recipient address rejected: Access denied";

#[test]
fn a_certificate_or_its_key_that_relay_clientcerts_knows_is_let_in_trusted_or_not() {
    let configuration = Configuration::new("known", "known");
    for (words, known) in [
        ("", false),
        ("--tls TLSv1.3", false),
        ("--tls-fingerprint aa:01", true),
        ("--tls-fingerprint CC:03 --tls-key-fingerprint AA:01", true),
        ("--tls-fingerprint CC:03 --tls-issuer CA", false),
    ] {
        let expected = if known { None } else { Some(DENIED.to_owned()) };
        assert_eq!(configuration.reply(words), expected, "{words}");
    }
}

#[test]
fn any_trusted_certificate_is_let_in_where_all_are() {
    let configuration = Configuration::new("any", "any");
    assert_eq!(configuration.reply("--tls-fingerprint CC:03 --tls-issuer CA"), None);
    assert_eq!(configuration.reply("--tls-fingerprint AA:01"), None, "known without being trusted");
    assert_eq!(configuration.reply("--tls-fingerprint CC:03").as_deref(), Some(DENIED));
}

#[test]
fn a_table_that_cannot_be_asked_puts_off_who_has_a_certificate() {
    let configuration = Configuration::new("fail", "known");
    let main = std::fs::read_to_string(configuration.0.join("main.cf")).unwrap();
    let main = main.replace("inline:{AA:01=known}", "fail:x");
    std::fs::write(configuration.0.join("main.cf"), main).unwrap();
    let failed = Some("451 4.3.0 <x@example.com>: Temporary lookup failure".to_owned());
    assert_eq!(configuration.reply("--tls-fingerprint AA:01"), failed);
    assert_eq!(configuration.reply("--tls TLSv1.3").as_deref(), Some(DENIED));
}

#[test]
fn an_access_table_is_asked_for_fingerprints_in_the_order_that_is_set() {
    let of_both = "--tls-subject c.example --tls-fingerprint AA:01 --tls-key-fingerprint BB:02";
    let both = Configuration::new("both", "both");
    let refused = |what: &str| Some(format!("{what} <c.example>: Client certificate rejected"));
    assert_eq!(both.reply(of_both), refused("554 5.7.1").map(|r| r + ": cert"));
    assert_eq!(both.reply("--tls TLSv1.2"), None);
    let nameless = both.reply("--tls-fingerprint AA:01");
    assert_eq!(nameless.as_deref(), Some("554 5.7.1 <>: Client certificate rejected: cert"));
    let key = Configuration::new("key", "key");
    assert_eq!(key.reply(of_both), refused("450 4.7.1").map(|r| r + ": key"));
    assert_eq!(key.reply("--tls-fingerprint AA:01"), None);
}

#[test]
fn an_encrypted_session_is_no_plaintext_session() {
    let configuration = Configuration::new("plain", "reject_plaintext_session");
    assert_eq!(configuration.reply("").as_deref(), Some("450 4.7.1 Session encryption is required"));
    assert_eq!(configuration.reply("--tls TLSv1.3"), None);
}

fn policy() -> (u16, Policy) {
    let port = free_port();
    (port, PolicySettings::parse(&format!("127.0.0.1:{port}")).unwrap().start().unwrap())
}

#[test]
fn policy_services_are_told_of_encryption_and_of_names_that_somebody_vouches_for() {
    let (port, service) = policy();
    let configuration = Configuration::new("policy", &format!("check_policy_service inet:127.0.0.1:{port}"));
    let certificate = "--tls TLSv1.3,TLS_AES_256_GCM_SHA384,256 --tls-sni mail.example.com \
                       --tls-subject Ann --tls-fingerprint AA:01 --tls-key-fingerprint BB:02";
    assert_eq!(configuration.reply(&format!("{certificate} --tls-issuer A+B")), None);
    let told = service.take().join("\n");
    for attribute in [
        "encryption_protocol=TLSv1.3",
        "encryption_cipher=TLS_AES_256_GCM_SHA384",
        "encryption_keysize=256",
        "ccert_subject=Ann",
        "ccert_issuer=A+2BB",
        "ccert_fingerprint=AA:01",
        "ccert_pubkey_fingerprint=BB:02",
    ] {
        assert!(told.contains(attribute), "expected {attribute} in {told}");
    }
    assert_eq!(configuration.reply(certificate), None);
    let told = service.take().join("\n");
    assert!(told.contains("ccert_subject=\n") && told.contains("ccert_fingerprint=AA:01"), "{told}");
}

#[test]
fn wrong_words_say_what_was_expected() {
    let configuration = Configuration::new("words", "known");
    let directory = configuration.0.to_str().unwrap().to_owned();
    for (word, value, told) in [
        ("--tls", "TLSv1.3,X,many", "expected a number of bits behind the cipher, found `many`"),
        ("--tls", ",X", "expected VERSION[,CIPHER[,BITS]], found `,X`"),
        ("--tls-colour", "red", "found `--tls-colour`"),
    ] {
        let words = ["-c", &directory, "explain", "smtp", "--client", "192.0.2.7", word, value];
        let output = run(&testkit::world::posthaste().unwrap(), &words);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(told), "{}", said(&output));
    }
}
