//! Mail through a whole instance: SMTP, journal, queue manager, Maildir; and what crashes, reloads and stops cost.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, PATIENCE, Signal, eventually, kill, run, said, signal};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// An instance that delivers mail for example.org into one Maildir and other mail to a port where nobody listens.
fn instance(more: &str) -> Instance {
    let instance = Instance::new("");
    let (uid, gid) = match rustix::process::geteuid() {
        uid if uid.is_root() => (65534, 65534),
        uid => (uid.as_raw(), rustix::process::getegid().as_raw()),
    };
    let mail = instance.path("mail");
    std::fs::create_dir_all(&mail).unwrap();
    std::os::unix::fs::chown(&mail, Some(uid), Some(gid)).unwrap();
    instance.write_main_cf(&format!(
        "virtual_mailbox_domains = example.org\nvirtual_mailbox_base = {}\nvirtual_mailbox_maps = static:box/\n\
         virtual_minimum_uid = 1\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
         relayhost = [127.0.0.1]:{}\n{more}",
        mail.display(),
        integration::free_port(),
    ));
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - - smtpd\nvirtual unix - n n - - virtual\nsmtp unix - - n - - smtp\n",
        instance.port
    ));
    instance
}

/// The texts of what lies in the Maildir.
fn delivered(instance: &Instance) -> Vec<String> {
    let entries = std::fs::read_dir(instance.path("mail/box/new")).into_iter().flatten();
    entries.filter_map(|e| std::fs::read_to_string(e.ok()?.path()).ok()).collect()
}

#[test]
fn a_message_goes_from_smtp_through_the_queue_into_a_maildir() {
    let instance = instance("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    let id = client.send("ann@example.org", "Subject: one\r\n\r\n..dots\r\nlast line");
    client.say("QUIT", "221");
    eventually("the message is removed", || instance.log().contains(&format!("{id}: removed")));
    let mail = delivered(&instance);
    assert_eq!(mail.len(), 1);
    assert!(
        mail[0].contains(&format!("id {id}")) && mail[0].ends_with("\n\n.dots\nlast line\n"),
        "{}",
        mail[0]
    );
    let log = instance.log();
    let lines: Vec<&str> = log.lines().filter(|l| l.contains(&id)).collect();
    let order = [
        ": client=",
        ": message-id=",
        ": from=<sender@example.net>, size=",
        ": to=<ann@example.org>, relay=virtual, ",
        ": removed",
    ];
    assert_eq!(lines.len(), order.len(), "{log}");
    for (line, words) in lines.iter().zip(order) {
        assert!(line.contains(words), "{words}: {log}");
    }
    let list = instance.posthaste(&["postqueue", "-p"]);
    assert_eq!(said(&list), "Mail queue is empty\n");
}

#[test]
fn no_mail_is_lost_over_kills_of_the_queue_manager_and_few_messages_repeat() {
    let instance = instance("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    for round in 0..5 {
        kill(instance.role_pids("qmgr")[0]);
        for n in 0..10 {
            client.send("ann@example.org", &format!("Subject: {round}-{n}\r\n\r\nx"));
        }
        eventually("another qmgr", || instance.role_pids("qmgr").len() == 1);
        // Its restarts are put off more and more; the rounds wait for it.
        eventually("delivery", || delivered(&instance).len() >= (round + 1) * 10);
    }
    let mut subjects: Vec<String> = delivered(&instance)
        .iter()
        .filter_map(|m| m.lines().find_map(|l| l.strip_prefix("Subject: ").map(str::to_owned)))
        .collect();
    subjects.sort();
    let total = subjects.len();
    subjects.dedup();
    assert_eq!(subjects.len(), 50);
    // What was being delivered at a kill may come twice: its end was not in the journal yet.
    assert!(total <= 50 + 5 * 10, "{total}");
}

#[test]
fn a_session_that_is_open_at_a_reload_goes_on_until_its_client_ends_it() {
    let instance = instance("");
    instance.start();
    let old = instance.role_pids("smtpd");
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    assert!(instance.posthaste(&["reload"]).status.success());
    eventually("a new smtpd", || instance.role_pids("smtpd").iter().any(|pid| !old.contains(pid)));
    client.say("RCPT TO:<ann@example.org>", "250");
    client.say("DATA", "354");
    client.say("Subject: x\r\n\r\nx\r\n.", "250");
    eventually("delivery", || delivered(&instance).len() == 1);
    // Whoever comes now meets the new process, once it serves.
    Client::greeted(instance.port).send("ann@example.org", "Subject: y\r\n\r\ny");
    client.send("ann@example.org", "Subject: z\r\n\r\nz");
    client.say("NOOP", "250");
    client.send("ann@example.org", "Subject: zz\r\n\r\nzz");
    eventually("delivery", || delivered(&instance).len() == 4);
    assert!(instance.role_pids("smtpd").iter().any(|pid| old.contains(pid)));
    client.say("QUIT", "221");
    eventually("the old smtpd is gone", || instance.role_pids("smtpd").iter().all(|pid| !old.contains(pid)));
}

#[test]
fn a_stop_behind_a_reload_ends_the_sessions_of_both_processes() {
    let instance = instance("");
    instance.start();
    let old = instance.role_pids("smtpd");
    let mut client = Client::greeted(instance.port);
    assert!(instance.posthaste(&["reload"]).status.success());
    eventually("a new smtpd", || instance.role_pids("smtpd").iter().any(|pid| !old.contains(pid)));
    let mut other = Client::greeted(instance.port);
    assert!(instance.posthaste(&["stop"]).status.success());
    assert!(client.reply().starts_with("421 4.3.2"));
    assert!(other.reply().starts_with("421 4.3.2"));
}

#[test]
fn a_stop_tells_a_client_within_a_transaction_once_its_grace_is_over() {
    let instance = instance("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    client.say("MAIL FROM:<sender@example.net>", "250");
    client.say("RCPT TO:<ann@example.org>", "250");
    client.say("DATA", "354");
    assert!(instance.posthaste(&["stop"]).status.success());
    assert!(client.reply().starts_with("421 4.3.2 "));
    assert!(instance.log().contains(" data=0/1 "), "the session's end is in the log");
}

#[test]
fn the_queue_is_listed_while_the_queue_manager_stands_still() {
    let instance = instance("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    let id = client.send("bob@elsewhere.example", "Subject: x\r\n\r\nx");
    eventually("the first attempt", || instance.log().contains(&format!("{id}: to=<bob@elsewhere.example>")));
    let listed = || said(&instance.posthaste(&["postqueue", "-p"]));
    assert!(listed().contains(&id), "{}", listed());
    let qmgr = instance.role_pids("qmgr")[0];
    signal(qmgr, Signal::STOP);
    let without = listed();
    signal(qmgr, Signal::CONT);
    assert!(without.contains(&id) && without.contains("in 1 Request."), "{without}");
}

#[test]
fn stop_leaves_waiting_mail_as_a_queue_file_and_start_takes_it_over() {
    let instance = instance("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    let id = client.send("bob@elsewhere.example", "Subject: x\r\n\r\nx");
    eventually("the first attempt", || instance.log().contains(&format!("{id}: to=<bob@elsewhere.example>")));
    assert!(instance.log().contains("status=deferred"), "{}", instance.log());
    assert!(instance.posthaste(&["stop"]).status.success());
    let file: PathBuf = instance.path("spool/deferred").join(&id[..1]).join(&id);
    assert!(file.is_file(), "{}", instance.log());
    let segments = std::fs::read_dir(instance.path("spool/journal")).unwrap();
    let used =
        segments.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "seg")).count();
    assert_eq!(used, 0, "the journal is empty, so that Postfix can start next");
    instance.start();
    let listed = || said(&instance.posthaste(&["postqueue", "-p"]));
    eventually("the message is listed", || listed().contains(&id));
}

#[test]
fn numbers_in_brackets_differ_between_open_sessions() {
    let instance = instance("");
    instance.start();
    let clients: Vec<Client> = (0..20).map(|_| Client::greeted(instance.port)).collect();
    eventually("20 lines", || instance.log().matches(": connect from ").count() == 20);
    let log = instance.log();
    let connects = log.lines().filter(|l| l.contains(": connect from "));
    let mut numbers: Vec<&str> = connects.filter_map(|l| l.split(['[', ']']).nth(1)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
    drop(clients);
}

#[test]
fn a_number_in_master_cf_limits_the_sessions_of_that_service() {
    let instance = instance("");
    instance.write_master_cf(&format!("127.0.0.1:{} inet n - n - 2 smtpd\n", instance.port));
    instance.start();
    let first = Client::greeted(instance.port);
    let _second = Client::greeted(instance.port);
    let mut third = Client::connect(instance.port);
    third.reader.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.reader.get_mut().read(&mut [0; 1]).is_err(), "no greeting beyond the limit");
    third.reader.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    drop(first);
    assert!(third.reply().starts_with("220 "));
    assert!(instance.log().contains("has reached its"), "{}", instance.log());
}

#[test]
fn quickstart_delivers_a_message_serves_and_ends_with_ctrl_c() {
    let directory = std::env::temp_dir().join(format!("posthaste-quick-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let program = testkit::world::posthaste().unwrap();
    let port = integration::free_port().to_string();
    let mut child = Command::new(&program)
        .args(["quickstart", "--port", &port])
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Serving until Ctrl-C") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(said.contains("status=sent (delivered to maildir)") && said.contains(": removed"), "{said}");
    let file = said.lines().find_map(|l| l.strip_prefix("It lies in ")).unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains("Subject: the first message"));
    let taken = Command::new(&program)
        .args(["quickstart", "--port", &port])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        integration::said(&taken).contains(&format!("port {port} cannot be used")),
        "{}",
        integration::said(&taken)
    );
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn every_command_of_the_table_answers_help() {
    let program = testkit::world::posthaste().unwrap();
    let help = said(&run(&program, &["--help"]));
    let names = help.lines().filter_map(|l| l.strip_prefix("  ")).filter_map(|l| l.split_whitespace().next());
    let mut count = 0;
    for name in names {
        let output = run(&program, &[name, "--help"]);
        assert!(
            output.status.success() && said(&output).starts_with(&format!("usage: posthaste {name}")),
            "{name}"
        );
        count += 1;
    }
    assert!(count >= 14, "{help}");
}
