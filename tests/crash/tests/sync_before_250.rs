//! A trace of the real program under load shows no `250` before the sync that covers it returned.

use crash::{Instance, Load, Options, Role, Sink, trace};
use std::time::Duration;

/// Messages in the traced run: enough for groups of many sizes.
const MESSAGES: usize = 400;

#[test]
fn no_250_is_sent_before_the_sync_that_covers_it() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing: ./test installs it");
        println!("skipped: strace is not installed");
        return;
    }
    let sink = Sink::start().unwrap();
    let file = std::env::temp_dir().join(format!("posthaste-calls-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let calls = "trace=pwritev,pwritev2,pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync";
    let wrapper = ["strace", "-f", "-y", "-s", "256", "-e", calls, "-o", &file.display().to_string()];
    let mut instance = Instance::start(
        "trace",
        Options { relay_port: sink.port, wrapper: wrapper.map(String::from).to_vec(), ..Options::default() },
    )
    .unwrap();
    assert!(instance.pid(Role::Smtpd).is_some(), "{}", instance.output());
    let load = Load::start(instance.port, 20, 900, Duration::ZERO);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while load.count() < MESSAGES && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let acked = load.finish();
    instance.stop().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    let report = trace::check(&text);
    println!("{} replies, {} syncs of the journal", report.acknowledged, report.syncs);
    assert!(acked.len() >= MESSAGES, "only {} messages in 60 s", acked.len());
    assert!(report.acknowledged >= acked.len(), "the trace misses replies: {report:?}");
    assert!(
        report.early.is_empty(),
        "{} early, as {:?}; {}",
        report.early.len(),
        report.early[0],
        file.display()
    );
    drop(std::fs::remove_file(&file));
}
