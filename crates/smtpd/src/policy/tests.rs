//! Policy services on loopback that answer as a test says.

use super::*;
use crate::policy::settings::tests::defaults;
use net::dns::ScriptedResolver;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a service saw, in order: the number of the connection, and what came.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Request(usize),
    End(usize),
}

/// Starts a service that answers each request with what `answer` gives for the number of the connection and of the
/// request in it; nothing closes the connection.
fn service(
    answer: impl Fn(usize, usize) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (SocketAddr, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().flatten().enumerate() {
            let (answer, sender) = (Arc::clone(&answer), sender.clone());
            std::thread::spawn(move || serve(&stream, connection, &*answer, &sender));
        }
    });
    (address, receiver)
}

fn serve(
    mut stream: &std::net::TcpStream,
    connection: usize,
    answer: &dyn Fn(usize, usize) -> Option<Vec<u8>>,
    seen: &Sender<Seen>,
) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    for request in 0.. {
        if !lines.any(|line| line.is_empty()) {
            break;
        }
        let _ = seen.send(Seen::Request(connection));
        match answer(connection, request) {
            Some(bytes) => stream.write_all(&bytes).unwrap(),
            None => break,
        }
    }
    let _ = seen.send(Seen::End(connection));
}

fn dunno(_: usize, _: usize) -> Option<Vec<u8>> {
    Some(b"action=DUNNO\n\n".to_vec())
}

/// The service behind an address, with more settings.
fn server(address: SocketAddr, more: &str) -> Arc<Server> {
    Server::of(&format!("{{ inet:{address}, {more} }}"), &defaults("")).unwrap()
}

async fn ask(server: &Server) -> Result<String, Unanswered> {
    let resolver = ScriptedResolver::new().with_address("policy.example", "127.0.0.1");
    let tag = Tag::new("postfix", "smtpd", 1);
    let around = Around { resolver: &resolver, families: Families::ALL, tag: &tag };
    let address: std::net::SocketAddr = "192.0.2.9:4321".parse().unwrap();
    server.ask(&Request::of(address, address), &around).await
}

/// Runs a future as an event loop does.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

#[test]
fn requests_go_over_one_connection_until_its_limit() {
    let (address, seen) = service(dunno);
    let server = server(address, "request_limit=2");
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&server).await.as_deref(), Ok("DUNNO"));
        }
    });
    let requests: Vec<_> = seen.iter().filter(|seen| matches!(seen, Seen::Request(_))).take(3).collect();
    assert_eq!(requests, [Seen::Request(0), Seen::Request(0), Seen::Request(1)]);
}

#[test]
fn requests_at_once_go_over_connections_of_their_own() {
    let (address, seen) = service(dunno);
    let server = server(address, "timeout=100");
    run(async {
        let (a, b) = tokio::join!(ask(&server), ask(&server));
        assert_eq!((a, b), (Ok("DUNNO".to_owned()), Ok("DUNNO".to_owned())));
    });
    let mut connections: Vec<_> = seen.iter().take(2).map(|seen| format!("{seen:?}")).collect();
    connections.sort();
    assert_eq!(connections, ["Request(0)", "Request(1)"]);
}

#[test]
fn a_kept_connection_that_the_service_closed_costs_no_try_and_no_pause() {
    // Closes after each answer, as if it had restarted. A pause would outlast any test.
    let (address, _seen) = service(|_, request| (request == 0).then(|| b"action=DUNNO\n\n".to_vec()));
    let server = server(address, "try_limit=1, retry_delay=10000");
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&server).await.as_deref(), Ok("DUNNO"));
        }
    });
}

#[test]
fn a_connection_on_which_more_came_than_an_answer_is_not_used_again() {
    let (address, seen) = service(|_, _| Some(b"action=DUNNO\n\naction=REJECT\n\n".to_vec()));
    let server = server(address, "timeout=100");
    run(async {
        for _ in 0..2 {
            assert_eq!(ask(&server).await.as_deref(), Ok("DUNNO"));
        }
    });
    let requests: Vec<_> = seen.iter().filter(|seen| matches!(seen, Seen::Request(_))).take(2).collect();
    assert_eq!(requests, [Seen::Request(0), Seen::Request(1)]);
}

#[test]
fn a_failed_try_is_followed_by_another_over_a_new_connection() {
    let (address, seen) = service(|connection, _| match connection {
        0 => Some(b"garbage\n\n".to_vec()),
        _ => Some(b"action=OK\n\n".to_vec()),
    });
    let server = server(address, "retry_delay=1");
    assert_eq!(run(ask(&server)).as_deref(), Ok("OK"));
    let requests: Vec<_> = seen.iter().filter(|seen| matches!(seen, Seen::Request(_))).take(2).collect();
    assert_eq!(requests, [Seen::Request(0), Seen::Request(1)]);
}

#[test]
fn no_answer_within_the_time_is_none() {
    let (address, _seen) = service(|_, _| Some(b"action=DUN".to_vec()));
    let server = server(address, "timeout=1, try_limit=1, { default_action=DEFER x }");
    assert_eq!(run(ask(&server)), Err(Unanswered));
    assert_eq!(server.default_action(), "DEFER x");
}

#[test]
fn a_service_that_fails_again_and_again_is_left_in_peace_until_it_answers() {
    const ROUNDS: usize = 50;
    let (address, seen) = service(|_, _| None);
    let failing = server(address, "try_limit=1");
    run(async {
        for _ in 0..ROUNDS {
            assert_eq!(ask(&failing).await, Err(Unanswered));
        }
    });
    let requests = seen.try_iter().filter(|seen| matches!(seen, Seen::Request(_))).count();
    // Three, and one a second at most where the test is held up.
    assert!((3..ROUNDS).contains(&requests), "{requests}");
    assert!(failing.breaker().is_open());
}

#[test]
fn a_service_that_was_left_in_peace_is_asked_freely_once_it_answers() {
    let (address, _seen) = service(|connection, _| (connection >= 3).then(|| b"action=OK\n\n".to_vec()));
    let server = server(address, "try_limit=1");
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&server).await, Err(Unanswered));
        }
        assert!(server.breaker().is_open());
        while ask(&server).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert!(!server.breaker().is_open());
}

#[test]
fn an_idle_connection_is_closed_though_nobody_asks() {
    let (address, seen) = service(dunno);
    let server = server(address, "max_idle=1");
    run(async {
        assert_eq!(ask(&server).await.as_deref(), Ok("DUNNO"));
        assert_eq!(seen.recv(), Ok(Seen::Request(0)));
        // The loop must run for the connection to be closed.
        while seen.try_recv() != Ok(Seen::End(0)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_connection_that_is_in_use_is_closed_when_it_is_old() {
    let (address, seen) = service(dunno);
    let server = server(address, "max_ttl=1");
    run(async {
        while seen.try_recv() != Ok(Seen::Request(1)) {
            assert_eq!(ask(&server).await.as_deref(), Ok("DUNNO"));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_host_is_found_by_its_name() {
    let (address, _seen) = service(dunno);
    let ask_host = |host: &str| {
        let word = format!("{{ inet:{host}:{}, try_limit=1 }}", address.port());
        run(ask(&Server::of(&word, &defaults("")).unwrap()))
    };
    assert_eq!(ask_host("policy.example").as_deref(), Ok("DUNNO"));
    assert_eq!(ask_host("nowhere.example"), Err(Unanswered));
}

#[test]
fn an_action_that_is_no_text_is_none() {
    let (address, _seen) = service(|_, _| Some(b"action=REJECT \xff\n\n".to_vec()));
    assert_eq!(run(ask(&server(address, "try_limit=1"))), Err(Unanswered));
}

#[test]
fn a_service_named_twice_in_the_same_way_is_one() {
    let of = |word: &str| Server::of(word, &defaults("")).unwrap();
    let first = of("inet:127.0.0.1:7");
    assert!(Arc::ptr_eq(&first, &of("inet:127.0.0.1:7")));
    assert!(!Arc::ptr_eq(&first, &of("{ inet:127.0.0.1:7, timeout=7 }")));
}
