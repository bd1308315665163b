//! The administrator who misuses the program: each command in the wrong state, with the wrong words, on the wrong files.

use integration::client::Client;
use integration::{Instance, Signal, eventually, kill, run, said, signal};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

fn program() -> std::path::PathBuf {
    testkit::world::posthaste().expect("a built posthaste")
}

/// Runs the program without a configuration directory of the test's.
fn bare(words: &[&str]) -> Output {
    run(&program(), words)
}

fn expect(output: &Output, code: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "expected `{word}` in: {text}");
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of ours");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_configuration_directory_that_is_none_is_told_with_what_was_expected() {
    for command in ["start", "start-fg", "stop", "reload", "status", "check"] {
        let nowhere = ["configuration directory `/nonexistent`", "found nothing there", "-c DIRECTORY names"];
        expect(&bare(&["-c", "/nonexistent", command]), 1, &nowhere);
        expect(&bare(&[command, "-c", "/etc/passwd"]), 1, &["`/etc/passwd`", "found a file"]);
        expect(&bare(&[command, "-c"]), 1, &["-c: expected a directory behind it"]);
        let unknown = [format!("found `--frob`; see `posthaste {command} --help`")];
        expect(&bare(&[command, "--frob"]), 1, &[&unknown[0]]);
    }
    expect(&bare(&["-c"]), 1, &["-c: expected a directory behind it"]);
    expect(&bare(&["frobnicate"]), 1, &["expected a command, found `frobnicate`", "--help"]);
    expect(&bare(&["master"]), 1, &["`posthaste start` starts it"]);
    expect(&bare(&["role"]), 1, &["--help"]);
    expect(
        &bare(&["postfix", "-x", "start"]),
        1,
        &["invalid option -- 'x'", "usage: postfix [-c config_dir]"],
    );
    expect(&bare(&["postfix"]), 1, &["usage: postfix [-c config_dir] [-Dv] command"]);
    expect(&bare(&["postfix", "-c"]), 1, &["option requires an argument -- 'c'", "usage: postfix"]);
    expect(&bare(&["postdrop", "-c"]), 1, &["usage: postdrop [-c config_dir]"]);
    expect(&bare(&["quickstart", "--port"]), 1, &["--port: expected a number from 1 to 65535 behind it"]);
    expect(&bare(&["quickstart", "--port", "0"]), 1, &["expected a number from 1 to 65535, found `0`"]);
}

#[test]
fn every_command_of_the_list_tells_its_usage() {
    let list = said(&bare(&["--help"]));
    let names: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(names.len() > 12, "{list}");
    for name in names {
        let usage = format!("usage: posthaste {name} ");
        expect(&bare(&[name, "--help"]), 0, &[&usage]);
        expect(&bare(&["help", name]), 0, &[&usage]);
    }
    expect(&bare(&["start", "-c", "/nonexistent", "--help"]), 0, &["usage: posthaste start"]);
    expect(&bare(&["postfix", "start", "--help"]), 0, &["usage: posthaste postfix"]);
}

#[test]
fn what_runs_can_be_asked_for_and_stopped_while_its_configuration_has_mistakes() {
    let instance = Instance::new("");
    instance.start();
    instance.write_main_cf("no setting\nsmtpd_timeout = soon\n");
    std::fs::remove_file(instance.etc().join("master.cf")).unwrap();
    let mistakes = ["main.cf:12: expected `name = value`, found `no setting`", "main.cf:13: smtpd_timeout: "];

    let status = instance.posthaste(&["status"]);
    expect(&status, 0, &mistakes);
    expect(&status, 0, &["is running: PID: "]);
    let reload = instance.posthaste(&["reload"]);
    expect(&reload, 1, &["master.cf: cannot be read", "goes on with its old configuration"]);
    expect(&instance.posthaste(&["stop"]), 0, &mistakes);
    expect(&instance.posthaste(&["status"]), 1, &["is not running"]);
    expect(&instance.posthaste(&["start"]), 1, &["master.cf: cannot be read: No such file", "-c"]);
}

#[test]
fn a_queue_that_may_be_another_ones_is_not_stopped() {
    let instance = Instance::new("");
    let path = instance.etc().join("main.cf");
    let text = std::fs::read_to_string(&path).unwrap().replace("queue_directory = ", "queue_directory ");
    std::fs::write(&path, text).unwrap();
    expect(&instance.posthaste(&["stop"]), 1, &["main.cf:2: ", "queue_directory: cannot tell which one"]);
}

#[test]
fn users_send_and_list_mail_while_a_daemons_setting_is_wrong() {
    let instance = Instance::new("");
    instance.start();
    instance.write_main_cf("smtpd_timeout = soon\n");
    expect(&instance.posthaste(&["postqueue", "-p"]), 0, &["Mail queue is empty"]);
    instance.write_main_cf("message_size_limit = 10M\n");
    expect(&instance.posthaste(&["postqueue", "-p"]), 69, &["main.cf:12: message_size_limit: ", "`10M`"]);
    instance.write_main_cf("");
}

#[test]
fn check_tells_missing_directories_and_postfix_check_makes_them() {
    let instance = Instance::new("");
    expect(&instance.posthaste(&["check"]), 0, &["missing: ", "/spool (a start makes it)"]);
    assert!(!instance.path("spool").exists());
    expect(&instance.posthaste(&["postfix", "check"]), 0, &[]);
    assert!(instance.path("spool/active").is_dir());
    assert_eq!(said(&instance.posthaste(&["check"])), "");
    std::fs::remove_dir(instance.path("spool/hold")).unwrap();
    expect(&instance.posthaste(&["check"]), 0, &["missing: ", "/spool/hold"]);
    expect(&instance.posthaste(&["spool", "export"]), 0, &["0 messages"]);
    instance.write_master_cf("");
    expect(&instance.posthaste(&["check"]), 0, &["master.cf: no smtpd line that listens"]);
}

#[test]
fn directories_that_cannot_be_used_stop_check_and_start_with_the_command_that_helps() {
    let instance = Instance::new("");
    instance.posthaste(&["postfix", "check"]);
    std::fs::remove_dir(instance.path("spool/active")).unwrap();
    std::fs::write(instance.path("spool/active"), "").unwrap();
    for command in ["check", "start", "start-fg"] {
        let words = ["/spool/active: expected a directory, found a file", "Postfix integrity check failed!"];
        expect(&instance.posthaste(&[command]), 1, &words);
    }
    std::fs::remove_file(instance.path("spool/active")).unwrap();
    std::fs::remove_dir_all(instance.path("spool")).unwrap();
    std::fs::write(instance.path("spool"), "").unwrap();
    expect(&instance.posthaste(&["start"]), 1, &["/spool: expected a directory, found a file"]);
    std::fs::remove_file(instance.path("spool")).unwrap();
    if !is_root() {
        return;
    }
    instance.posthaste(&["postfix", "check"]);
    let active = instance.path("spool/active");
    std::os::unix::fs::chown(&active, Some(0), None).unwrap();
    chmod(&instance.path("lib"), 0o777);
    std::os::unix::fs::chown(instance.path("spool/pid"), Some(1), None).unwrap();
    let chown = format!("chown -R daemon {}", active.display());
    let warnings = ["warning: group or other writable: ", "warning: not owned by root: ", &chown];
    expect(&instance.posthaste(&["check"]), 1, &warnings);
    std::os::unix::fs::chown(&active, Some(1), None).unwrap();
    expect(&instance.posthaste(&["check"]), 0, &warnings[..2]);

    chmod(&instance.path(""), 0o700);
    expect(&instance.posthaste(&["start"]), 1, &["mail_owner daemon may not pass", "chmod o+x "]);
    chmod(&instance.path(""), 0o755);
    instance.start();
}

#[test]
fn a_reload_that_some_processes_could_not_read_changes_nothing() {
    if !is_root() {
        eprintln!("skipped: only root gives up its rights");
        return;
    }
    let instance = Instance::new("");
    instance.start();
    chmod(&instance.etc().join("main.cf"), 0o600);
    let reload = instance.posthaste(&["reload"]);
    expect(&reload, 1, &["mail_owner daemon may not read it", "chmod o+r ", "the old configuration stays"]);
    assert!(!instance.log().contains("reload -- version"));
    chmod(&instance.etc().join("main.cf"), 0o644);
}

#[test]
fn a_wrong_value_is_told_once_though_other_parameters_repeat_it() {
    let instance = Instance::new("mynetworks = 192.0.2.0/99\n");
    let check = instance.posthaste(&["check"]);
    expect(
        &check,
        1,
        &["main.cf:12: mynetworks: expected a prefix length from 0 to 32, found `192.0.2.0/99`"],
    );
    assert_eq!(said(&check).matches("192.0.2.0/99").count(), 1, "{}", said(&check));
}

#[test]
fn relative_directories_are_refused() {
    let instance = Instance::new("data_directory = lib\n");
    let words = ["main.cf:12: data_directory: expected an absolute path, found `lib`"];
    expect(&instance.posthaste(&["check"]), 1, &words);
}

#[test]
fn two_instances_do_not_share_a_queue_nor_a_data_directory() {
    let (first, second) = (Instance::new(""), Instance::new(""));
    first.start();
    let pid = first.master_pid().unwrap();
    second.write_main_cf(&format!("queue_directory = {}\n", first.path("spool").display()));
    let held = format!("process {pid} holds {}", first.path("spool/pid/master.pid").display());
    expect(&second.posthaste(&["start"]), 1, &["already running", &held]);
    second.write_main_cf(&format!("data_directory = {}\n", first.path("lib").display()));
    expect(&second.posthaste(&["start"]), 1, &["master.lock is locked by process", "of its own"]);
    // Or the end of this test would stop the first one once more.
    second.write_main_cf("");
    expect(&first.posthaste(&["status"]), 0, &["is running"]);
}

#[test]
fn a_port_that_is_taken_is_told_with_how_to_find_who_has_it() {
    let instance = Instance::new("");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", instance.port)).unwrap();
    let words = format!("`ss -ltnp sport = {}`", instance.port);
    let line = format!("/etc/master.cf:1: 127.0.0.1:{}/inet: bind", instance.port);
    expect(&instance.posthaste(&["start"]), 1, &[&line, &words]);
    expect(&instance.posthaste(&["start-fg"]), 1, &[&line, &words]);
}

#[test]
fn a_log_that_cannot_be_written_stops_the_start_and_is_told() {
    let instance = Instance::new("");
    let d = instance.path("");
    let missing = format!("maillog_file = {}no/such/log\n", d.display());
    instance.write_main_cf(&missing);
    expect(&instance.posthaste(&["status"]), 1, &["is not running"]);
    expect(&instance.posthaste(&["start"]), 1, &["no/such/log: ", "its directory is missing: make it"]);
    instance.write_main_cf(&format!("maillog_file = {}etc\n", d.display()));
    expect(&instance.posthaste(&["start"]), 1, &["it cannot be written", "Is a directory"]);
}

#[test]
fn a_pid_file_that_nobody_holds_is_no_instance() {
    let instance = Instance::new("");
    instance.posthaste(&["postfix", "check"]);
    for left in ["1\n", "garbage", ""] {
        std::fs::write(instance.path("spool/pid/master.pid"), left).unwrap();
        expect(&instance.posthaste(&["status"]), 1, &["is not running"]);
        expect(&instance.posthaste(&["stop"]), 1, &["fatal: the Postfix mail system is not running"]);
    }
    instance.start();
}

#[test]
fn stop_and_start_after_a_killed_master_wait_for_its_processes() {
    let instance = Instance::new("");
    instance.start();
    // Stopped processes cannot end, so the lock stays held until they go on.
    let control = instance.role_pids("control")[0];
    signal(control, Signal::STOP);
    kill(instance.master_pid().unwrap());
    let go_on = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        signal(control, Signal::CONT);
    });
    let start = instance.posthaste(&["start"]);
    go_on.join().unwrap();
    expect(&start, 0, &["warning: the last master was killed: waiting for its processes to end"]);

    let control = instance.role_pids("control")[0];
    signal(control, Signal::STOP);
    kill(instance.master_pid().unwrap());
    let go_on = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal(control, Signal::CONT);
    });
    expect(&instance.posthaste(&["stop"]), 0, &["stopping the Postfix mail system"]);
    go_on.join().unwrap();
    expect(&instance.posthaste(&["status"]), 1, &["is not running"]);
}

#[test]
fn a_role_that_ends_again_and_again_is_started_more_slowly_and_the_log_says_so() {
    let instance = Instance::new("");
    instance.start();
    eventually("a throttled role", || {
        instance.role_pids("control").first().into_iter().for_each(|pid| kill(*pid));
        instance.log().contains("warning: control: bad command startup -- throttling")
    });
    eventually("it is back", || instance.role_pids("control").len() == 1);
    expect(&instance.posthaste(&["status"]), 0, &["is running"]);
}

#[test]
fn a_stop_tells_idle_clients_that_it_is_going_down() {
    let instance = Instance::new("");
    instance.start();
    let mut client = Client::greeted(instance.port);
    expect(&instance.posthaste(&["stop"]), 0, &["stopping the Postfix mail system"]);
    let reply = client.reply();
    assert!(reply.starts_with("421 4.3.2 "), "{reply}");
}

#[test]
fn who_may_not_look_at_the_pid_file_is_not_told_that_nothing_runs() {
    if !is_root() {
        eprintln!("skipped: needs a second user");
        return;
    }
    let instance = Instance::new("");
    instance.start();
    let mut command = std::process::Command::new(program());
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let output = command.args(["status", "-c"]).arg(instance.etc()).output().unwrap();
    expect(
        &output,
        1,
        &["cannot tell whether the mail system runs: ", "master.pid: Permission denied", "as root"],
    );
    assert!(!said(&output).contains("not running"));
}

#[test]
fn signals_to_master_do_what_the_commands_do() {
    let instance = Instance::new("");
    instance.start();
    let (pid, smtpd) = (instance.master_pid().unwrap(), instance.role_pids("smtpd"));
    signal(pid, Signal::HUP);
    eventually("a new smtpd", || {
        let now = instance.role_pids("smtpd");
        now.len() == 1 && now != smtpd
    });
    assert!(instance.log().contains("reload -- version "));
    signal(pid, Signal::TERM);
    eventually("the end", || instance.posthaste(&["status"]).status.code() == Some(1));
    assert!(instance.log().contains("terminating on signal 15"));
}

#[test]
fn start_fg_ends_in_order_at_an_interrupt() {
    let instance = Instance::new("");
    let etc = instance.etc();
    let foreground = std::thread::spawn(move || run(&program(), &["start-fg", "-c", etc.to_str().unwrap()]));
    eventually("it serves", || instance.log().contains("daemon started"));
    signal(instance.master_pid().unwrap(), Signal::INT);
    let output = foreground.join().unwrap();
    expect(&output, 0, &["daemon started", "terminating on signal 2"]);
    assert_eq!(instance.role_pids("qmgr"), Vec::<i32>::new());
}
