//! The resolver against a name server of its own on loopback.

use super::*;
use crate::dns::testing::{name, run};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, MX, PTR, SOA, TXT};
use hickory_proto::rr::{Record as WireRecord, RecordType as Type};
use std::cell::Cell;
use std::rc::Rc;
use tokio::net::UdpSocket;

/// What the server says of a name.
fn answer(of: &str, kind: Type) -> (ResponseCode, Vec<RData>) {
    let mx = |preference, host: &str| RData::MX(MX::new(preference, name(host)));
    let found = match (of, kind) {
        ("x.example.", Type::MX) => vec![mx(20, "b.example."), mx(10, "a.example.")],
        ("null.example.", Type::MX) => vec![mx(0, ".")],
        ("bad.example.", Type::MX) => vec![mx(10, "192.0.2.1.5.")],
        ("numeric.example.", Type::MX) => vec![mx(10, "192.0.2.1.")],
        ("a.example.", Type::A) => vec![RData::A(A::new(192, 0, 2, 1))],
        ("a.example.", Type::AAAA) => vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))],
        ("b.example.", Type::A) => vec![RData::A(A::new(192, 0, 2, 2))],
        ("text.example.", Type::TXT) => {
            vec![RData::TXT(TXT::from_bytes(vec![b"x", b"y\xff\n"])), RData::TXT(TXT::new(vec!["z".into()]))]
        }
        ("2.0.0.127.list.example.", Type::A) => {
            vec![RData::A(A::new(127, 0, 0, 2)), RData::A(A::new(127, 0, 0, 4))]
        }
        ("1.2.0.192.in-addr.arpa.", Type::PTR) => vec![RData::PTR(PTR(name("a.example.")))],
        ("text.example." | "b.example.", _) => return (ResponseCode::NoError, Vec::new()),
        ("fail.example.", _) => return (ResponseCode::ServFail, Vec::new()),
        ("mixed.example.", Type::MX) => vec![mx(10, "a.example."), mx(20, ".")],
        ("unheard.example.", _) => return (ResponseCode::NotImp, Vec::new()),
        ("nonsense.example.", _) => return (ResponseCode::FormErr, Vec::new()),
        ("refused.example.", _) => return (ResponseCode::Refused, Vec::new()),
        _ => return (ResponseCode::NXDomain, Vec::new()),
    };
    (ResponseCode::NoError, found)
}

/// A name server; counts its questions.
async fn server(questions: Rc<Cell<usize>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            questions.set(questions.get() + 1);
            let question = Message::from_vec(&buffer[..n]).unwrap();
            let query = question.queries[0].clone();
            let (code, found) = answer(&query.name().to_ascii().to_ascii_lowercase(), query.query_type());
            let mut reply = Message::response(question.metadata.id, OpCode::Query);
            reply.metadata.response_code = code;
            reply.metadata.recursion_available = true;
            reply.add_query(query.clone());
            // Names of the list live longer than other answers are believed.
            let seconds = if query.name().to_ascii().contains("list") { 900 } else { 60 };
            if code == ResponseCode::NXDomain {
                let soa = SOA::new(name("ns.list.example."), name("root.list.example."), 1, 2, 3, 4, 120);
                reply.add_authority(WireRecord::from_rdata(name("list.example."), 240, RData::SOA(soa)));
            }
            for data in found {
                reply.add_answer(WireRecord::from_rdata(query.name().clone(), seconds, data));
            }
            socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
        }
    });
    at
}

async fn resolver(questions: Rc<Cell<usize>>) -> SystemResolver {
    let hosts = std::env::temp_dir().join(format!("net-hosts-{}", std::process::id()));
    std::fs::write(&hosts, "192.0.2.77 local.example\n").unwrap();
    let name_servers = vec![server(questions).await];
    let settings = SystemResolverSettings { name_servers, hosts_file: Some(hosts), ..Default::default() };
    SystemResolver::open(&settings).unwrap()
}

#[test]
fn exchangers_addresses_and_names_are_found() {
    run(async {
        let resolver = resolver(Rc::default()).await;
        let mut found = resolver.mx("x.example").await.unwrap();
        found.sort_by_key(|mx| mx.preference);
        let found: Vec<(u16, &str)> = found.iter().map(|mx| (mx.preference, mx.host.as_str())).collect();
        assert_eq!(found, [(10, "a.example"), (20, "b.example")]);

        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(resolver.addresses("a.example", Families::ALL).await.unwrap(), [v4, v6]);
        let only = |v4, v6| Families { v4, v6 };
        assert_eq!(resolver.addresses("a.example", only(false, true)).await.unwrap(), [v6]);
        assert_eq!(resolver.addresses("b.example", Families::ALL).await.unwrap().len(), 1);
        assert_eq!(resolver.ptr(v4).await.unwrap(), ["a.example"]);
    });
}

#[test]
fn records_are_found_by_their_type() {
    run(async {
        let resolver = resolver(Rc::default()).await;
        let found = resolver.records("null.example", RecordType::Mx).await.unwrap();
        assert_eq!(found, [Record::Mx(Mx { preference: 0, host: String::new() })]);
        let found = resolver.records("a.example", RecordType::Aaaa).await.unwrap();
        assert_eq!(found, [Record::Address("2001:db8::1".parse().unwrap())]);
        let error = resolver.records("b.example", RecordType::Ns).await.unwrap_err();
        assert_eq!((error.problem, error.record_type), (Problem::NoData, RecordType::Ns));
    });
}

#[test]
fn a_mail_exchanger_may_be_an_address() {
    run(async {
        let found = resolver(Rc::default()).await.mx("numeric.example").await.unwrap();
        assert_eq!(found, [Mx { preference: 10, host: "192.0.2.1".into() }]);
    });
}

#[test]
fn failures_are_told_apart_as_postfix_does() {
    run(async {
        let resolver = resolver(Rc::default()).await;
        let not_found = "Host or domain name not found. Name service error for name=";
        for (domain, text) in [
            ("nosuch.example", format!("{not_found}nosuch.example type=MX: Host not found")),
            (
                "text.example",
                format!("{not_found}text.example type=MX: Host found but no data record of requested type"),
            ),
            ("nosüch.example", format!("{not_found}xn--nosch-mva.example type=MX: Host not found")),
            ("fail.example", format!("{not_found}fail.example type=MX: Host not found, try again")),
            ("null.example", "Domain null.example does not accept mail (nullMX)".to_string()),
            (
                "bad.example",
                "Name service error for name=bad.example type=MX: Malformed or unexpected name server reply"
                    .to_string(),
            ),
            ("refused.example", format!("{not_found}refused.example type=MX: Host not found, try again")),
            ("unheard.example", format!("{not_found}unheard.example type=MX: Host not found, try again")),
            ("nonsense.example", format!("{not_found}nonsense.example type=MX: Non-recoverable error")),
            ("mixed.example", "Domain mixed.example does not accept mail (nullMX)".to_string()),
            ("a..example", "Name service error for a..example: invalid host or domain name".to_string()),
        ] {
            assert_eq!(resolver.mx(domain).await.unwrap_err().to_string(), text);
        }
        let error = resolver.addresses("nosuch.example", Families::ALL).await.unwrap_err();
        assert_eq!((error.problem, error.record_type), (Problem::NotFound, RecordType::Aaaa));
        let error = resolver.addresses("b.example", Families { v4: false, v6: true }).await.unwrap_err();
        assert_eq!(error.problem, Problem::NoData);
    });
}

#[test]
fn a_server_that_is_not_there_is_a_reason_to_try_again() {
    run(async {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let question_timeout = Some(Duration::from_millis(100));
        let settings =
            SystemResolverSettings { name_servers: vec![gone], question_timeout, ..Default::default() };
        let resolver = SystemResolver::open(&settings).unwrap();
        assert_eq!(resolver.mx("x.example").await.unwrap_err().problem, Problem::TryAgain);
    });
}

#[test]
fn answers_are_remembered_and_hosts_come_first_where_asked() {
    run(async {
        let questions = Rc::new(Cell::new(0));
        let resolver = resolver(questions.clone()).await;
        for _ in 0..5 {
            resolver.mx("x.example").await.unwrap();
        }
        assert_eq!(questions.get(), 1);
        let known = resolver.host_addresses("local.example", Families::ALL).await.unwrap();
        assert_eq!(known, ["192.0.2.77".parse::<IpAddr>().unwrap()]);
        assert_eq!(resolver.ptr("192.0.2.77".parse().unwrap()).await.unwrap(), ["local.example"]);
        assert!(
            resolver.addresses("local.example", Families::ALL).await.is_err(),
            "DNS alone does not know it"
        );
    });
}

#[test]
fn a_list_tells_how_long_it_may_be_believed_and_not_listed_is_an_answer() {
    run(async {
        let resolver = resolver(Rc::default()).await;
        let listed = resolver.listing("2.0.0.127.list.example").await.unwrap();
        let addresses = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 4)];
        assert_eq!(listed.addresses, addresses);
        assert_eq!(
            listed.time_to_live,
            Some(Duration::from_secs(900)),
            "not cut to what others are believed"
        );
        let not = resolver.listing("3.0.0.127.list.example").await.unwrap();
        assert_eq!(not, Listing { addresses: Vec::new(), time_to_live: Some(Duration::from_secs(120)) });
        assert_eq!(resolver.listing("text.example").await.unwrap(), Listing::default());
        assert_eq!(resolver.listing("fail.example").await.unwrap_err().problem, Problem::TryAgain);
        assert_eq!(resolver.listing("refused.example").await.unwrap_err().problem, Problem::TryAgain);
    });
}

#[test]
fn texts_are_printable_and_one_a_record() {
    run(async {
        let resolver = resolver(Rc::default()).await;
        assert_eq!(resolver.texts("text.example").await.unwrap(), ["xy  ", "z"]);
        let error = resolver.texts("nosuch.example").await.unwrap_err().to_string();
        assert!(error.ends_with("name=nosuch.example type=TXT: Host not found"), "{error}");
    });
}

#[test]
fn words_of_dns_nameservers_are_understood() {
    let read =
        |words: &[&str]| SystemResolverSettings::from_words(words.iter().copied()).map(|s| s.name_servers);
    let expected: Vec<SocketAddr> = ["127.0.0.1:5353", "192.0.2.1:53", "[::1]:53", "[::1]:54"]
        .iter()
        .map(|a| a.parse().unwrap())
        .collect();
    assert_eq!(read(&["127.0.0.1:5353", "192.0.2.1", "::1", "[::1]:54"]), Ok(expected));
    assert_eq!(read(&["localhost"]), Err("localhost".into()));
}

/// Leaves out what holds `bad`, and does not know what to do with what holds `odd`.
struct LeavesOut;

impl super::super::ReplyFilter for LeavesOut {
    fn result<'a>(&'a self, record: &'a str) -> super::super::Said<'a> {
        let result = match record {
            "2.0.0.127.list.example. 900 IN A 127.0.0.4" | "text.example. 60 IN TXT xy  " => {
                Some("ignore it".into())
            }
            _ if record.starts_with("a.example. 60 IN A ") => Some("IGNORE".into()),
            _ if record.starts_with("b.example.") => Some("NONSENSE".into()),
            _ if record.starts_with("mixed.example.") => return Box::pin(async { Err("fail:x".into()) }),
            _ => None,
        };
        Box::pin(async move { Ok(result) })
    }
}

#[test]
fn a_filter_leaves_out_records_but_not_for_the_systems_own_lookups() {
    run(async {
        let tag = observe::Tag::new("test", "test", 0);
        let filter = Filter { parameter: "smtpd_dns_reply_filter", tables: Rc::new(LeavesOut), tag };
        let plain = resolver(Rc::default()).await;
        let filtered = plain.filtered(filter);
        let four = Families { v4: true, v6: false };
        let error = filtered.addresses("a.example", four).await.unwrap_err();
        assert_eq!(error.problem, Problem::Filtered);
        let text = "Error looking up name=a.example type=A: DNS reply filter drops all results";
        assert_eq!(error.to_string(), text);
        assert_eq!(
            filtered.addresses("a.example", Families::ALL).await.unwrap().len(),
            1,
            "the other family"
        );
        assert_eq!(filtered.host_addresses("a.example", Families::ALL).await.unwrap().len(), 2);
        assert_eq!(filtered.texts("text.example").await.unwrap(), ["z"]);
        let listed = filtered.listing("2.0.0.127.list.example").await.unwrap();
        assert_eq!(listed.addresses, ["127.0.0.2".parse::<std::net::Ipv4Addr>().unwrap()]);
        assert_eq!(filtered.addresses("b.example", four).await.unwrap_err().problem, Problem::FilterFailed);
        assert_eq!(filtered.mx("null.example").await.unwrap_err().problem, Problem::NullMx);
        assert_eq!(filtered.mx("mixed.example").await.unwrap_err().problem, Problem::FilterFailed);
    });
}
