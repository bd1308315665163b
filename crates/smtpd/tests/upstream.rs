//! A proxy in front: what happens where its header comes late, in pieces, or not at all.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

mod server;

use server::Server;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const BEHIND_A_PROXY: &str = "smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 1s\n";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.9 192.0.2.1 777 25\r\n";

fn reply(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_header_may_come_in_pieces() {
    let server =
        Server::start("smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 20s\n");
    let mut stream = server.connect("127.0.0.1");
    for byte in HEADER {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(reply(&stream).starts_with("220 "));
}

#[test]
fn a_header_that_comes_too_late_is_not_awaited() {
    let server = Server::start(BEHIND_A_PROXY);
    let mut stream = server.connect("127.0.0.1");
    // Longer than the time that is set, shorter than the one by default.
    std::thread::sleep(Duration::from_millis(2500));
    let _ = stream.write_all(HEADER);
    assert_eq!(reply(&stream), "421 4.3.0 mx.example.org Server local error");
}

#[test]
fn who_says_nothing_is_a_direct_client_only_where_so_configured() {
    let server = Server::start(BEHIND_A_PROXY);
    assert_eq!(reply(&server.connect("127.0.0.1")), "421 4.3.0 mx.example.org Server local error");
    let server = Server::start(&format!("{BEHIND_A_PROXY}posthaste_upstream_proxy_direct = yes\n"));
    assert!(reply(&server.connect("127.0.0.1")).starts_with("220 "));
    let mut begun = server.connect("127.0.0.1");
    begun.write_all(b"PRO").unwrap();
    assert_eq!(reply(&begun), "421 4.3.0 mx.example.org Server local error");
}

#[test]
fn another_protocol_is_no_setting() {
    let text = server::settings("smtpd_upstream_proxy_protocol = nginx\n").err().unwrap();
    assert!(
        text.contains("smtpd_upstream_proxy_protocol: expected `haproxy` or nothing, found `nginx`"),
        "{text}"
    );
}
