//! Clients that make errors wait for their replies, and that costs the server a timer for each: no thread, little memory.
//! Alone in its file, since it counts the process's threads.

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn status_of_self(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    let mut byte = [0];
    while !line.ends_with('\n') {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the server closed after {line:?}");
        line.push(byte[0].into());
    }
    line
}

/// Clients in the tarpit at once.
const CLIENTS: usize = 10_000;

/// Variable that makes the test below the clients' process: each half needs a descriptor for each of them.
const SERVER: &str = "TARPIT_SERVER";

#[test]
fn ten_thousand_clients_in_the_tarpit_cost_no_thread_and_little_memory() {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: most, maximum: most };
    setrlimit(Resource::Nofile, limit).unwrap();
    if let Ok(address) = std::env::var(SERVER) {
        return get_stuck(address.parse().unwrap());
    }
    let server = Server::start(
        "smtpd_soft_error_limit = 1\nsmtpd_error_sleep_time = 1h\nsmtpd_client_connection_count_limit = 0",
    );
    let mut other = server.connect("127.0.0.3");
    assert!(line(&mut other).starts_with("220 "));
    let (threads, memory) = (status_of_self("Threads"), status_of_self("VmRSS"));
    let own_name = "ten_thousand_clients_in_the_tarpit_cost_no_thread_and_little_memory";
    let mut clients = Command::new(std::env::current_exe().unwrap())
        .args([own_name, "--exact", "--nocapture"])
        .env(SERVER, server.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(clients.stdout.take().unwrap()).lines();
    assert!(said.by_ref().map_while(Result::ok).any(|line| line.ends_with("stuck")), "the clients failed");
    // What they said was read, so each of them waits for its reply.
    let begun = Instant::now();
    while unread_and_read(server.address.port()) != (0, CLIENTS + 1) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", unread_and_read(server.address.port()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(status_of_self("Threads"), threads);
    let each = status_of_self("VmRSS").saturating_sub(memory) * 1024 / CLIENTS as u64;
    println!("{each} bytes each");
    assert!(each < 6 * 1024, "{each} bytes each");
    other.write_all(b"NOOP\r\n").unwrap();
    assert_eq!(line(&mut other), "250 2.0.0 Ok\r\n", "others are served meanwhile");
    drop(clients.stdin.take());
    assert!(clients.wait().unwrap().success());
}

/// The clients: each makes two errors, and the second one's reply never comes.
fn get_stuck(address: SocketAddr) {
    let mut clients: Vec<TcpStream> = Vec::new();
    while clients.len() < CLIENTS {
        // As many as may wait to be accepted; a connection that finds no room there comes a second later.
        let mut more: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (reply, next) in [("220 ", "A\r\n"), ("500 ", "B\r\n")] {
            for client in &mut more {
                assert!(line(client).starts_with(reply));
                client.write_all(next.as_bytes()).unwrap();
            }
        }
        clients.append(&mut more);
    }
    println!("stuck");
    // Until the server's half has seen enough.
    let _ = std::io::stdin().read(&mut [0]);
}

/// Connections to the port with and without bytes that wait to be read.
fn unread_and_read(port: u16) -> (usize, usize) {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let (mut unread, mut read) = (0, 0);
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01";
        match fields[4].ends_with(":00000000") {
            true if is_ours => read += 1,
            false if is_ours => unread += 1,
            _ => {}
        }
    }
    (unread, read)
}
