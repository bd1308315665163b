//! What the postmaster is told of sessions: what the cases that are compared with Postfix cannot show.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, eventually, run, said};

/// Notices wait in the queue, where they can be read.
const MAIN: &str = "defer_transports = smtp\nerror_notice_recipient = ann@example.org\n\
    relay_domains = example.com\nsmtpd_relay_restrictions = reject_unauth_destination\n\
    smtpd_recipient_restrictions = check_recipient_access inline:{{no@example.com=REJECT},{bad@example.com=NONSENSE}}\n";

fn started(more: &str) -> Instance {
    let instance = Instance::new(&format!("{MAIN}{more}"));
    instance.start();
    instance
}

/// The notices in the queue.
fn notices(instance: &Instance) -> Vec<String> {
    let log = instance.log();
    let ids = log.lines().filter_map(|line| line.split_once("postfix/cleanup[")?.1.split(": ").nth(1));
    let etc = instance.etc();
    let program = testkit::world::posthaste().unwrap();
    let shown = |id| said(&run(&program, &["postcat", "-c", etc.to_str().unwrap(), "-bhq", id]));
    ids.map(|id| shown(id).replace("\r\n", "\n")).collect()
}

fn session(instance: &Instance, sender: &str, recipient: &str) {
    let mut client = Client::greeted(instance.port);
    client.command(&format!("MAIL FROM:<{sender}>"));
    client.command(&format!("RCPT TO:<{recipient}>"));
    client.say("QUIT", "221");
    let gone = || {
        instance.log().matches(" disconnect from ").count()
            == instance.log().matches(" connect from ").count()
    };
    eventually("the session's end in the log", gone);
}

#[test]
fn by_default_a_mistake_in_the_configuration_is_told_with_the_command_that_met_it() {
    let instance = started("");
    session(&instance, "a@example.net", "no@example.com");
    session(&instance, "a@example.net", "bad@example.com");
    eventually("a notice", || notices(&instance).len() == 1);
    let notice = &notices(&instance)[0];
    assert!(notice.contains("\nTo: Postmaster <ann@example.org>\n"), "{notice}");
    assert!(
        notice.contains("\nSubject: Postfix SMTP server: errors from localhost[127.0.0.1]\n"),
        "{notice}"
    );
    let said = "\n\n In:  MAIL FROM:<a@example.net>\n In:  RCPT TO:<bad@example.com>\n \
                Out: 451 4.3.5 Server configuration error\n";
    assert!(notice.contains(said), "{notice}");
}

#[test]
fn a_full_disk_is_told_of_once_a_session_and_the_notice_itself_asks_for_no_room() {
    let instance = started("queue_minfree = 9000000000000000000\nmessage_size_limit = 0\n");
    session(&instance, "a@example.net", "x@example.com");
    eventually("a notice", || notices(&instance).len() == 1);
    let notice = &notices(&instance)[0];
    let said = "\n In:  MAIL FROM:<a@example.net>\n Out: 452 4.3.1 Insufficient system storage\n";
    assert!(notice.contains(said), "{notice}");
}

#[test]
fn a_session_that_brings_a_notice_is_told_to_nobody() {
    let instance = started("notify_classes = policy, protocol\n");
    session(&instance, "double-bounce@mail.example.com", "no@example.com");
    session(&instance, "a@example.net", "no@example.com");
    eventually("a notice", || notices(&instance).len() == 1);
    assert!(notices(&instance)[0].contains("MAIL FROM:<a@example.net>"), "{}", notices(&instance)[0]);
}

#[test]
fn no_class_means_no_notice() {
    let instance = started("notify_classes =\n");
    session(&instance, "a@example.net", "bad@example.com");
    session(&instance, "a@example.net", "no@example.com");
    assert_eq!(notices(&instance), Vec::<String>::new());
}
