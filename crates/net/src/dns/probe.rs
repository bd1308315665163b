//! Whether names can be resolved at all: which servers will be asked, and whether they answer.
//!
//! Where they do not, Postfix's only sign is that every client is called `unknown`. The question is harmless: the name
//! of 127.0.0.1, to none but the configured servers, once.

use super::resolv_conf::SERVERS_MAX;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long all servers together have; a resolver that needs longer for 127.0.0.1 makes clients wait as long.
pub const PROBE_TIME: Duration = Duration::from_secs(2);

/// 1.0.0.127.in-addr.arpa PTR IN, recursion desired; the id comes in front.
const QUESTION: &[u8] =
    b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x011\x010\x010\x03127\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";

const REFUSED: u8 = 5;

/// Why names cannot be resolved by `servers`, or nothing where one of them answers. Waits `time` at most.
pub fn silent(servers: &[SocketAddr], time: Duration) -> Option<String> {
    let deadline = Instant::now() + time;
    let asked: Vec<_> = servers.iter().take(SERVERS_MAX).map(|server| (server, ask(*server))).collect();
    let mut complaints = Vec::new();
    for (server, socket) in asked {
        match socket.and_then(|socket| answer(&socket, deadline)) {
            Ok(REFUSED) => complaints.push(format!("{server} refuses to answer us")),
            Ok(_) => return None,
            Err(e) => complaints.push(format!("{server} does not answer ({})", reason(&e))),
        }
    }
    (!complaints.is_empty()).then(|| complaints.join(", "))
}

/// The id of the one question; the socket takes answers from the server alone, so it need not be secret.
const ID: [u8; 2] = *b"ph";

fn ask(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(&[&ID, QUESTION].concat())?;
    Ok(socket)
}

/// The code of the answer.
fn answer(socket: &UdpSocket, deadline: Instant) -> io::Result<u8> {
    let mut packet = [0; 512];
    loop {
        // Zero would mean to wait for ever; a server behind a silent one may have answered meanwhile.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut packet)?;
        if let [a, b, flags, code, ..] = packet[..length]
            && [a, b] == ID
            && flags & 0x80 != 0
        {
            return Ok(code & 15);
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it is silent".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server that answers each question with the code, if any.
    fn server(code: Option<u8>) -> (SocketAddr, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, served) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
        if let Some(code) = code {
            thread::spawn(move || {
                let mut packet = [0; 512];
                while let Ok((length, from)) = served.recv_from(&mut packet) {
                    packet[2] |= 0x80;
                    packet[3] = code;
                    let _ = served.send_to(&packet[..length], from);
                }
            });
        }
        (address, socket)
    }

    #[test]
    fn one_server_that_answers_is_enough_whatever_it_says() {
        let (silent_one, _open) = server(None);
        for code in [0, 2, 3] {
            let (server, _open) = server(Some(code));
            assert_eq!(silent(&[silent_one, server], Duration::from_millis(200)), None, "{code}");
        }
    }

    #[test]
    fn servers_that_do_not_answer_are_told_with_the_reason() {
        let (silent_one, _open) = server(None);
        let (refusing, _also_open) = server(Some(REFUSED));
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let told = silent(&[silent_one, refusing, nobody], Duration::from_millis(200)).unwrap();
        let expected = format!(
            "{silent_one} does not answer (it is silent), {refusing} refuses to answer us, \
             {nobody} does not answer (nobody listens there)"
        );
        assert_eq!(told, expected);
    }
}
