//! Commands for clients of a socket of our own, as the caller.

use super::*;
use config::Host;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn settings(arguments: &str, column: &str, main_cf: &str) -> Result<Vec<(String, Settings)>, String> {
    let line = format!("p unix - n n - {column} spawn {arguments}\n");
    let main_cf = format!("queue_directory = /tmp\n{main_cf}");
    let config = Config::parse(Path::new("/etc/postfix"), &main_cf, &line, Host::default()).unwrap();
    Settings::read_all(&config, true).map_err(|e| e.to_string())
}

/// Serves a socket with the command while `clients` runs; then ends what still runs.
fn with_clients(all: Vec<(String, Settings)>, clients: impl FnOnce(&Path) + Send + 'static) {
    let name = format!("delivery-spawn-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let spawner = Spawner::default();
        spawner.set(vec![Listener { service: "p/unix".into(), socket: listener.into() }], all).unwrap();
        let there = path.clone();
        tokio::task::spawn_blocking(move || clients(&there)).await.unwrap();
        spawner.stop();
        let ended = async {
            while spawner.open() > 0 {
                spawner.kill();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("no command is left");
    });
    std::fs::remove_file(&path).unwrap();
}

fn talk_with(path: &Path, text: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn each_client_has_a_command_of_its_own() {
    let all = settings("user=nobody argv=/bin/sh -c { read x; echo $x $0 >&2; pwd } y", "-", "").unwrap();
    with_clients(all, |path| {
        for name in ["one", "two"] {
            assert_eq!(talk_with(path, &format!("{name}\n")), format!("{name} y\n/tmp\n"));
        }
    });
}

#[test]
fn a_client_waits_while_as_many_commands_run_as_the_line_allows() {
    let all = settings("user=nobody argv=/bin/cat", "1", "").unwrap();
    with_clients(all, |path| {
        let mut first = UnixStream::connect(path).unwrap();
        first.write_all(b"a").unwrap();
        let mut byte = [0; 1];
        first.read_exact(&mut byte).unwrap();
        let mut second = UnixStream::connect(path).unwrap();
        second.write_all(b"b").unwrap();
        second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(second.read_exact(&mut byte).is_err(), "the only place is taken");
        drop(first);
        second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        second.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"b");
    });
}

#[test]
fn a_command_whose_time_is_over_is_killed_with_all_it_started() {
    let all =
        settings("user=nobody argv=/bin/sh -c { sleep 60; echo x }", "-", "p_time_limit = 1s\n").unwrap();
    with_clients(all, |path| assert_eq!(talk_with(path, ""), ""));
}

#[test]
fn a_stop_ends_what_runs() {
    let all = settings("user=nobody argv=/bin/sh -c { echo started; sleep 60 }", "-", "").unwrap();
    with_clients(all, |path| {
        let mut stream = UnixStream::connect(path).unwrap();
        let mut said = [0; 8];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"started\n");
    });
}

#[test]
fn a_command_that_is_not_there_ends_the_connection() {
    let all = settings("user=nobody argv=/nonexistent", "-", "").unwrap();
    with_clients(all, |path| {
        let mut stream = UnixStream::connect(path).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    });
}

#[test]
fn a_line_that_cannot_work_is_refused() {
    for (arguments, expected) in [
        ("argv=/bin/x", "expected `user=NAME`: the command must not run as the mail system"),
        ("user=nobody", "expected `argv=COMMAND …` as the last attribute"),
        ("user=root argv=/bin/x", "user: expected a user without root's rights, found `root`"),
        ("user=nobody flags=R argv=/bin/x", "unknown attribute `flags`"),
    ] {
        let error = settings(arguments, "-", "").unwrap_err();
        assert!(error.starts_with("/etc/postfix/master.cf:1: p/unix: spawn: "), "{error}");
        assert!(error.ends_with(expected), "{arguments}: {error}");
    }
}
