//! What refusals become, and what clients hear when the service goes down.

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Says something and gives the last lines of so many replies.
fn ask(stream: &mut TcpStream, text: &str, count: usize) -> Vec<String> {
    stream.write_all(text.as_bytes()).unwrap();
    let mut replies = Vec::new();
    let mut line = Vec::new();
    while replies.len() < count {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the server closed after {replies:?}");
        line.push(byte[0]);
        if byte[0] == b'\n' {
            let whole = String::from_utf8(std::mem::take(&mut line)).unwrap();
            if whole.as_bytes()[3] == b' ' {
                replies.push(whole.trim_end().to_owned());
            }
        }
    }
    replies
}

/// A client behind the greeting and its EHLO.
fn client(server: &Server, address: &str) -> TcpStream {
    let mut stream = server.connect(address);
    ask(&mut stream, "", 1);
    ask(&mut stream, "EHLO x\r\n", 1);
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const GOING_DOWN: &str = "421 4.3.2 mx.example.org Service going down - try again later";

#[test]
fn a_client_within_a_transaction_is_told_that_the_service_goes_down() {
    let mut server = Server::start("smtpd_soft_error_limit = 1\nsmtpd_error_sleep_time = 1h");
    let mut clients: Vec<TcpStream> = (0..5).map(|_| client(&server, "127.0.0.1")).collect();
    ask(&mut clients[1], "MAIL FROM:<>\r\n", 1);
    ask(&mut clients[2], "MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n", 2);
    ask(&mut clients[3], "MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n", 3);
    clients[3].write_all(b"Subject: x\r\n\r\nhalf a mess").unwrap();
    // In the tarpit: it gets what it waits for, and then the end.
    ask(&mut clients[4], "A\r\n", 1);
    clients[4].write_all(b"RSET\r\n").unwrap();
    server.order_to_stop();
    for (n, client) in clients.iter_mut().enumerate() {
        let said = rest(client);
        let before = if n == 4 { "250 2.0.0 Ok\r\n" } else { "" };
        assert_eq!(said, format!("{before}{GOING_DOWN}\r\n"), "client {n}");
    }
    assert_eq!(server.groups(), 0, "nothing was queued");
}

#[test]
fn a_transaction_that_ends_within_the_grace_is_queued() {
    let mut server = Server::start("");
    let mut client = client(&server, "127.0.0.1");
    ask(&mut client, "MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n", 3);
    server.order_to_stop();
    assert!(ask(&mut client, "x\r\n.\r\n", 1)[0].starts_with("250 2.0.0 Ok: queued as "));
    assert_eq!(rest(&mut client), format!("{GOING_DOWN}\r\n"), "it is idle then");
    assert_eq!(server.groups(), 1);
}

#[test]
fn a_filter_puts_another_refusal_in_place_of_one() {
    let server = Server::start(
        "smtpd_soft_error_limit = 90\nsmtpd_hard_error_limit = 90\nsmtpd_reject_footer = foot of $client_address\n\
         smtpd_reject_filter_maps = regexp:{{/^(554) 5.7.1 .*already|^501 Syntax: HELO/ no reply}, \
         {/^454-4.7.1 (<.*>): Relay access denied/ 550 5.7.99 $$1 may not\\nwrite here}, \
         {/^550-5.1.1 /450 4.2.0 later}, {/^501-5.5.4 Syntax: RSET/ 421 4.7.0 go}}",
    );
    let mut first = client(&server, "127.0.0.2");
    assert_eq!(ask(&mut first, "HELO\r\n", 1), ["501 foot of 127.0.0.2"], "what is no refusal replaces none");
    ask(&mut first, "MAIL FROM:<>\r\n", 1);
    first.write_all(b"RCPT TO:<x@else.example>\r\nQUIT\r\n").unwrap();
    assert_eq!(
        rest(&mut first),
        "550-5.7.99 <x@else.example> may not\r\n550 5.7.99 write here\r\n221 2.0.0 Bye\r\n"
    );
    let mut second = client(&server, "127.0.0.2");
    second.write_all(b"RSET x\r\n").unwrap();
    assert_eq!(rest(&mut second), "421 4.7.0 go\r\n", "a last word ends the session");
}

#[test]
fn what_a_filter_says_is_softened_as_other_refusals_are() {
    let server =
        Server::start("soft_bounce = yes\nsmtpd_reject_filter_maps = regexp:{{/^500 / 521 5.9.9 out}}");
    let mut client = client(&server, "127.0.0.2");
    client.write_all(b"FOO\r\n").unwrap();
    assert_eq!(rest(&mut client), "421 4.9.9 out\r\n");
}
