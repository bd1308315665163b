//! The agent, the role and a command together, as the caller; and what of a configuration is refused.

use super::*;
use crate::DeliveryAgent as _;
use crate::agents::pipe::{Finality, PipeAgent};
use crate::agents::testjob::{Seen, assignment};
use crate::local_role::spawn::Spawner;
use crate::local_role::{Inputs, Service, Services, run as run_role};
use crate::report::ReportStyle;
use config::{Config, Host};
use net::Shutdown;
use observe::{Numbers, NumbersRange, Tag};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn read(line: &str, main_cf: &str) -> Result<Settings, String> {
    let config = Config::parse(Path::new("/etc/postfix"), main_cf, line, Host::default()).unwrap();
    let services = Services::read(&config, &tables::Settings::default(), true).map_err(|e| e.to_string())?;
    match services.get("p") {
        Some(Service::Pipe(settings)) => Ok((**settings).clone()),
        _ => panic!("expected a pipe"),
    }
}

fn settings(arguments: &str) -> Settings {
    let line = format!("p unix - n n - - pipe directory=/tmp user=nobody {arguments}\n");
    read(&line, "p_time_limit = 20s\np_destination_recipient_limit = 1\n").unwrap()
}

/// Delivers one message through socket, role and command.
fn deliver(settings: Settings, recipients: &[&str], finality: Finality) -> Vec<mail::Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let name = format!("delivery-pipe-{}-{:?}", std::process::id(), std::thread::current().id());
        let socket = std::env::temp_dir().join(name);
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let services = Services::one("test", Service::Pipe(Arc::new(settings)));
        let (_settings, receiver) = tokio::sync::watch::channel(Arc::new(services));
        let (trigger, shutdown) = Shutdown::new();
        let spawner = Spawner::default();
        let inputs = Inputs { listener, settings: receiver, spawner, workers: 1, shutdown };
        let role = tokio::task::spawn_local(run_role(inputs));
        let numbers = Numbers::new(NumbersRange::of_slot(0));
        let tag = Tag::new("postfix", "pipe", 1);
        let agent = PipeAgent::start(socket.clone(), tag, numbers, ReportStyle::default(), finality);
        let seen = Seen::new();
        agent.accept(assignment("Next.Hop", recipients, &seen));
        let over = async {
            while seen.done().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), over).await.expect("an answer comes");
        trigger.request();
        role.await.unwrap().unwrap();
        std::fs::remove_file(&socket).unwrap();
        seen.outcomes()
    })
}

#[test]
fn a_command_gets_arguments_and_message_and_its_output_is_told() {
    let settings = settings("flags=R. argv=/bin/sh -c { echo $$0 $$*; cat } ${user} ${nexthop} ${recipient}");
    let outcomes = deliver(settings, &["ann@a.example", "bob@b.example"], Finality::Relayed);
    // 100 bytes of the output are shown.
    let output = "ann bob Next.Hop ann@a.example bob@b.example Return-Path: <s@x.example> Subject: x  \
                  From here to the";
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert_eq!((outcome.status, outcome.relayed), (Status::Sent, true));
        assert_eq!(outcome.reason, format!("delivered via test service ({output})"));
    }
}

#[test]
fn the_last_station_is_no_relay() {
    let outcomes = deliver(settings("flags=X argv=/bin/true"), &["ann@a.example"], Finality::Final);
    assert!(!outcomes[0].relayed && outcomes[0].status == Status::Sent);
}

#[test]
fn the_exit_status_is_the_result_of_each_recipient() {
    let settings = settings("argv=/bin/sh -c { cat >/dev/null; echo why; exit 67 }");
    for outcome in deliver(settings, &["ann@a.example", "bob@b.example"], Finality::Relayed) {
        assert_eq!((outcome.status, outcome.dsn), (Status::Bounced, Dsn::new(5, 1, 1)));
        assert_eq!(outcome.reason, "user unknown. Command output: why ");
        let diagnostic = outcome.diagnostic.unwrap();
        assert_eq!((diagnostic.kind.as_str(), diagnostic.text.as_str()), ("x-unix", "why "));
    }
}

#[test]
fn what_is_too_large_or_for_too_many_does_not_reach_the_command() {
    let large = settings("size=34 argv=/bin/false");
    let outcome = &deliver(large, &["ann@a.example"], Finality::Relayed)[0];
    assert_eq!((outcome.dsn, outcome.reason.as_str()), (Dsn::new(5, 2, 3), "message too large"));
    let one = settings("flags=D argv=/bin/false");
    for outcome in deliver(one, &["ann@a.example", "bob@a.example"], Finality::Relayed) {
        assert_eq!((outcome.status, outcome.dsn), (Status::Deferred, Dsn::new(4, 3, 5)));
    }
}

#[test]
fn a_mark_of_this_recipient_in_the_headers_is_a_loop() {
    let recipient = |address: &str| Recipient {
        index: 0,
        address: mail::Address::from(address),
        original: mail::Address::null(),
        dsn_orcpt: String::new(),
        notify: mail::Notify::default(),
    };
    let was_here = |text: &str, address: &str| {
        super::was_here(&Text::Shared(text.as_bytes().to_vec()), &recipient(address)).unwrap()
    };
    let text =
        "A: b\ndelivered-to:  Ann@A.example \nDelivered-To: \"b c\"@a.example\n\nDelivered-To: d@a.example\n";
    assert!(was_here(text, "ann@a.example") && was_here(text, "b c@a.example"));
    assert!(!was_here(text, "d@a.example") && !was_here(text, "nn@a.example") && !was_here("", "x"));
}

#[test]
fn a_line_that_cannot_work_is_refused_with_every_mistake() {
    for (arguments, expected) in [
        ("argv=/bin/x", "expected `user=NAME`: the command must not run as the mail system"),
        ("user=nobody", "expected `argv=COMMAND …` as the last attribute"),
        ("user=root argv=/bin/x", "user: expected a user without root's rights, found `root`"),
        ("user=daemon argv=/bin/x", "user: expected another user than mail_owner, found `daemon`"),
        ("user=nobody:root argv=/bin/x", "user: expected a group other than root's (gid 0)"),
        ("user=nobody flags=Rz argv=/bin/x", "flags: expected letters out of BDFORXhqu.>, found `z`"),
        ("user=nobody size=x argv=/bin/x", "size: expected a number of bytes, found `x`"),
        ("user=nobody directory=tmp argv=/bin/x", "directory: expected an absolute path, found `tmp`"),
        ("user=nobody foo=x argv=/bin/x", "unknown attribute `foo`"),
        ("user=nobody argv=/bin/x ${recipent}", "behind `$`, found `recipent`"),
    ] {
        let main_cf = "mail_owner = daemon\n";
        let error = read(&format!("p unix - n n - - pipe {arguments}\n"), main_cf).unwrap_err();
        assert!(error.starts_with("/etc/postfix/master.cf:1: p/unix: pipe: "), "{error}");
        assert!(error.ends_with(expected), "{arguments}: {error}");
    }
    let error = read("p unix - n n - - pipe user=nobody argv=x\n", "export_environment = =x\n").unwrap_err();
    assert!(error.contains("export_environment: expected NAME"), "{error}");
}

#[test]
fn a_user_whom_the_host_does_not_have_keeps_the_mail_waiting_and_nothing_from_starting() {
    let line = "p unix - n n - - pipe user=no-such-user argv=/bin/x\n";
    let config = Config::parse(Path::new("/etc/postfix"), "", line, Host::default()).unwrap();
    let found = Settings::read(&config, &config.services()[0], false).unwrap().identity;
    assert_eq!(found, Err("user: expected a user of this host, found `no-such-user`".into()));
}

#[test]
fn another_root_is_the_directory_where_none_is_named() {
    let directory = |arguments: &str| {
        read(&format!("p unix - n n - - pipe user=nobody {arguments} argv=x\n"), "queue_directory = /q\n")
            .unwrap()
            .directory
    };
    assert_eq!(directory(""), Some("/q".into()));
    assert_eq!(directory("chroot=/c"), None);
    assert_eq!(directory("chroot=/c directory=/d"), Some("/d".into()));
}
