//! What goes wrong at each stage, and what recipients and log get for it. Texts and codes are those of Postfix 3.7.

use super::*;
use net::dns::{Problem, RecordType};

/// Sends to one server with one rule; the result with the server's address masked.
fn with_rules(rules: &[(&str, &str)]) -> (Status, String, String, bool) {
    run(async {
        let server = Server::new(rules);
        let at = server.start().await;
        let agent = agent(quick(), ScriptedResolver::new().with_address("h.example", "127.0.0.1"));
        let sent = send(&agent, &format!("[h.example]:{}", at.port()));
        let (status, dsn, reason) = sent.only().await;
        (status, dsn.to_string(), reason.replace("h.example[127.0.0.1]", "H"), sent.site_failure().is_some())
    })
}

#[test]
fn a_5xx_greeting_that_is_not_skipped_fails_the_message_without_asking_another_server() {
    run(async {
        let server = Server::new(&[("greeting", "554 5.3.2 go away")]);
        let port = server.start().await.port();
        let resolver = ScriptedResolver::new()
            .with_mx("x.example", 10, "a.example")
            .with_mx("x.example", 20, "b.example")
            .with_address("a.example", "127.0.0.1")
            .with_address("b.example", "127.0.0.1");
        let agent = agent(Settings { skip_5xx_greeting: false, ..quick() }, resolver);
        let (status, _, reason) = send(&agent, &format!("x.example:{port}")).only().await;
        assert_eq!(status, Status::Bounced, "{reason}");
        assert!(reason.contains("refused to talk to me: 554 5.3.2 go away"), "{reason}");
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn refusals_are_reported_in_postfixs_words() {
    use Status::{Bounced, Deferred};
    let with_name = |rules: &[(&str, &str)]| with_rules(rules);
    for (rule, status, dsn, reason, site) in [
        ("greeting=421 4.3.2 busy", Deferred, "4.3.2", "host H refused to talk to me: 421 4.3.2 busy", true),
        (
            "greeting=554 5.3.2 go away",
            Deferred,
            "4.3.2",
            "host H refused to talk to me: 554 5.3.2 go away",
            true,
        ),
        (
            "EHLO=421 4.3.2 not now",
            Deferred,
            "4.3.2",
            "host H refused to talk to me: 421 4.3.2 not now",
            true,
        ),
        (
            "MAIL=451 4.1.8 no",
            Deferred,
            "4.1.8",
            "host H said: 451 4.1.8 no (in reply to MAIL FROM command)",
            false,
        ),
        ("MAIL=550 no", Bounced, "5.0.0", "host H said: 550 no (in reply to MAIL FROM command)", false),
        ("MAIL=150 what", Bounced, "5.5.0", "host H said: 150 what (in reply to MAIL FROM command)", false),
        (
            "RCPT=450 4.2.0 later",
            Deferred,
            "4.2.0",
            "host H said: 450 4.2.0 later (in reply to RCPT TO command)",
            false,
        ),
        (
            "RCPT=552 5.5.3 many",
            Bounced,
            "5.5.3",
            "host H said: 552 5.5.3 many (in reply to RCPT TO command)",
            false,
        ),
        (
            "RCPT=550-no\n550 5.1.1 no",
            Bounced,
            "5.1.1",
            "host H said: 550-no 550 5.1.1 no (in reply to RCPT TO command)",
            false,
        ),
        (
            "DATA=451 4.3.0 no",
            Deferred,
            "4.3.0",
            "host H said: 451 4.3.0 no (in reply to DATA command)",
            false,
        ),
        (
            "DATA=250 what",
            Bounced,
            "5.5.0",
            "Protocol error: host H said: 250 what (in reply to DATA command)",
            false,
        ),
        (
            "end-of-data=451 4.3.0 no",
            Deferred,
            "4.3.0",
            "host H said: 451 4.3.0 no (in reply to end of DATA command)",
            false,
        ),
        (
            "end-of-data=554 no",
            Bounced,
            "5.0.0",
            "host H said: 554 no (in reply to end of DATA command)",
            false,
        ),
        (
            "end-of-data=354 what",
            Bounced,
            "5.5.0",
            "host H said: 354 what (in reply to end of DATA command)",
            false,
        ),
        (
            "MAIL=421 4.7.0 bye",
            Deferred,
            "4.7.0",
            "host H said: 421 4.7.0 bye (in reply to MAIL FROM command)",
            false,
        ),
        (
            "EHLO=250-h\n250 SIZE 10",
            Bounced,
            "5.3.4",
            "message size 24 exceeds size limit 10 of server H",
            false,
        ),
        ("EHLO=250 localhost", Bounced, "5.4.6", "mail for [h.example]:PORT loops back to myself", false),
    ] {
        let got = with_name(&[rule.split_once('=').unwrap()]);
        let got_reason = mask_port(&got.2);
        assert_eq!(
            (got.0, got.1.as_str(), got_reason.as_str(), got.3),
            (status, dsn, reason, site),
            "{rule}"
        );
    }
}

fn mask_port(text: &str) -> String {
    match text.split_once("]:") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}]:PORT{rest}")
        }
        None => text.to_string(),
    }
}

#[test]
fn neither_ehlo_nor_helo_bounces() {
    let (status, dsn, reason, site) = with_rules(&[("EHLO", "500 what"), ("HELO", "550 no")]);
    let expected = (Status::Bounced, "5.0.0", "host H refused to talk to me: 550 no", false);
    assert_eq!((status, dsn.as_str(), reason.as_str(), site), expected);
}

#[test]
fn lost_connections_and_silence_are_reported_with_their_stage() {
    for (event, doing) in [
        ("greeting", "receiving the initial server greeting"),
        ("EHLO", "performing the EHLO handshake"),
        ("MAIL", "sending MAIL FROM"),
        ("RCPT", "sending RCPT TO"),
        ("DATA", "sending DATA command"),
        ("end-of-data", "sending end of data -- message may be sent more than once"),
    ] {
        let (status, dsn, reason, site) = with_rules(&[(event, "<close>")]);
        assert_eq!((status, dsn.as_str(), site), (Status::Deferred, "4.4.2", true), "{event} {reason}");
        assert_eq!(reason, format!("lost connection with H while {doing}"));
        let (status, dsn, reason, site) = with_rules(&[(event, "<silence>")]);
        assert_eq!((status, dsn.as_str(), site), (Status::Deferred, "4.4.2", true), "{event} {reason}");
        assert_eq!(reason, format!("conversation with H timed out while {doing}"));
    }
}

#[test]
fn a_server_that_never_ends_its_reply_is_given_up() {
    let endless = vec!["250-x"; 5000].join("\n");
    let (status, _, reason, _) = with_rules(&[("MAIL", &endless)]);
    assert_eq!(
        (status, reason.as_str()),
        (Status::Deferred, "lost connection with H while sending MAIL FROM")
    );
    let garbage = vec!["hello"; 5000].join("\n");
    let (status, ..) = with_rules(&[("RCPT", &garbage)]);
    assert_eq!(status, Status::Deferred);
}

#[test]
fn a_line_that_is_no_reply_is_passed_over() {
    let (status, dsn, reason, _) = with_rules(&[("MAIL", "hello there\n250 2.1.0 Ok")]);
    assert_eq!((status, dsn.as_str(), reason.as_str()), (Status::Sent, "2.0.0", "250 2.0.0 Ok: taken"));
}

#[test]
fn utf8_is_not_sent_to_servers_that_do_not_know_it() {
    run(async {
        let at = Server::new(&[]).start().await;
        let agent = agent(quick(), ScriptedResolver::new());
        let nexthop = format!("[127.0.0.1]:{}", at.port());
        let mut job = job(&nexthop, &["jörg@example.org"]);
        job.smtputf8 = 1 | 8;
        let (status, dsn, reason) = hand(&agent, job).only().await;
        assert_eq!((status, dsn), (Status::Bounced, Dsn::new(5, 6, 7)));
        assert_eq!(reason, "SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]");
    });
}

#[test]
fn a_server_without_smtputf8_leaves_the_mail_to_the_next() {
    run(async {
        let first = Server::new(&[]);
        let second = Server::new(&[("EHLO", "250-b.example\n250-8BITMIME\n250 SMTPUTF8")]);
        let port = first.start_at("127.0.0.2:0").await.port();
        second.start_at(&format!("127.0.0.3:{port}")).await;
        let resolver = ScriptedResolver::new()
            .with_mx("x.example", 10, "a.example")
            .with_mx("x.example", 20, "b.example")
            .with_address("a.example", "127.0.0.2")
            .with_address("b.example", "127.0.0.3");
        let agent = agent(quick(), resolver);
        let mut job = job(&format!("x.example:{port}"), &["jörg@example.org"]);
        job.smtputf8 = 1 | 8;
        assert_eq!(hand(&agent, job).only().await.0, Status::Sent);
        assert_eq!((first.connections.get(), second.connections.get()), (1, 1));
    });
}

#[test]
fn each_recipient_has_the_reply_it_got_and_the_log_says_so() {
    run(async {
        let server = Server::new(&[("RCPT TO:<no@", "550 5.1.1 no"), ("RCPT TO:<full@", "452 4.2.2 full")]);
        let at = server.start().await;
        let agent = agent(quick(), ScriptedResolver::new().with_address("h.example", "127.0.0.1"));
        let job =
            job(&format!("[h.example]:{}", at.port()), &["a@x.example", "no@x.example", "full@x.example"]);
        let sent = hand(&agent, job);
        let statuses: Vec<Status> = sent.outcomes().await.into_iter().map(|o| o.0).collect();
        assert_eq!(statuses, [Status::Sent, Status::Bounced, Status::Deferred]);
        assert_eq!(sent.site_failure(), None);
        let relay = format!("relay=h.example[127.0.0.1]:{}", at.port());
        let said = "host h.example[127.0.0.1] said:";
        let mut log = sent.log();
        log.sort();
        assert_eq!(
            log,
            [
                format!("to=<a@x.example>, {relay}, dsn=2.0.0, status=sent (250 2.0.0 Ok: taken)"),
                format!(
                    "to=<full@x.example>, {relay}, dsn=4.2.2, status=deferred ({said} 452 4.2.2 full (in reply to RCPT TO command))"
                ),
                format!(
                    "to=<no@x.example>, {relay}, dsn=5.1.1, status=bounced ({said} 550 5.1.1 no (in reply to RCPT TO command))"
                ),
            ]
        );
    });
}

#[test]
fn names_and_ports_without_a_server_defer_or_bounce() {
    run(async {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let resolver = ScriptedResolver::new().with_address("h.example", "127.0.0.1").with_problem(
            "later.example",
            RecordType::Mx,
            Problem::TryAgain,
        );
        let agent = agent(Settings { relayhost: "[nosuch.example]".into(), ..quick() }, resolver);
        for (nexthop, status, dsn, reason) in [
            (
                format!("[h.example]:{free}"),
                Status::Deferred,
                "4.4.1",
                format!("connect to h.example[127.0.0.1]:{free}: Connection refused"),
            ),
            (
                "gone.example".into(),
                Status::Bounced,
                "5.4.4",
                "Host or domain name not found. Name service error for name=gone.example type=AAAA: Host not found".into(),
            ),
            (
                "later.example".into(),
                Status::Deferred,
                "4.4.3",
                "Host or domain name not found. Name service error for name=later.example type=MX: Host not found, try again".into(),
            ),
            (
                "[nosuch.example]".into(),
                Status::Deferred,
                "4.3.5",
                "Host or domain name not found. Name service error for name=nosuch.example type=AAAA: Host not found".into(),
            ),
        ] {
            let sent = send(&agent, &nexthop);
            let got = sent.only().await;
            assert_eq!((got.0, got.1.to_string().as_str(), &got.2), (status, dsn, &reason), "{nexthop}");
            assert_eq!(sent.site_failure().is_some(), status == Status::Deferred);
            assert!(sent.log()[0].starts_with("to=<bob@example.org>, relay=none, dsn="), "{:?}", sent.log());
        }
    });
}

#[test]
fn the_next_server_takes_what_the_first_could_not() {
    for (rule, reply, log) in [
        ("greeting", "421 4.3.2 busy", "host a.example[127.0.0.2] refused to talk to me: 421 4.3.2 busy"),
        ("greeting", "554 no", "host a.example[127.0.0.2] refused to talk to me: 554 no"),
        (
            "greeting",
            "<close>",
            "lost connection with a.example[127.0.0.2] while receiving the initial server greeting",
        ),
        (
            "EHLO",
            "<silence>",
            "conversation with a.example[127.0.0.2] timed out while performing the EHLO handshake",
        ),
        ("MAIL", "451 no", "host a.example[127.0.0.2] said: 451 no (in reply to MAIL FROM command)"),
        ("RCPT", "450 no", "host a.example[127.0.0.2] said: 450 no (in reply to RCPT TO command)"),
        ("DATA", "<close>", "lost connection with a.example[127.0.0.2] while sending DATA command"),
        ("end-of-data", "451 no", "host a.example[127.0.0.2] said: 451 no (in reply to end of DATA command)"),
    ] {
        run(async {
            let (first, second) = (Server::new(&[(rule, reply)]), Server::new(&[]));
            let port = first.start_at("127.0.0.2:0").await.port();
            second.start_at(&format!("127.0.0.3:{port}")).await;
            let resolver = ScriptedResolver::new()
                .with_mx("x.example", 10, "a.example")
                .with_mx("x.example", 20, "b.example")
                .with_address("a.example", "127.0.0.2")
                .with_address("b.example", "127.0.0.3");
            let sent = send(&agent(quick(), resolver), &format!("x.example:{port}"));
            let (status, _, reason) = sent.only().await;
            assert_eq!((status, reason.as_str()), (Status::Sent, "250 2.0.0 Ok: taken"), "{rule} {reply}");
            assert_eq!(sent.site_failure(), None);
            let to = format!(
                "to=<bob@example.org>, relay=b.example[127.0.0.3]:{port}, dsn=2.0.0, status=sent ({reason})"
            );
            assert_eq!(sent.log(), [log.to_string(), to]);
        });
    }
}

#[test]
fn a_refusal_for_good_is_not_taken_to_the_next_server() {
    run(async {
        let (first, second) = (Server::new(&[("RCPT", "550 no")]), Server::new(&[]));
        let port = first.start_at("127.0.0.2:0").await.port();
        second.start_at(&format!("127.0.0.3:{port}")).await;
        let nexthop = format!("[127.0.0.2]:{port}, [127.0.0.3]:{port}");
        assert_eq!(send(&agent(quick(), ScriptedResolver::new()), &nexthop).only().await.0, Status::Bounced);
        assert_eq!(second.connections.get(), 0);
    });
}

#[test]
fn address_and_session_limits_end_the_search() {
    run(async {
        let servers: Vec<_> = (0..4).map(|_| Server::new(&[("MAIL", "451 no")])).collect();
        let port = servers[0].start_at("127.0.0.2:0").await.port();
        for (n, server) in servers.iter().enumerate().skip(1) {
            server.start_at(&format!("127.0.0.{}:{port}", n + 2)).await;
        }
        let mut resolver = ScriptedResolver::new();
        for n in 0..4 {
            resolver = resolver.with_address("h.example", &format!("127.0.0.{}", n + 2));
        }
        let agent = agent(Settings { session_limit: 2, ..quick() }, resolver);
        let sent = send(&agent, &format!("[h.example]:{port}"));
        assert_eq!(sent.only().await.0, Status::Deferred);
        let connections: Vec<usize> = servers.iter().map(|s| s.connections.get()).collect();
        assert_eq!(connections, [1, 1, 0, 0]);
        assert!(sent.log().last().unwrap().contains("relay=h.example[127.0.0.3]:"), "{:?}", sent.log());
    });
}

#[test]
fn a_fallback_relay_comes_after_all_else() {
    run(async {
        let relay = Server::new(&[]);
        let port = relay.start().await.port();
        let settings = Settings { fallback_relays: vec![format!("[127.0.0.1]:{port}")], ..quick() };
        let sent = send(&agent(settings, ScriptedResolver::new()), "[127.0.0.9]:1");
        assert_eq!(sent.only().await.0, Status::Sent);
    });
}

#[test]
fn a_panic_costs_the_delivery_and_nothing_else() {
    struct Broken;
    impl net::Resolver for Broken {
        fn mx<'a>(&'a self, _: &'a str) -> net::dns::Lookup<'a, Vec<net::dns::Mx>> {
            panic!("this panic is part of the test")
        }
        fn addresses<'a>(
            &'a self,
            _: &'a str,
            _: net::Families,
        ) -> net::dns::Lookup<'a, Vec<std::net::IpAddr>> {
            unreachable!()
        }
        fn host_addresses<'a>(
            &'a self,
            _: &'a str,
            _: net::Families,
        ) -> net::dns::Lookup<'a, Vec<std::net::IpAddr>> {
            unreachable!()
        }
        fn ptr(&self, _: std::net::IpAddr) -> net::dns::Lookup<'_, Vec<String>> {
            unreachable!()
        }
        fn records<'a>(
            &'a self,
            _: &'a str,
            _: net::dns::RecordType,
        ) -> net::dns::Lookup<'a, Vec<net::dns::Record>> {
            unreachable!()
        }
        fn listing<'a>(&'a self, _: &'a str) -> net::dns::Lookup<'a, net::dns::Listing> {
            unreachable!()
        }
        fn texts<'a>(&'a self, _: &'a str) -> net::dns::Lookup<'a, Vec<String>> {
            unreachable!()
        }
        fn filtered(&self, _: net::dns::Filter) -> Rc<dyn net::Resolver> {
            unreachable!()
        }
    }
    run(async {
        let at = Server::new(&[]).start().await;
        let mut agent = agent(quick(), ScriptedResolver::new());
        Rc::get_mut(&mut agent.0).unwrap().resolver = Rc::new(Broken);
        let sent = send(&agent, "x.example");
        let expected = (Status::Deferred, Dsn::new(4, 3, 0), "unknown mail transport error".to_string());
        assert_eq!(sent.only().await, expected);
        assert!(sent.site_failure().is_some());
        assert_eq!(send(&agent, &format!("[127.0.0.1]:{}", at.port())).only().await.0, Status::Sent);
        agent.finish().await;
    });
}

#[test]
fn a_server_with_dsn_reports_success_itself_and_lmtp_without_it_is_the_last_station() {
    use protocol::smtp::client::Protocol;
    let plain = ("EHLO", "250 mx.example");
    for (rules, protocol, expected) in [
        (vec![], Protocol::Smtp, (true, true)),
        (vec![plain], Protocol::Smtp, (true, false)),
        (vec![], Protocol::Lmtp, (true, true)),
        (vec![("LHLO", "250 mx.example")], Protocol::Lmtp, (true, false)),
    ] {
        run(async {
            let server = Server::new(&rules);
            let nexthop = format!("[127.0.0.1]:{}", server.start().await.port());
            let mut settings = quick();
            settings.dialogue.protocol = protocol;
            let sent = send(&agent(settings, ScriptedResolver::new()), &nexthop);
            assert_eq!(sent.only().await.0, Status::Sent);
            let outcome = sent.results.outcomes.borrow()[0].clone();
            assert_eq!((outcome.relayed, outcome.next_hop_reports), expected, "{protocol:?}");
        });
    }
}

#[test]
fn with_a_deadline_for_requests_a_reply_of_slow_lines_takes_too_long() {
    let slow = ("MAIL", "250-a\r\n<pause>250-b\r\n<pause>250 2.1.0 Ok");
    for (rate, expected) in [(None, Status::Sent), (Some(1_000_000), Status::Deferred)] {
        run(async {
            let at = Server::new(&[slow]).start().await;
            let settings = Settings { request_rate: rate, ..quick() };
            let agent = agent(settings, ScriptedResolver::new().with_address("h.example", "127.0.0.1"));
            let (status, _, reason) = send(&agent, &format!("[h.example]:{}", at.port())).only().await;
            assert_eq!(status, expected, "{reason}");
            if expected == Status::Deferred {
                assert!(reason.contains("timed out while sending MAIL FROM"), "{reason}");
            }
        });
    }
}
