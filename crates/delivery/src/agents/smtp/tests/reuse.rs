//! Connections are kept and used again.

use super::stream::Calls;
use super::*;
use protocol::smtp::client::Protocol;
use std::time::Instant;

#[test]
fn twenty_messages_over_one_connection_take_two_writes_and_two_reads_each() {
    run(async {
        let server = Server::new(&[]);
        let at = server.start().await;
        let agent = agent(quick(), ScriptedResolver::new());
        let nexthop = format!("[127.0.0.1]:{}", at.port());
        send(&agent, &nexthop).only().await;
        let before = Calls::so_far();
        let mut last = None;
        for _ in 0..19 {
            let sent = send(&agent, &nexthop);
            assert_eq!(sent.only().await.0, Status::Sent);
            last = Some(sent);
        }
        let after = Calls::so_far();
        let log = last.unwrap().log();
        assert!(
            log[0].contains(&format!(":{}, conn_use=20, dsn=2.0.0, status=sent (", at.port())),
            "{log:?}"
        );
        assert_eq!((server.connections.get(), server.got.borrow().len()), (1, 20));
        // The server here answers each command by itself: its four replies may come in up to four reads.
        assert_eq!(after.writes - before.writes, 2 * 19);
        assert!(after.reads - before.reads <= 4 * 19, "{before:?} {after:?}");
    });
}

#[test]
fn connections_are_kept_only_for_destinations_with_more_mail() {
    run(async {
        let server = Server::new(&[]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let agent = agent(Settings { keep: Keep::OnDemand, ..quick() }, ScriptedResolver::new());
        let quits = || server.commands.borrow().iter().filter(|c| *c == "QUIT").count();
        send(&agent, &nexthop).only().await;
        while quits() < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..5 {
            send(&agent, &nexthop).only().await;
        }
        assert_eq!((server.connections.get(), quits()), (2, 1));
    });
}

#[test]
fn connections_to_listed_destinations_are_kept_in_any_case() {
    for (listed, connections) in [("[127.0.0.1]", 2), ("127.0.0.1", 1), ("static:all", 1), ("other", 2)] {
        run(async {
            let server = Server::new(&[]);
            let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
            let settings = Settings { keep: Keep::Never, keep_for: kept(listed), ..quick() };
            let agent = agent(settings, ScriptedResolver::new());
            for _ in 0..2 {
                send(&agent, &nexthop).only().await;
            }
            assert_eq!(server.connections.get(), connections, "{listed}");
        });
    }
}

#[test]
fn a_kept_connection_serves_no_host_of_another_name_at_the_same_address() {
    run(async {
        let server = Server::new(&[]);
        let port = server.start().await.port();
        let here = "127.0.0.1";
        let resolver =
            ScriptedResolver::new().with_address("mx1.example", here).with_address("mx2.example", here);
        let agent = agent(quick(), resolver);
        for (host, connections) in [("mx1", 1), ("mx2", 2), ("mx1", 2)] {
            let sent = send(&agent, &format!("[{host}.example]:{port}"));
            assert_eq!(sent.only().await.0, Status::Sent);
            assert!(sent.log()[0].contains(&format!("relay={host}.example[127.0.0.1]")), "{:?}", sent.log());
            assert_eq!(server.connections.get(), connections);
        }
    });
}

#[test]
fn a_kept_connection_that_the_server_has_closed_costs_nothing_but_a_new_one() {
    for rule in [("MAIL", "250 2.1.0 Ok | <close>"), ("MAIL", "250 2.1.0 Ok | 421 4.4.2 idle too long")] {
        run(async {
            let server = Server::new(&[(rule.0, &format!("{} | 250 2.1.0 Ok", rule.1))]);
            let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
            let agent = agent(quick(), ScriptedResolver::new());
            assert_eq!(send(&agent, &nexthop).only().await.0, Status::Sent);
            let sent = send(&agent, &nexthop);
            assert_eq!(sent.only().await.0, Status::Sent);
            assert_eq!((sent.log().len(), server.connections.get()), (1, 2));
        });
    }
}

#[test]
fn a_connection_closed_while_it_waits_is_noticed() {
    run(async {
        let server = Server::new(&[("end-of-data", "250 Ok\n421 4.4.2 bye")]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let agent = agent(quick(), ScriptedResolver::new());
        for n in 1..4 {
            assert_eq!(send(&agent, &nexthop).only().await.0, Status::Sent);
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(server.connections.get(), n);
        }
    });
}

#[test]
fn connections_that_wait_too_long_are_closed_with_quit() {
    run(async {
        let server = Server::new(&[]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let agent =
            agent(Settings { idle_limit: Duration::from_millis(50), ..quick() }, ScriptedResolver::new());
        for n in 1..3 {
            send(&agent, &nexthop).only().await;
            while server.commands.borrow().iter().filter(|c| *c == "QUIT").count() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(server.connections.get(), n);
        }
    });
}

#[test]
fn age_and_use_of_a_connection_are_limited() {
    for settings in [
        Settings { reuse_count_limit: 1, ..quick() },
        Settings { reuse_time_limit: Duration::from_millis(1), reuse_count_limit: 1, ..quick() },
    ] {
        run(async {
            let by_time = settings.reuse_time_limit < Duration::from_secs(1);
            let server = Server::new(&[]);
            let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
            let agent = agent(settings, ScriptedResolver::new());
            for _ in 0..6 {
                send(&agent, &nexthop).only().await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(server.connections.get(), if by_time { 6 } else { 3 });
        });
    }
}

#[test]
fn a_kept_connection_serves_another_destination_at_the_same_address() {
    run(async {
        let server = Server::new(&[]);
        let port = server.start().await.port();
        let resolver = ScriptedResolver::new()
            .with_mx("a.example", 10, "mx.example")
            .with_mx("b.example", 10, "mx.example")
            .with_address("mx.example", "127.0.0.1");
        let agent = agent(quick(), resolver);
        for domain in ["a.example", "b.example", "a.example"] {
            assert_eq!(send(&agent, &format!("{domain}:{port}")).only().await.0, Status::Sent);
        }
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn a_refusal_over_a_kept_connection_is_final_where_no_other_server_is() {
    run(async {
        let server = Server::new(&[("RCPT", "250 2.1.5 Ok | 450 4.2.0 later")]);
        let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
        let agent = agent(quick(), ScriptedResolver::new());
        assert_eq!(send(&agent, &nexthop).only().await.0, Status::Sent);
        let sent = send(&agent, &nexthop);
        assert_eq!(sent.only().await.1, Dsn::new(4, 2, 0));
        assert!(sent.log()[0].contains("conn_use=2"), "{:?}", sent.log());
        assert_eq!((server.connections.get(), sent.site_failure()), (1, None));
        // What was left open is reset together with the next message.
        send(&agent, &nexthop).only().await;
        assert!(server.commands.borrow().iter().any(|c| c == "RSET"));
    });
}

#[test]
fn a_message_may_go_by_another_server_after_a_kept_connection_to_the_first() {
    run(async {
        let (first, second) = (Server::new(&[("RCPT", "250 Ok | 450 later")]), Server::new(&[]));
        let port = first.start_at("127.0.0.2:0").await.port();
        second.start_at(&format!("127.0.0.3:{port}")).await;
        let resolver = ScriptedResolver::new()
            .with_mx("x.example", 10, "a.example")
            .with_mx("x.example", 20, "b.example")
            .with_address("a.example", "127.0.0.2")
            .with_address("b.example", "127.0.0.3");
        let agent = agent(quick(), resolver);
        for _ in 0..2 {
            assert_eq!(send(&agent, &format!("x.example:{port}")).only().await.0, Status::Sent);
        }
        assert_eq!((first.connections.get(), second.connections.get()), (1, 1));
    });
}

#[test]
fn too_many_connections_make_deliveries_wait_for_one_that_becomes_free() {
    run(async {
        let server = Server::new(&[]);
        let port = server.start_at("0.0.0.0:0").await.port();
        let agent = agent(Settings { connections_max: 3, ..quick() }, ScriptedResolver::new());
        let began = Instant::now();
        let to = |n: usize| format!("[127.0.0.{}]:{port}", 1 + n % 5);
        let sent: Vec<Sent> = (0..50).map(|n| send(&agent, &to(n))).collect();
        for sent in &sent {
            assert_eq!(sent.only().await.0, Status::Sent);
        }
        assert!(
            began.elapsed() < agent.0.settings.idle_limit,
            "nobody waits until idle connections are closed"
        );
        assert_eq!(server.got.borrow().len(), 50);
        agent.finish().await;
        assert_eq!(agent.0.places.available_permits(), 3);
    });
}

#[test]
fn lmtp_answers_for_each_recipient_over_a_socket() {
    run(async {
        let path = std::env::temp_dir().join(format!("delivery-lmtp-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let server = Server::lmtp(&[("end-of-data", "250 2.1.5 one | 452 4.2.2 two is full")]);
        server.start_unix(&path);
        let mut settings = Settings { myhostname: "me.example".into(), ..quick() };
        settings.dialogue.protocol = Protocol::Lmtp;
        let agent = LmtpAgent(agent(settings, ScriptedResolver::new()));
        let sent = hand(&agent, job(&format!("unix:{}", path.display()), &["a@x.example", "b@x.example"]));
        let outcomes = sent.outcomes().await;
        assert_eq!((outcomes[0].0, outcomes[0].2.as_str()), (Status::Sent, "250 2.1.5 one"));
        let label = format!("me.example[{}]", path.display());
        let full = format!("host {label} said: 452 4.2.2 two is full (in reply to end of DATA command)");
        assert_eq!((outcomes[1].0, &outcomes[1].2), (Status::Deferred, &full));
        let log = sent.log();
        assert_eq!(
            log[0],
            format!("to=<a@x.example>, relay={label}, dsn=2.1.5, status=sent (250 2.1.5 one)")
        );

        std::fs::remove_file(&path).unwrap();
        agent.finish().await;
        let sent = hand(&agent, job(&format!("unix:{}", path.display()), &["a@x.example"]));
        let gone = format!("connect to {label}: No such file or directory");
        assert_eq!(sent.only().await, (Status::Deferred, Dsn::new(4, 4, 1), gone));
    });
}

fn kept(listed: &str) -> tables::lists::NameList {
    tables::lists::NameList::parse(&[listed.into()], &tables::Settings::default()).unwrap()
}
