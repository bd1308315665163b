//! Opening listening sockets as `inet_interfaces` and `inet_protocols` say.

use crate::Families;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Opens a listening socket: address reusable at once, IPv6 alone on an IPv6 address, non-blocking, closed on exec.
///
/// `backlog` is how many connections the kernel holds until we accept them (Postfix: `listen` on 65535,
/// cut by the kernel to net.core.somaxconn); beyond it clients wait or are refused.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Takes an inherited or handed-over listening socket into the current event loop.
///
/// Connections have TCP_NODELAY from it, which costs no system call for each: replies are small and awaited, and must
/// not wait for more to come.
pub fn accept_nonblocking(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// The addresses that one word of `inet_interfaces` (or the host of a master.cf `host:port`) stands for.
///
/// Blocks on the system's resolver for a host name; only for start-up.
pub fn interface_addresses(word: &str, families: Families) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = match word {
        "all" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        "loopback-only" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        name => {
            let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
            let bare = bare.strip_prefix("ipv6:").or_else(|| bare.strip_prefix("IPv6:")).unwrap_or(bare);
            match bare.parse() {
                Ok(ip) => vec![ip],
                Err(_) => (bare, 0).to_socket_addrs()?.map(|a| a.ip()).collect(),
            }
        }
    };
    found.retain(|ip| families.allow(*ip));
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("no address for {word} in inet_protocols"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_listen_on_one_port_at_once() {
        let v6 = listen((Ipv6Addr::LOCALHOST, 0).into(), 8).unwrap();
        let port = v6.local_addr().unwrap().port();
        // A port that is free for one family may be taken in the other by anybody.
        let both = (0..20).any(|_| {
            let any6 = listen((Ipv6Addr::UNSPECIFIED, 0).into(), 8).unwrap();
            let any_port = any6.local_addr().unwrap().port();
            listen((Ipv4Addr::UNSPECIFIED, any_port).into(), 8).is_ok()
        });
        assert!(both);
        assert_eq!(
            listen((Ipv6Addr::LOCALHOST, port).into(), 8).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[tokio::test]
    async fn replies_to_accepted_clients_do_not_wait_for_more() {
        let listener = accept_nonblocking(listen((Ipv4Addr::LOCALHOST, 0).into(), 8).unwrap()).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().await.unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn words_of_inet_interfaces_become_addresses() {
        let v4 = Families { v4: true, v6: false };
        assert_eq!(interface_addresses("all", v4).unwrap(), [IpAddr::from(Ipv4Addr::UNSPECIFIED)]);
        assert_eq!(interface_addresses("[::1]", Families::ALL).unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(interface_addresses("loopback-only", Families::ALL).unwrap().len(), 2);
        assert!(interface_addresses("[::1]", v4).is_err());
    }
}
