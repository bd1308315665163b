//! start, stop, reload, status, check: exit codes, words, locks, and what a crash of a process costs.

use integration::{Instance, eventually, free_port, kill, run, said};
use rustix::fs::{FlockOperation, flock};
use std::net::{TcpListener, TcpStream};

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn an_instance_starts_tells_its_status_and_stops() {
    let instance = Instance::new("");
    assert_eq!(instance.posthaste(&["status"]).status.code(), Some(1));
    instance.start();
    let status = instance.posthaste(&["status"]);
    let pid = instance.master_pid().expect("a pid file");
    assert_eq!(status.status.code(), Some(0));
    assert!(
        said(&status).contains(&format!("the Postfix mail system is running: PID: {pid}")),
        "{}",
        said(&status)
    );
    assert!(accepts(instance.port));
    for role in ["smtpd", "qmgr", "local", "control"] {
        assert_eq!(instance.role_pids(role).len(), 1, "{role}");
    }

    let stop = instance.posthaste(&["stop"]);
    assert_eq!(stop.status.code(), Some(0), "{}", said(&stop));
    assert_eq!(instance.posthaste(&["status"]).status.code(), Some(1));
    assert!(!accepts(instance.port));
    for role in ["smtpd", "qmgr", "local", "control"] {
        assert_eq!(instance.role_pids(role), Vec::<i32>::new(), "{role}");
    }
    let log = instance.log();
    let order = [
        "starting the Postfix mail system",
        "daemon started -- version ",
        "stopping the Postfix",
        "terminating on signal 15",
    ];
    let at: Vec<_> = order.iter().map(|words| log.find(words)).collect();
    assert!(at.iter().all(Option::is_some) && at[0] < at[1] && at[1] < at[2].min(at[3]), "{log}");
}

#[test]
fn an_instance_ends_with_its_test_whatever_became_of_its_configuration() {
    let instance = Instance::new("");
    instance.start();
    let pids = instance.all_pids();
    assert_eq!(pids.len(), 5, "master and four roles");
    std::fs::remove_dir_all(instance.etc()).expect("its own directory");
    drop(instance);
    for pid in pids {
        // One that has ended and whose parent has not looked yet has no command any more.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(command.is_empty(), "{pid}: {}", String::from_utf8_lossy(&command));
    }
}

#[test]
fn processes_have_what_import_environment_names_and_nothing_else() {
    let instance = Instance::new("import_environment = HOME NO_SUCH=given { TWO = a b } UNSET_BY_US\n");
    instance.start();
    let home = std::env::var("HOME").unwrap_or_default();
    let directory = format!("MAIL_CONFIG={}", instance.etc().display());
    let expected = [format!("HOME={home}"), directory, "NO_SUCH=given".into(), "TWO=a b".into()];
    for pid in instance.all_pids() {
        let found = std::fs::read(format!("/proc/{pid}/environ")).expect("our own process");
        let found = String::from_utf8(found).expect("text");
        let mut found: Vec<_> = found.split_terminator('\0').map(str::to_owned).collect();
        found.retain(|variable| !variable.starts_with("POSTHASTE_FORGET="));
        found.sort();
        assert_eq!(found, expected);
    }
    instance.write_main_cf("import_environment = =x\n");
    let check = instance.posthaste(&["check"]);
    let wrong = "main.cf:12: import_environment: expected NAME, NAME=value or { NAME = value }, found `=x`";
    assert!(said(&check).contains(wrong), "{}", said(&check));
}

#[test]
fn commands_for_the_wrong_state_fail_as_postfix_does() {
    let instance = Instance::new("");
    for command in ["stop", "reload"] {
        let output = instance.posthaste(&[command]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(said(&output).contains("fatal: the Postfix mail system is not running"), "{}", said(&output));
    }
    instance.start();
    let again = instance.posthaste(&["start"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("fatal: the Postfix mail system is already running"), "{}", said(&again));
    assert_eq!(instance.posthaste(&["postfix", "status"]).status.code(), Some(0));
    let unknown = instance.posthaste(&["postfix", "frobnicate"]);
    assert!(
        said(&unknown).contains("unknown command: 'frobnicate'. Usage: postfix start"),
        "{}",
        said(&unknown)
    );
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn the_directory_is_taken_in_front_of_the_command_and_behind_it_and_a_link_names_the_command() {
    let instance = Instance::new("");
    let (etc, program) = (instance.etc(), testkit::world::posthaste().unwrap());
    let etc = etc.to_str().unwrap();
    for words in [["-c", etc, "status"], ["status", "-c", etc]] {
        let output = run(&program, &words);
        assert!(said(&output).contains("is not running"), "{words:?}: {}", said(&output));
    }
    let link = instance.path("postfix");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    for words in [["-c", etc, "status"], ["status", "-c", etc]] {
        assert_eq!(run(&link, &words).status.code(), Some(1), "{words:?}");
    }
    assert!(run(&program, &["--help"]).status.success());
    assert_eq!(run(&program, &["no-such-command"]).status.code(), Some(1));
}

#[test]
fn a_lock_that_another_program_holds_keeps_us_from_starting() {
    let instance = Instance::new("");
    instance.start();
    instance.posthaste(&["stop"]);
    for name in ["spool/pid/master.pid", "lib/master.lock"] {
        let file = std::fs::OpenOptions::new().write(true).open(instance.path(name)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .expect("no process of the stopped instance holds it");
        let output = instance.posthaste(&["start"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said(&output).contains("already run"), "{name}: {}", said(&output));
    }
    instance.start();
}

#[test]
fn a_port_that_is_taken_stops_the_start_and_leaves_nothing_behind() {
    let instance = Instance::new("");
    let _taken = TcpListener::bind(("127.0.0.1", instance.port)).unwrap();
    let output = instance.posthaste(&["start"]);
    assert_eq!(output.status.code(), Some(1));
    let words = format!("bind 127.0.0.1 port {}: Address already in use", instance.port);
    assert!(said(&output).contains(&words), "{}", said(&output));
    assert!(instance.log().contains(&words), "{}", instance.log());
    assert_eq!(instance.role_pids("qmgr"), Vec::<i32>::new());
    assert_eq!(instance.posthaste(&["status"]).status.code(), Some(1));
}

#[test]
fn a_killed_process_is_started_again() {
    let instance = Instance::new("");
    instance.start();
    for role in ["qmgr", "smtpd", "local", "control"] {
        let old = instance.role_pids(role);
        kill(old[0]);
        eventually(role, || instance.role_pids(role).first().is_some_and(|pid| *pid != old[0]));
        eventually("the log", || {
            instance.log().contains(&format!("warning: process {role} pid {} killed by signal 9", old[0]))
        });
    }
    eventually("smtpd accepts", || accepts(instance.port));
}

#[test]
fn roles_end_when_master_was_killed_and_hold_the_lock_until_then() {
    let instance = Instance::new("");
    instance.start();
    kill(instance.master_pid().unwrap());
    eventually("the roles are gone", || {
        ["smtpd", "qmgr", "local", "control"].iter().all(|role| instance.role_pids(role).is_empty())
    });
    instance.start();
}

#[test]
fn reload_checks_first_and_then_replaces_smtpd_without_closing_the_port() {
    let instance = Instance::new("");
    instance.start();
    let old = instance.role_pids("smtpd");

    instance.write_main_cf("smtpd_recipient_limit = lots\nsyslog_facility = post\n");
    let output = instance.posthaste(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("main.cf:12: smtpd_recipient_limit: expected ") && text.contains("found `lots`"),
        "{text}"
    );
    assert!(instance.role_pids("smtpd") == old && accepts(instance.port));

    let second = free_port();
    instance.write_main_cf("");
    let line = |port: u16| format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    instance.write_master_cf(&(line(instance.port) + &line(second)));
    let output = instance.posthaste(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("another smtpd alone", || {
        let now = instance.role_pids("smtpd");
        now.len() == 1 && now != old
    });
    assert!(accepts(instance.port) && accepts(second));
    assert!(instance.log().contains("reload -- version "), "{}", instance.log());
}

#[test]
fn check_tells_every_mistake_with_its_line_and_exits_1() {
    let instance = Instance::new("smtpd_timeout = soon\n");
    instance.write_master_cf("smtp inet n - x - - smtpd\n");
    let output = instance.posthaste(&["check"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("main.cf:12: smtpd_timeout: expected ")
            && text.contains("master.cf:1: smtp/inet: chroot: "),
        "{text}"
    );
    instance.write_main_cf("");
    instance.write_master_cf("smtp inet n - n - - smtpd\n");
    let output = instance.posthaste(&["check"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_missing_owner_is_told_with_the_command_that_creates_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root looks for mail_owner");
        return;
    }
    let instance = Instance::new("mail_owner = nosuchowner\nsetgid_group = nosuchgroup\n");
    let text = said(&instance.posthaste(&["start"]));
    assert!(
        text.contains("main.cf:12: mail_owner: ")
            && text.contains("useradd")
            && text.contains(" nosuchowner"),
        "{text}"
    );
}

#[test]
fn a_missing_group_is_told_with_the_command_that_creates_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root looks for setgid_group");
        return;
    }
    // Debian has a user `nobody`.
    let instance = Instance::new("mail_owner = nobody\nsetgid_group = nosuchgroup\n");
    let text = said(&instance.posthaste(&["check"]));
    assert!(text.contains("setgid_group: ") && text.contains("groupadd --system nosuchgroup"), "{text}");
}

#[test]
fn a_new_log_file_has_the_mode_that_is_set() {
    use std::os::unix::fs::PermissionsExt;
    let instance = Instance::new("maillog_file_permissions = 0640\n");
    instance.start();
    let mode = std::fs::metadata(instance.path("log")).expect("a log").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn what_is_not_honoured_yet_stands_in_the_log_at_start_and_at_reload() {
    let instance = Instance::new("qmqpd_error_delay = 2s\n");
    instance.start();
    let told = |name: &str| instance.log().contains(&format!("{name}: not honoured yet: "));
    assert!(told("qmqpd_error_delay"), "{}", instance.log());
    instance.write_main_cf("qmqpd_timeout = 3s\n");
    assert!(instance.posthaste(&["reload"]).status.success());
    eventually("the warning of the reload", || told("qmqpd_timeout"));
}

#[test]
fn what_is_dangerous_to_ignore_keeps_it_from_starting_and_from_a_reload() {
    let dangerous = "smtp_tls_security_level = encrypt\n";
    let instance = Instance::new(dangerous);
    let output = instance.posthaste(&["start"]);
    assert!(
        !output.status.success() && said(&output).contains("smtp_tls_security_level: "),
        "{}",
        said(&output)
    );
    instance.write_main_cf("");
    instance.start();
    instance.write_main_cf(dangerous);
    let output = instance.posthaste(&["reload"]);
    assert!(
        !output.status.success() && said(&output).contains("smtp_tls_security_level: "),
        "{}",
        said(&output)
    );
}
