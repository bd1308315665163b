//! Services as master.cf describes them: one smtpd for each root, and sockets of this host.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, eventually, free_port, kill, said};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Where a process has its root.
fn root_of(pid: i32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/root")).unwrap()
}

/// One line of master.cf for each port.
fn lines(ports: &[(u16, &str)]) -> String {
    ports.iter().map(|(port, chroot)| format!("127.0.0.1:{port} inet n - {chroot} - - smtpd\n")).collect()
}

#[test]
fn services_with_y_are_served_below_queue_directory_and_the_others_are_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can chroot");
        return;
    }
    let instance = Instance::new("default_transport = discard\nalias_maps =\n");
    let (plain, chrooted) = (instance.port, free_port());
    let discard = "discard unix - - n - - discard\n";
    instance.write_master_cf(&(lines(&[(plain, "n"), (chrooted, "y")]) + discard));
    instance.start();

    let one = |role: &str| match instance.role_pids(role)[..] {
        [pid] => pid,
        ref pids => panic!("{role}: {pids:?}"),
    };
    assert_eq!(root_of(one("smtpd")), PathBuf::from("/"));
    assert_eq!(root_of(one("smtpd-chroot")), instance.path("spool"));
    assert_eq!(root_of(one("qmgr")), PathBuf::from("/"));
    let sent = |port: u16| {
        let mut client = Client::greeted(port);
        let id = client.send("ann@example.org", "Subject: one\r\n\r\ntext");
        eventually("the message is delivered", || instance.log().contains(&format!("{id}: removed")));
        let log = instance.log();
        let line = log.lines().find(|l| l.contains(&id) && l.contains("client=")).unwrap();
        assert!(line.contains(" postfix/smtpd[") && line.contains("client=localhost[127.0.0.1]"), "{line}");
    };
    sent(plain);
    sent(chrooted);

    // A crash of one leaves the other alone.
    let (old, other) = (one("smtpd-chroot"), one("smtpd"));
    kill(old);
    eventually("another chrooted smtpd", || {
        instance.role_pids("smtpd-chroot").first().is_some_and(|pid| *pid != old)
    });
    sent(chrooted);
    assert_eq!(one("smtpd"), other);

    // Only chrooted services are left: their process does all that the other did.
    instance.write_master_cf(&(lines(&[(plain, "y"), (chrooted, "y")]) + discard));
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("the chrooted smtpd alone", || {
        instance.role_pids("smtpd").is_empty() && instance.role_pids("smtpd-chroot").len() == 1
    });
    assert_eq!(root_of(one("smtpd-chroot")), instance.path("spool"));
    sent(plain);
    sent(chrooted);
    let trigger = UnixStream::connect(instance.path("spool/public/pickup"));
    assert!(trigger.is_ok(), "pickup listens");

    // And back.
    instance.write_master_cf(&(lines(&[(plain, "n"), (chrooted, "n")]) + discard));
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("the plain smtpd alone", || {
        instance.role_pids("smtpd").len() == 1 && instance.role_pids("smtpd-chroot").is_empty()
    });
    sent(plain);
    sent(chrooted);
    let stop = instance.posthaste(&["stop"]);
    assert!(stop.status.success(), "{}", said(&stop));
    let log = instance.log();
    assert!(!log.contains("warning: ") || log.matches("warning: ").count() == 1, "{log}");
}

#[test]
fn who_is_not_root_is_told_of_the_line_once() {
    let instance = Instance::new("");
    instance.write_master_cf(&lines(&[(instance.port, "y")]));
    let words = "inet: not started as root, so it cannot be chrooted";
    let check = instance.posthaste(&["check"]);
    assert!(check.status.success(), "{}", said(&check));
    assert_eq!(said(&check).contains(words), !rustix::process::geteuid().is_root(), "{}", said(&check));
}

#[test]
fn a_unix_service_takes_mail_from_localhost_below_either_root() {
    let instance = Instance::new("default_transport = discard\n");
    let chroot = if rustix::process::geteuid().is_root() { "y" } else { "n" };
    let services = format!(
        "inner unix - - {chroot} - - smtpd -o syslog_name=postfix/inner\nouter unix n - n - - smtpd\n\
         discard unix - - n - - discard\n"
    );
    instance.write_master_cf(&services);
    instance.start();
    for (name, program) in [("private/inner", "postfix/inner/smtpd"), ("public/outer", "postfix/smtpd")] {
        let path = instance.path("spool").join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o666, "{name}");
        let id = Client::greeted_at(&path).send("ann@example.org", "Subject: one\r\n\r\ntext");
        eventually("the message is delivered", || instance.log().contains(&format!("{id}: removed")));
        let log = instance.log();
        let line = log.lines().find(|l| l.contains(&format!("{id}: client="))).unwrap();
        let (who, client) = (format!(" {program}["), format!("{id}: client=localhost[127.0.0.1]"));
        assert!(line.contains(&who) && line.ends_with(&client), "{line}");
    }

    // A reload keeps the sockets that stay and takes the names of the others away.
    let stays = std::fs::metadata(instance.path("spool/public/outer")).unwrap().ino();
    instance.write_master_cf("outer unix n - n - - smtpd\ndiscard unix - - n - - discard\n");
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("the name is gone", || !instance.path("spool/private/inner").exists());
    assert_eq!(std::fs::metadata(instance.path("spool/public/outer")).unwrap().ino(), stays);
    Client::greeted_at(&instance.path("spool/public/outer")).say("QUIT", "221");
}

#[test]
fn a_pass_service_serves_the_connection_that_is_handed_over() {
    let instance = Instance::new("smtpd_peername_lookup = no\n");
    instance.write_master_cf("passer pass - - n - - smtpd\n");
    instance.start();
    for (attributes, client) in [
        (&b"\0"[..], "unknown[127.0.0.1]"),
        (b"client_address\x00192.0.2.9\0client_port\x007777\0\0", "unknown[192.0.2.9]"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client_end = Client::connect(listener.local_addr().unwrap().port());
        let (theirs, _) = listener.accept().unwrap();
        let mut passer = UnixStream::connect(instance.path("spool/private/passer")).unwrap();
        sys::send_with_fds(&passer, b"\0", &[theirs.as_fd()]).unwrap();
        drop(theirs);
        passer.write_all(attributes).unwrap();
        assert!(client_end.reply().starts_with("220 mail.example.com "));
        assert_eq!(passer.read(&mut [0]).unwrap(), 0, "who hands over waits for the end");
        client_end.say("QUIT", "221");
        eventually("the session is logged", || {
            instance.log().lines().any(|l| l.contains(": disconnect from ") && l.contains(client))
        });
    }
}

#[test]
fn a_chrooted_smtpd_knows_the_users_of_the_host_by_asking_control() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: chroot needs root");
        return;
    }
    let instance = Instance::new("mydestination = here.example\nalias_maps =\nrecipient_delimiter = +\n");
    let plain = free_port();
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - y - - smtpd\n127.0.0.1:{plain} inet n - n - - smtpd\n",
        instance.port
    ));
    instance.start();
    for port in [instance.port, plain] {
        let mut client = Client::greeted(port);
        client.say("EHLO client.example", "250");
        client.say("MAIL FROM:<a@example.org>", "250");
        client.say("RCPT TO:<Root+x@here.example>", "250");
        let refused = client.say("RCPT TO:<nosuchuser@here.example>", "550");
        assert!(refused.contains("User unknown in local recipient table"), "{refused}");
    }
}

#[test]
fn a_stop_ends_a_command_that_goes_on_and_its_mail_is_delivered_after_the_start() {
    let instance = Instance::new("default_transport = slow\nalias_maps =\n");
    let place = instance.path("commands");
    std::fs::create_dir(&place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "#!/bin/sh\ncd {0}\ncat >/dev/null\necho $$ >pid\necho begun >>log\n[ -e short ] || exec sleep 600\necho done >>log\n",
        place.display()
    );
    std::fs::write(place.join("slow"), script).unwrap();
    std::fs::set_permissions(place.join("slow"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let line = format!("slow unix - n n - - pipe\n  user=nobody argv={}/slow\n", place.display());
    instance.write_master_cf(&(lines(&[(instance.port, "n")]) + &line + "retry unix - - n - - error\n"));
    instance.start();
    let said_by_command = || std::fs::read_to_string(place.join("log")).unwrap_or_default();
    let mut client = Client::greeted(instance.port);
    let id = client.send("ann@example.org", "Subject: one\r\n\r\ntext");
    drop(client);
    eventually("the command runs", || said_by_command() == "begun\n");

    assert!(instance.posthaste(&["stop"]).status.success());
    let log = instance.log();
    let told = format!("{id}: to=<ann@example.org>, relay=slow, ");
    let line = log.lines().find(|l| l.contains(&told)).unwrap();
    assert!(line.contains("dsn=4.3.0, status=deferred (Command was ended with the mail system: "), "{line}");
    let command = std::fs::read_to_string(place.join("pid")).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", command.trim())).exists(), "it does not run on");

    std::fs::write(place.join("short"), "").unwrap();
    instance.start();
    eventually("it is delivered", || {
        // The queue may still be read when the first one comes.
        assert!(instance.posthaste(&["postqueue", "-f"]).status.success());
        instance.log().contains(&format!("{id}: removed"))
    });
    assert_eq!(said_by_command(), "begun\nbegun\ndone\n");
}
