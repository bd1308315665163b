//! More clients than sessions: who waits, who makes room, who is turned away, and which settings hold meanwhile.

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use server::{Server, WAITING_MAX};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A client of `mynetworks`, and strangers.
const OURS: &str = "127.0.0.1";
const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";

/// Long enough for a word that should not come.
const SILENCE: Duration = Duration::from_millis(300);

const BUSY: &str = "421 4.3.2 All server ports are busy";

/// One of four clients, of which each takes as many of the places of those who wait as one may have.
fn of_many(number: usize) -> String {
    format!("127.0.1.{}", 1 + number * 4 / WAITING_MAX)
}

/// One line.
fn line(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).unwrap() == 1 {
        match byte[0] {
            b'\n' => return String::from_utf8(text).unwrap(),
            b'\r' => {}
            other => text.push(other),
        }
    }
    panic!("the server closed after {:?}", String::from_utf8_lossy(&text));
}

fn ask(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    line(stream)
}

fn greeted(server: &Server, from: &str) -> TcpStream {
    let mut stream = server.connect(from);
    assert!(line(&mut stream).starts_with("220 "));
    stream
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let kind = stream.read(&mut [0]).map_err(|e| e.kind());
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    matches!(kind, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1))
}

#[test]
fn a_client_of_mynetworks_gets_the_session_of_the_stranger_that_is_idle_longest() {
    let server = Server::start_small("", 2);
    let mut first = greeted(&server, A);
    let mut second = greeted(&server, B);
    // The first was heard last.
    assert_eq!(ask(&mut second, "NOOP"), "250 2.0.0 Ok");
    assert_eq!(ask(&mut first, "NOOP"), "250 2.0.0 Ok");
    let mut ours = greeted(&server, OURS);
    assert_eq!(line(&mut second), BUSY);
    assert!(is_closed(&mut second));
    assert_eq!(ask(&mut first, "NOOP"), "250 2.0.0 Ok");
    assert_eq!(ask(&mut ours, "NOOP"), "250 2.0.0 Ok");
}

#[test]
fn nobody_inside_a_transaction_makes_room_and_whoever_ends_one_may() {
    let server = Server::start_small("", 2);
    let (mut mailing, mut sending) = (greeted(&server, A), greeted(&server, B));
    for stream in [&mut mailing, &mut sending] {
        assert_eq!(ask(stream, "HELO x"), "250 mx.example.org");
        assert_eq!(ask(stream, "MAIL FROM:<a@example.net>"), "250 2.1.0 Ok");
        assert_eq!(ask(stream, "RCPT TO:<ann@example.org>"), "250 2.1.5 Ok");
    }
    assert!(ask(&mut sending, "DATA").starts_with("354 "));
    let mut ours = server.connect(OURS);
    assert!(is_silent(&mut ours));
    assert!(is_silent(&mut mailing) && is_silent(&mut sending));
    // Its message is taken; then it is between transactions and goes.
    assert!(ask(&mut sending, "text\r\n.").starts_with("250 2.0.0 Ok: queued as "));
    assert!(line(&mut ours).starts_with("220 "));
    assert_eq!(line(&mut sending), BUSY);
    assert!(ask(&mut mailing, "DATA").starts_with("354 "));
    assert!(ask(&mut mailing, ".").starts_with("250 2.0.0 Ok: queued as "));
}

#[test]
fn strangers_end_nobody_and_wait_behind_clients_of_mynetworks() {
    let server = Server::start_small("", 1);
    let mut ours = greeted(&server, OURS);
    let mut stranger = server.connect(A);
    assert!(is_silent(&mut stranger));
    let mut other = server.connect(OURS);
    assert!(is_silent(&mut other) && is_silent(&mut stranger));
    assert_eq!(ask(&mut ours, "NOOP"), "250 2.0.0 Ok");
    assert_eq!(ask(&mut ours, "QUIT"), "221 2.0.0 Bye");
    // It came later, but counts more.
    assert!(line(&mut other).starts_with("220 "));
    assert!(is_silent(&mut stranger));
    assert_eq!(ask(&mut other, "QUIT"), "221 2.0.0 Bye");
    assert!(line(&mut stranger).starts_with("220 "));
}

#[test]
fn few_wait_further_strangers_are_turned_away_and_a_client_of_mynetworks_still_comes_in() {
    let server = Server::start_small("smtpd_client_connection_count_limit = 0", 1);
    let mut sitting = greeted(&server, A);
    let mut waiting: Vec<TcpStream> = (0..WAITING_MAX).map(|n| server.connect(&of_many(n))).collect();
    let mut late = server.connect(A);
    assert_eq!(line(&mut late), BUSY);
    assert!(is_closed(&mut late));
    assert!(waiting.iter_mut().all(|stream| {
        stream.set_nonblocking(true).unwrap();
        let silent = matches!(stream.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        stream.set_nonblocking(false).unwrap();
        silent
    }));
    let mut ours = greeted(&server, OURS);
    assert_eq!(line(&mut sitting), BUSY);
    assert_eq!(line(waiting.last_mut().unwrap()), BUSY, "the last of the waiting ones gave it its place");
    assert_eq!(ask(&mut ours, "QUIT"), "221 2.0.0 Bye");
    assert!(line(&mut waiting[0]).starts_with("220 "));
}

#[test]
fn one_stranger_cannot_take_all_places_of_those_who_wait() {
    let server = Server::start_small("smtpd_client_connection_count_limit = 0", 1);
    let _sitting = greeted(&server, A);
    let _waiting: Vec<TcpStream> = (0..WAITING_MAX / 4).map(|_| server.connect(B)).collect();
    assert_eq!(line(&mut server.connect(B)), BUSY);
    assert!(is_silent(&mut server.connect(A)), "another one waits");
}

#[test]
fn clients_of_mynetworks_beyond_the_places_to_wait_are_not_turned_away() {
    let server = Server::start_small("smtpd_client_connection_count_limit = 0", 1);
    let mut sitting = greeted(&server, OURS);
    let mut waiting: Vec<TcpStream> = (0..WAITING_MAX + 3).map(|_| server.connect(OURS)).collect();
    assert!(is_silent(waiting.last_mut().unwrap()));
    assert_eq!(ask(&mut sitting, "QUIT"), "221 2.0.0 Bye");
    for mut stream in waiting {
        assert!(line(&mut stream).starts_with("220 "));
        assert_eq!(ask(&mut stream, "QUIT"), "221 2.0.0 Bye");
    }
}

#[test]
fn who_hangs_up_while_it_waits_leaves_its_place_to_another() {
    let server = Server::start_small("smtpd_client_connection_count_limit = 0", 1);
    let _sitting = greeted(&server, A);
    let mut waiting: Vec<TcpStream> = (0..WAITING_MAX).map(|n| server.connect(&of_many(n))).collect();
    assert_eq!(line(&mut server.connect(A)), BUSY);
    waiting.remove(5);
    // The server hears of it in its own time.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_silent(&mut server.connect(A)) {
        assert!(Instant::now() < deadline, "nobody else may wait");
    }
}

#[test]
fn sessions_that_begin_at_the_limit_have_the_settings_for_stress_until_it_is_calm() {
    let server = Server::start_small("posthaste_stress_calm_time = 0", 3);
    let mut early: Vec<TcpStream> = (0..2).map(|_| greeted(&server, A)).collect();
    assert!(!server.stress.is_on());
    // The third of three: the next one's settings are those for stress, this one's as well.
    let mut last = greeted(&server, A);
    assert!(server.stress.is_on());
    assert_eq!(ask(&mut last, "XYZZY"), "500 5.5.2 Error: command not recognized");
    assert_eq!(line(&mut last), "421 4.7.0 mx.example.org Error: too many errors");
    // Who came before keeps what it began with.
    assert_eq!(ask(&mut early[0], "XYZZY"), "500 5.5.2 Error: command not recognized");
    assert_eq!(ask(&mut early[0], "NOOP"), "250 2.0.0 Ok");
    assert!(is_closed(&mut last));
    early.truncate(1);
    // The server hears of the end of the others in its own time.
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.stress.is_on() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(Instant::now() < deadline, "stress does not end");
    }
    let mut calm = greeted(&server, A);
    assert_eq!(ask(&mut calm, "XYZZY"), "500 5.5.2 Error: command not recognized");
    assert_eq!(ask(&mut calm, "NOOP"), "250 2.0.0 Ok");
}

#[test]
fn room_is_made_and_given_on_whichever_event_loop_sessions_and_clients_are() {
    for _ in 0..5 {
        let server = Server::start_loops("", 2, 3);
        let mut strangers = [greeted(&server, A), greeted(&server, B)];
        let mut waiting = server.connect("127.0.0.4");
        assert!(is_silent(&mut waiting));
        let mut ours = greeted(&server, OURS);
        // Which of the two went depends on where they were.
        assert_eq!(strangers.iter_mut().map(is_silent).filter(|silent| !silent).count(), 1);
        assert!(is_silent(&mut waiting));
        assert_eq!(ask(&mut ours, "QUIT"), "221 2.0.0 Bye");
        assert!(line(&mut waiting).starts_with("220 "));
    }
}
