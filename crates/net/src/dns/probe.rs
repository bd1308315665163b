//! Whether names can be resolved at all: which servers will be asked, and whether they answer.
//!
//! Where they do not, Postfix's only sign is that every client is called `unknown`. The question is harmless: the name
//! of 127.0.0.1, to none but the configured servers, once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

const DNS_PORT: u16 = 53;

/// How long all servers together have; a resolver that needs longer for 127.0.0.1 makes clients wait as long.
pub const PROBE_TIME: Duration = Duration::from_secs(2);

/// Servers that are asked, as the system's resolver takes no more.
const SERVERS_MAX: usize = 3;

/// Bytes of resolv.conf that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// 1.0.0.127.in-addr.arpa PTR IN, recursion desired; the id comes in front.
const QUESTION: &[u8] =
    b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x011\x010\x010\x03127\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";

const REFUSED: u8 = 5;

/// The servers of a resolv.conf, or why there are none.
pub fn name_servers(resolv_conf: &Path) -> Result<Vec<SocketAddr>, String> {
    use std::io::Read as _;
    let path = resolv_conf.display();
    let mut text = Vec::new();
    std::fs::File::open(resolv_conf)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text))
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => format!("{path} does not exist"),
            _ => format!("{path} cannot be read: {e}"),
        })?;
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A scope (`fe80::1%eth0`) is for the system's resolver; without it the address cannot be asked.
        server.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DNS_PORT))
    });
    let servers: Vec<_> = named.take(SERVERS_MAX).collect();
    match servers.is_empty() {
        true => Err(format!("{path} has no `nameserver` line with an address")),
        false => Ok(servers),
    }
}

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

    fn resolv_conf(name: &str, text: &str) -> Result<Vec<SocketAddr>, String> {
        let path = std::env::temp_dir().join(format!("posthaste-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let found = name_servers(&path).map_err(|why| why.replace(&path.display().to_string(), "FILE"));
        std::fs::remove_file(&path).unwrap();
        found
    }

    #[test]
    fn resolv_conf_names_servers_or_it_is_told_why_not() {
        let text =
            "# nameserver 192.0.2.9\nnameserver 192.0.2.1 # here\n nameserver 2001:db8::1\noptions x\n";
        let expected: Vec<SocketAddr> =
            ["192.0.2.1:53", "[2001:db8::1]:53"].map(|a| a.parse().unwrap()).into();
        assert_eq!(resolv_conf("names", text), Ok(expected));
        let none = "FILE has no `nameserver` line with an address".to_owned();
        assert_eq!(resolv_conf("no-names", "search example.org\nnameserver\nnameserver x\n"), Err(none));
        let missing = name_servers(Path::new("/nonexistent/resolv.conf"));
        assert_eq!(missing, Err("/nonexistent/resolv.conf does not exist".to_owned()));
    }

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
