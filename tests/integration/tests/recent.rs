//! `posthaste explain last`: what a running server refused lately, with all that was asked on the way.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, eventually, free_port, said};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use testkit::dns::Zone;
use testkit::policy::PolicySettings;

const ZONE: &str = "1.0.0.127.bl.example A 127.0.0.2\n1.0.0.127.bl.example TXT ask bl.example\n";

/// Where what the tests need listens, and main.cf for it.
struct Around {
    main_cf: String,
}

impl Around {
    /// A name server with a list that names 127.0.0.1, and a policy service that knows one recipient.
    fn new(more: &str) -> Around {
        let (dns, policy) = (free_port(), free_port());
        Zone::parse(ZONE).unwrap().serve(SocketAddr::from(([127, 0, 0, 1], dns))).unwrap();
        let mut service = PolicySettings::parse(&format!("127.0.0.1:{policy}")).unwrap();
        service.rule("recipient=policy@example.com => REJECT quota").unwrap();
        service.start().unwrap();
        let main_cf = format!(
            "relay_domains = example.com\nalias_maps =\n\
             dns_nameservers = 127.0.0.1:{dns}\nsmtpd_peername_lookup = no\n\
             smtpd_relay_restrictions = reject_unauth_destination\n\
             smtpd_recipient_restrictions =\n\
             \tcheck_recipient_access inline:{{{{ok@example.com=OK}},{{table@example.com=REJECT known}}}}\n\
             \tcheck_policy_service inet:127.0.0.1:{policy}\n\
             \treject_rbl_client bl.example\n{more}"
        );
        Around { main_cf }
    }

    fn started(&self) -> Instance {
        let instance = Instance::new(&self.main_cf);
        instance.start();
        instance
    }
}

/// A session in which these recipients are refused.
fn refused(port: u16, recipients: &[&str]) {
    let mut client = Client::greeted(port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    for recipient in recipients {
        let reply = client.command(&format!("RCPT TO:<{recipient}>"));
        assert!(reply.starts_with(['4', '5']), "{recipient}: {reply}");
    }
    client.say("QUIT", "221");
}

fn last(instance: &Instance, words: &[&str]) -> Vec<Value> {
    let mut all = vec!["explain", "last", "--json"];
    all.extend(words);
    let output = instance.posthaste(&all);
    let told: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    let told = told.as_array().unwrap().clone();
    assert_eq!(output.status.code(), Some(i32::from(told.is_empty())), "{}", said(&output));
    told
}

fn recipients(told: &[Value]) -> Vec<&str> {
    told.iter().map(|one| one["recipient"].as_str().unwrap()).collect()
}

#[test]
fn refusals_by_table_policy_service_and_list_are_told_with_key_answer_and_place() {
    let instance = Around::new("").started();
    refused(instance.port, &["table@example.com", "policy@example.com", "rbl@example.com"]);
    let output = instance.posthaste(&["explain", "last"]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let place = format!("({}:", instance.etc().join("main.cf").display());
    for line in [
        "RCPT from unknown[127.0.0.1], service 127.0.0.1:",
        " from=<sender@example.net> to=<table@example.com> helo=<client.example.net>\n",
        &format!("  smtpd_recipient_restrictions {place}"),
        " \"table@example.com\": REJECT known\n",
        "  => 554 5.7.1 <table@example.com>: Recipient address rejected: known\n",
        ": REJECT quota\n",
        "  => 554 5.7.1 <policy@example.com>: Recipient address rejected: quota\n",
        "      DNS 1.0.0.127.bl.example A: 127.0.0.2\n",
        "      DNS 1.0.0.127.bl.example TXT: \"ask bl.example\"\n",
        "blocked using bl.example; ask bl.example\n",
    ] {
        assert!(text.contains(line), "expected `{line}` in: {text}");
    }
}

#[test]
fn json_has_every_step_of_a_refusal() {
    let instance = Around::new("").started();
    refused(instance.port, &["table@example.com"]);
    let told = last(&instance, &[]);
    let [one] = &told[..] else { panic!("{told:?}") };
    assert_eq!(one["client_address"], "127.0.0.1");
    assert_eq!(one["command"], "RCPT");
    assert_eq!(one["sender"], "sender@example.net");
    assert!(one["queue_id"].is_null() && one["time"].as_i64().unwrap() > 1_700_000_000, "{one}");
    let steps = one["steps"].as_array().unwrap();
    assert_eq!(steps[0]["list"], "smtpd_relay_restrictions");
    assert_eq!(steps[1]["restriction"], "reject_unauth_destination");
    let table = steps.iter().find(|step| step["key"] == "table@example.com").unwrap();
    assert_eq!(table["answer"], "REJECT known");
    let verdict = steps.last().unwrap()["verdict"].as_str().unwrap();
    assert_eq!(verdict, format!("refuses: {}", one["reply"].as_str().unwrap()));
}

#[test]
fn filters_take_client_sender_and_recipient_or_their_domains() {
    let around = Around::new("");
    let instance = Instance::new(&around.main_cf.replace(
        "smtpd_peername_lookup = no\n",
        "smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_peername_lookup = no\n",
    ));
    instance.start();
    let from_elsewhere = |client: &str, sender: &str, recipient: &str| {
        let mut session = Client::greeted(instance.port);
        session.say(&format!("XCLIENT {client}"), "220");
        session.say("EHLO there.example", "250");
        session.say(&format!("MAIL FROM:<{sender}>"), "250");
        session.say(&format!("RCPT TO:<{recipient}>"), "554");
        session.say("QUIT", "221");
    };
    from_elsewhere("NAME=mx.one.example ADDR=192.0.2.1", "a@one.example", "x@other.example");
    from_elsewhere("NAME=mx.two.example ADDR=192.0.2.2", "", "y@sub.other.example");
    let of = |words: &[&str]| {
        let told = last(&instance, words);
        recipients(&told).iter().map(|r| (*r).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), ["x@other.example", "y@sub.other.example"]);
    assert_eq!(of(&["--client", "192.0.2.1"]), ["x@other.example"]);
    assert_eq!(of(&["--client", "two.example"]), ["y@sub.other.example"]);
    assert_eq!(of(&["--from", "A@ONE.example"]), ["x@other.example"]);
    assert_eq!(of(&["--from", "<>"]), ["y@sub.other.example"]);
    assert_eq!(of(&["--to", "other.example"]), ["x@other.example", "y@sub.other.example"]);
    assert_eq!(of(&["--to", "y@sub.other.example", "--client", "192.0.2.1"]), [""; 0]);
}

#[test]
fn what_is_accepted_is_not_recorded_and_the_reply_is_that_which_the_client_saw() {
    let instance = Around::new("smtpd_reject_footer = call $server_name\n").started();
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    client.say("RCPT TO:<ok@example.com>", "250");
    let reply = client.say("RCPT TO:<table@example.com>", "554-5.7.1");
    assert!(reply.contains("call mail.example.com"), "{reply}");
    let told = last(&instance, &[]);
    assert_eq!(recipients(&told), ["table@example.com"]);
    let known =
        "554-5.7.1 <table@example.com>: Recipient address rejected: known\n554 5.7.1 call mail.example.com";
    assert_eq!(told[0]["reply"], known);
    assert!(told[0]["queue_id"].is_string(), "the message was begun: {}", told[0]);
}

#[test]
fn the_list_is_bounded_in_bytes_and_nothing_is_kept_with_none() {
    let around = Around::new("posthaste_explain_memory_limit = 3000\n");
    let instance = around.started();
    let all: Vec<String> = (0..30).map(|n| format!("n{n}@elsewhere.example")).collect();
    refused(instance.port, &all[..5].iter().map(|r| &**r).collect::<Vec<_>>());
    refused(instance.port, &all[5..10].iter().map(|r| &**r).collect::<Vec<_>>());
    let told = last(&instance, &[]);
    let kept = recipients(&told);
    assert!((2..9).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept, &all[10 - kept.len()..10], "the newest ones");

    instance.write_main_cf(&around.main_cf.replace("= 3000", "= 0"));
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("one smtpd", || instance.role_pids("smtpd").len() == 1);
    refused(instance.port, &["n@elsewhere.example"]);
    assert!(last(&instance, &[]).is_empty());
}

#[test]
fn a_reload_forgets_nothing_and_a_session_of_before_is_told_too() {
    let instance = Around::new("").started();
    refused(instance.port, &["table@example.com"]);
    let mut open = Client::greeted(instance.port);
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    refused(instance.port, &["n@elsewhere.example"]);
    open.say("MAIL FROM:<sender@example.net>", "250");
    open.say("RCPT TO:<open@elsewhere.example>", "554");
    let all = ["table@example.com", "n@elsewhere.example", "open@elsewhere.example"];
    assert_eq!(recipients(&last(&instance, &[])), all, "two processes are asked");

    open.say("QUIT", "221");
    eventually("one smtpd", || instance.role_pids("smtpd").len() == 1);
    assert_eq!(recipients(&last(&instance, &[])), all, "one has taken over what the other knew");
    let sockets = std::fs::read_dir(instance.path("spool/private")).unwrap().flatten();
    let sockets: Vec<_> =
        sockets.filter(|e| e.file_name().to_str().unwrap().starts_with("inquiry.smtpd")).collect();
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    let mode = sockets[0].metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn a_client_that_is_too_fast_is_told_of_without_steps() {
    let around =
        Around::new("smtpd_client_recipient_rate_limit = 1\nsmtpd_client_event_limit_exceptions =\n");
    let instance = around.started();
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    client.say("RCPT TO:<ok@example.com>", "250");
    client.say("RCPT TO:<ok@example.com>", "450 4.7.1 Error: too many recipients from 127.0.0.1");
    let told = last(&instance, &[]);
    let [one] = &told[..] else { panic!("{told:?}") };
    assert_eq!(one["reply"], "450 4.7.1 Error: too many recipients from 127.0.0.1");
    assert_eq!((&one["command"], &one["steps"]), (&"RCPT".into(), &serde_json::json!([])));
    let text = said(&instance.posthaste(&["explain", "last"]));
    assert!(text.contains("\n  the server itself: no restriction was asked\n  => 450 4.7.1 Error"), "{text}");
}

#[test]
fn what_postscreen_holds_against_a_client_is_told_with_the_lists_that_name_it() {
    let around = Around::new(
        "postscreen_access_list =\npostscreen_dnsbl_sites = bl.example*3\npostscreen_dnsbl_threshold = 3\n\
         postscreen_dnsbl_action = enforce\npostscreen_greet_wait = 1s\npostscreen_greet_banner =\n",
    );
    let instance = Instance::new(&around.main_cf);
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\n",
        instance.port
    ));
    instance.start();
    refused(instance.port, &["ok@example.com"]);
    let told = last(&instance, &["--to", "ok@example.com"]);
    let [one] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&one["service"], &one["command"]), (&"postfix/postscreen".into(), &"RCPT".into()));
    assert_eq!(one["steps"][0], serde_json::json!({"dns": "bl.example A", "answer": "127.0.0.2"}));
    let rank = one["steps"][1]["verdict"].as_str().unwrap();
    assert!(rank.starts_with("DNSBL rank 3 for [127.0.0.1]:"), "{rank}");
    let reply = one["reply"].as_str().unwrap();
    assert!(
        reply.starts_with("550 5.7.1 Service unavailable; client [127.0.0.1] blocked using bl.example"),
        "{reply}"
    );
}

#[test]
fn a_process_below_another_root_is_asked_as_well_and_one_that_does_not_run_is_said_to() {
    let around = Around::new("");
    let instance = Instance::new(&around.main_cf);
    let other = free_port();
    let chroot = if rustix::process::geteuid().is_root() { "y" } else { "n" };
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - - smtpd\n127.0.0.1:{other} inet n - {chroot} - - smtpd\n",
        instance.port
    ));
    let output = instance.posthaste(&["explain", "last"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    instance.start();
    refused(instance.port, &["one@elsewhere.example"]);
    refused(other, &["two@elsewhere.example"]);
    assert_eq!(recipients(&last(&instance, &[])), ["one@elsewhere.example", "two@elsewhere.example"]);
    assert!(instance.posthaste(&["stop"]).status.success());
    let output = instance.posthaste(&["explain", "last"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("is the mail system running?"), "{}", said(&output));
}
