//! `posthaste counters`: what the running processes have counted, each policy service by itself, and how busy they are.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, eventually, free_port, said};
use serde_json::Value;
use testkit::policy::PolicySettings;

fn counted(instance: &Instance) -> Value {
    let output = instance.posthaste(&["counters", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)))
}

/// What the process of a role says.
fn of_role<'a>(counted: &'a Value, role: &str) -> &'a Value {
    let found = counted.as_object().unwrap().iter().find(|(who, _)| who.starts_with(&format!("{role}.")));
    found.unwrap_or_else(|| panic!("{role}: {counted}")).1
}

#[test]
fn each_policy_service_has_its_questions_answers_failures_and_connections() {
    let (port, nobody) = (free_port(), free_port());
    let mut service = PolicySettings::parse(&format!("127.0.0.1:{port}")).unwrap();
    for (who, action) in
        [("no", "REJECT no"), ("later", "DEFER_IF_PERMIT x"), ("mark", "PREPEND X-A: b"), ("yes", "OK")]
    {
        service.rule(&format!("recipient={who}@example.com => {action}")).unwrap();
    }
    service.start().unwrap();
    let instance = Instance::new(&format!(
        "relay_domains = example.com\nsmtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{port}\n\
         \tcheck_policy_service {{ inet:127.0.0.1:{nobody}, default_action=DUNNO, try_limit=2, retry_delay=1s }}\n"
    ));
    instance.start();
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    client.say("RCPT TO:<yes@example.com>", "250");
    client.say("RCPT TO:<no@example.com>", "554");
    client.say("RCPT TO:<mark@example.com>", "250");
    client.say("RCPT TO:<other@example.com>", "250");
    let told = counted(&instance);
    let smtpd = of_role(&told, "smtpd");
    let services = smtpd["policy_services"].as_array().unwrap();
    let of = |port: u16| {
        let found = services.iter().find(|s| s["service"].as_str().unwrap().contains(&port.to_string()));
        found.unwrap_or_else(|| panic!("{port}: {smtpd}"))
    };
    let counts = |service: &Value, names: &[&str]| -> Vec<u64> {
        names
            .iter()
            .map(|name| service[*name].as_u64().unwrap_or_else(|| panic!("{name}: {service}")))
            .collect()
    };
    let names = ["questions", "permits", "rejects", "defers", "dunnos", "actions", "others", "unanswered"];
    assert_eq!(counts(of(port), &names), [4, 1, 1, 0, 1, 1, 0, 0]);
    assert_eq!(counts(of(port), &["connections", "reused", "timeouts", "retries"]), [1, 3, 0, 0]);
    assert!(of(port)["microseconds"].as_u64().unwrap() > 0);
    // Nobody listens there: two questions behind answers that permit nothing, each tried twice.
    assert_eq!(counts(of(nobody), &names), [2, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(counts(of(nobody), &["connections", "retries", "not_asked"]), [0, 2, 0]);
    assert_eq!(smtpd["counters"]["posthaste_smtpd_policy_requests_total"], 6);
    assert_eq!(smtpd["counters"]["posthaste_smtpd_rejects_total"], 1);
}

#[test]
fn a_service_that_fails_again_and_again_is_shown_to_be_left_in_peace() {
    let nobody = free_port();
    let instance = Instance::new(&format!(
        "relay_domains = example.com\nsmtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_recipient_restrictions =\n\
         \tcheck_policy_service {{ inet:127.0.0.1:{nobody}, default_action=DUNNO, try_limit=1 }}\n"
    ));
    instance.start();
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    let shown = || counted(&instance);
    let service = |told: &Value| of_role(told, "smtpd")["policy_services"][0].clone();
    assert_eq!(service(&shown())["left_in_peace"], false);
    for n in 0..20 {
        client.say(&format!("RCPT TO:<n{n}@example.com>"), "250");
    }
    let told = service(&shown());
    assert_eq!((&told["left_in_peace"], &told["breaker_opened"]), (&true.into(), &1.into()), "{told}");
    assert!(told["not_asked"].as_u64().unwrap() > 0, "{told}");
    let text = said(&instance.posthaste(&["counters"]));
    assert!(text.contains("(left in peace: it does not answer)\n    actions 0\n"), "{text}");
    assert!(text.contains("\n    questions 20\n"), "{text}");
}

#[test]
fn sessions_clients_and_the_other_processes_are_shown() {
    let instance = Instance::new("default_transport = discard\nsmtpd_client_connection_count_limit = 5\n");
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - 7 smtpd\ndiscard unix - - n - - discard\n",
        instance.port
    ));
    instance.start();
    let mut client = Client::greeted(instance.port);
    let id = client.send("ann@example.org", "Subject: one\r\n\r\ntext");
    eventually("the message is delivered", || instance.log().contains(&format!("{id}: removed")));
    let told = counted(&instance);
    let smtpd = of_role(&told, "smtpd");
    let service = &smtpd["services"][0];
    assert_eq!(service["service"], format!("127.0.0.1:{}", instance.port));
    let [open, max, waiting] = ["sessions", "sessions_max", "waiting"].map(|n| service[n].as_u64().unwrap());
    assert_eq!((open, max, waiting, &service["stress"]), (1, 7, 0, &false.into()));
    assert_eq!(smtpd["counters"]["posthaste_smtpd_accepted_total"], 1);
    assert_eq!(of_role(&told, "qmgr")["counters"]["posthaste_qmgr_removed_total"], 1);
    let text = said(&instance.posthaste(&["counters"]));
    let line = format!("  service 127.0.0.1:{}: 1 of 7 sessions, 0 clients wait, calm\n", instance.port);
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("\n  posthaste_qmgr_removed_total 1\n"), "{text}");
}
