//! What a reload takes and what it refuses, and the way back from a bad configuration.

use integration::client::Client;
use integration::{Instance, eventually, said};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

fn expect(output: &Output, code: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "expected `{word}` in: {text}");
    }
}

/// The size that smtpd offers: which configuration a new session sees.
fn size_limit(instance: &Instance) -> String {
    let reply = Client::greeted(instance.port).command("EHLO client.example");
    let line = reply.lines().find(|line| line.contains("SIZE")).unwrap_or_default();
    line.rsplit(' ').next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_port_that_is_taken_is_told_by_the_reload_itself_and_nothing_changes() {
    let instance = Instance::new("");
    instance.start();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - - smtpd\n127.0.0.1:{port} inet n - n - - smtpd\n",
        instance.port
    ));
    let old = instance.role_pids("smtpd");
    let reload = instance.posthaste(&["reload"]);
    expect(&reload, 1, &[&port.to_string(), "in use", "fatal: the new configuration was not taken"]);
    assert_eq!(instance.role_pids("smtpd"), old);
    Client::greeted(instance.port);
    drop(taken);
    expect(&instance.posthaste(&["reload"]), 0, &[]);
}

#[test]
fn a_table_that_cannot_be_opened_stops_a_reload_and_warns_at_a_start() {
    let instance = Instance::new("transport_maps = texthash:/nonexistent/transport\n");
    let words = ["main.cf:12: transport_maps: texthash:/nonexistent/transport: cannot be read: No such file"];
    expect(&instance.posthaste(&["check"]), 1, &words);
    expect(&instance.posthaste(&["start"]), 0, &[]);
    assert!(instance.log().contains(&format!("master[{}]: warning: ", instance.master_pid().unwrap_or(0))));
    assert!(instance.log().contains(words[0]), "{}", instance.log());
    instance
        .write_main_cf("message_size_limit = 7777777\ntransport_maps = texthash:/nonexistent/transport\n");
    let reload = instance.posthaste(&["reload"]);
    expect(&reload, 1, &["main.cf:13: transport_maps: ", "goes on with its old configuration"]);
    assert_eq!(size_limit(&instance), "10240000");
}

#[test]
fn a_table_that_cannot_be_opened_stops_a_start_where_that_is_set() {
    let instance = Instance::new(
        "transport_maps = texthash:/nonexistent/transport\ndaemon_table_open_error_is_fatal = yes\n",
    );
    let words = ["main.cf:12: transport_maps: texthash:/nonexistent/transport: cannot be read: No such file"];
    expect(&instance.posthaste(&["start"]), 1, &words);
    assert_eq!(instance.all_pids(), Vec::<i32>::new());
}

#[test]
fn a_table_that_only_root_may_read_answers_after_a_reload_as_before() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root has files that others may not read");
        return;
    }
    let instance = Instance::new("alias_maps =\n");
    let table = instance.path("transport");
    std::fs::write(&table, "example.org discard:silently\n").expect("a file");
    std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o600)).expect("our own file");
    let main_cf =
        format!("alias_maps =\nrelay_domains = example.org\ntransport_maps = texthash:{}\n", table.display());
    instance.write_main_cf(&main_cf);
    let smtpd = format!("127.0.0.1:{} inet n - n - - smtpd\n", instance.port);
    instance.write_master_cf(&(smtpd + "discard unix - - n - - discard\n"));
    instance.start();
    for _ in 0..2 {
        let id = Client::greeted(instance.port).send("ann@example.org", "Subject: one\r\n\r\ntext");
        eventually("it is delivered", || instance.log().contains(&format!("{id}: removed")));
        let log = instance.log();
        let sent =
            log.lines().find(|line| line.contains(&id) && line.contains("status=")).unwrap_or_default();
        assert!(sent.contains("relay=none, ") && sent.contains("status=sent (silently)"), "{sent}");
        expect(&instance.posthaste(&["reload"]), 0, &[]);
    }
    let kept = format!("texthash:{}: what was read when this process started is used", table.display());
    assert!(instance.log().contains(&kept), "{}", instance.log());
}

#[test]
fn a_rollback_puts_the_last_configuration_that_served_back_in_force() {
    let instance = Instance::new("message_size_limit = 1111111\n");
    expect(
        &instance.posthaste(&["rollback"]),
        1,
        &["no other configuration has served here", "nothing was changed"],
    );
    instance.start();
    expect(&instance.posthaste(&["rollback"]), 1, &["no other configuration has served here"]);

    // Taken, but regretted.
    instance.write_main_cf("message_size_limit = 2222222\n");
    expect(&instance.posthaste(&["reload"]), 0, &[]);
    eventually("the new limit", || size_limit(&instance) == "2222222");
    let rollback = instance.posthaste(&["rollback"]);
    expect(
        &rollback,
        0,
        &["- message_size_limit = 2222222", "+ message_size_limit = 1111111", "main.cf.before-rollback"],
    );
    eventually("the old limit", || size_limit(&instance) == "1111111");
    let aside =
        std::fs::read_to_string(instance.etc().join("main.cf.before-rollback")).expect("the file aside");
    assert!(aside.contains("2222222"));

    // Never taken: a slip that a reload refuses.
    instance.write_main_cf("message_size_limit = many\nqueue_directory\n");
    expect(&instance.posthaste(&["reload"]), 1, &["main.cf:12: ", "main.cf:13: "]);
    expect(&instance.posthaste(&["rollback"]), 0, &["- queue_directory", "+ message_size_limit = 1111111"]);
    expect(&instance.posthaste(&["reload"]), 0, &[]);
    assert_eq!(size_limit(&instance), "1111111");

    expect(&instance.posthaste(&["stop"]), 0, &[]);
    instance.write_main_cf("message_size_limit = 3333333\n");
    expect(
        &instance.posthaste(&["rollback"]),
        0,
        &["does not run: `posthaste start` takes this configuration"],
    );
}

#[test]
fn a_changed_table_is_seen_without_a_reload() {
    let instance = Instance::new("");
    let table = instance.path("access");
    std::fs::write(&table, "bad.example REJECT first\n").expect("a table");
    instance.write_main_cf(&format!(
        "smtpd_recipient_restrictions = check_sender_access texthash:{}, permit_mynetworks, reject\n",
        table.display()
    ));
    instance.start();
    let refusal = || {
        let mut client = Client::greeted(instance.port);
        client.command("EHLO client.example");
        client.command("MAIL FROM:<a@bad.example>");
        client.command("RCPT TO:<b@example.org>")
    };
    assert!(refusal().contains("first"), "{}", refusal());
    std::fs::write(&table, "bad.example REJECT second\n").expect("a table");
    eventually("the new text", || refusal().contains("second"));
}
