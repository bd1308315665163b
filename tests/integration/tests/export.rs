//! `posthaste spool export`: after a crash the mail that only the journal held is there as Postfix's queue files.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use integration::client::Client;
use integration::{Instance, Signal, eventually, kill, run, said, signal};
use std::path::PathBuf;

/// The journal's segments that hold something.
fn segments(instance: &Instance) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(instance.path("spool/journal")).unwrap();
    entries.map(|e| e.unwrap().path()).filter(|path| path.extension().is_some_and(|x| x == "seg")).collect()
}

#[test]
fn export_makes_queue_files_of_what_a_crash_left_in_the_journal() {
    let instance = Instance::new("");
    let dead = integration::free_port();
    instance.write_main_cf(&format!("relayhost = [127.0.0.1]:{dead}\n"));
    instance.write_master_cf(&format!(
        "127.0.0.1:{} inet n - n - - smtpd\nsmtp unix - - n - - smtp\n",
        instance.port
    ));
    instance.start();
    let id =
        Client::greeted(instance.port).send("bob@elsewhere.example", "Subject: kept\r\n\r\nin the journal");
    let deferred = format!("{id}: to=<bob@elsewhere.example>");
    eventually("the first attempt", || {
        instance.log().lines().any(|line| line.contains(&deferred) && line.contains("status=deferred"))
    });

    // A running instance keeps its journal to itself.
    let refused = instance.posthaste(&["spool", "export"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));

    // The whole instance dies at once, as with the machine: nobody writes files in an orderly way.
    let roles = || ["smtpd", "qmgr", "local", "control"].map(|role| instance.role_pids(role)).concat();
    let pids = roles();
    assert_eq!(pids.len(), 4, "{}", instance.log());
    // Master cannot start them anew, and they do not see it go, which would be an order to end.
    let master = instance.master_pid().unwrap();
    signal(master, Signal::STOP);
    pids.into_iter().for_each(kill_if_there);
    kill(master);
    // A killed process keeps its locks until the kernel has taken it down, which /proc shows too early.
    eventually("nobody is left", || roles().is_empty() && !instance.posthaste(&["status"]).status.success());
    let file = instance.path("spool/deferred").join(&id[..1]).join(&id);
    assert!(!file.exists(), "only the journal has it, or the test proves nothing");
    assert!(!segments(&instance).is_empty());

    let done = instance.posthaste(&["spool", "export"]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(said(&done), "1 messages of the journal are queue files now\n");
    assert_eq!(segments(&instance), Vec::<PathBuf>::new(), "so that Postfix can start next");
    assert!(file.is_file());
    let posthaste = testkit::world::posthaste().unwrap();
    let shown = said(&run(&posthaste, &["postcat", file.to_str().unwrap()]));
    for words in
        ["sender: sender@example.net", "recipient: bob@elsewhere.example", "Subject: kept", "in the journal"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let reason = std::fs::read_to_string(instance.path("spool/defer").join(&id[..1]).join(&id)).unwrap();
    for words in ["<bob@elsewhere.example>", "Connection refused", "recipient=bob@elsewhere.example"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }

    // It is not there twice for the next start.
    let again = instance.posthaste(&["spool", "export"]);
    assert_eq!(said(&again), "0 messages of the journal are queue files now\n");
    instance.start();
    let listed = || said(&instance.posthaste(&["postqueue", "-p"]));
    eventually("the message is listed", || listed().matches(&id).count() == 1);
}

/// The roles end by themselves when master is gone, perhaps before we reach them.
fn kill_if_there(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
