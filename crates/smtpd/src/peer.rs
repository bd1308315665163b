//! Who the client is: its address, and the name that leads to it and back.
//!
//! Postfix: `smtpd_peername_lookup`, smtpd_peer.c.

use net::dns::Problem;
use net::{Families, Resolver};
use observe::events::smtpd::{NameInvalid, NameUnverified};
use observe::{Tag, emit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A name that is not known or not verified.
pub const UNKNOWN: &str = "unknown";

/// Who a client has proved to be (RFC 4954), or a trusted host says that it has (XCLIENT LOGIN).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The mechanism.
    pub method: String,
    /// The name.
    pub username: String,
    /// `AUTH=` of MAIL.
    pub sender: String,
}

/// How sure a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    /// It is known, and where that is asked verified.
    Ok,
    /// It cannot be known now.
    Temporary,
    /// There is none, or it leads elsewhere.
    Permanent,
}

/// The client of a session.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its address; an IPv4 address in IPv6's clothes is one of IPv4.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The verified name, or `unknown`.
    pub name: String,
    /// The name that the address leads to, verified or not; or `unknown`.
    pub reverse_name: String,
    /// `name[address]`, as replies and the log show it.
    pub name_and_address: String,
    /// Whether `name` is known.
    pub name_status: NameStatus,
    /// Whether `reverse_name` is known.
    pub reverse_name_status: NameStatus,
    /// Who it has proved to be.
    pub sasl: Option<Login>,
    /// The address of ours that it reached.
    pub server: SocketAddr,
}

impl PeerInfo {
    /// A client whose name is not asked for.
    pub fn unnamed(client: SocketAddr, server: SocketAddr) -> Self {
        let address = client.ip().to_canonical();
        PeerInfo {
            address,
            port: client.port(),
            name: UNKNOWN.to_owned(),
            reverse_name: UNKNOWN.to_owned(),
            name_and_address: format!("{UNKNOWN}[{address}]"),
            name_status: NameStatus::Permanent,
            reverse_name_status: NameStatus::Permanent,
            sasl: None,
            server,
        }
    }

    /// Who comes over a Unix socket: a program of this host, in Postfix's words. No name is asked for.
    pub fn local(families: Families) -> Self {
        let address: IpAddr =
            if families.v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let name = "localhost".to_owned();
        PeerInfo {
            address,
            port: 0,
            name_and_address: format!("{name}[{address}]"),
            reverse_name: name.clone(),
            name,
            name_status: NameStatus::Ok,
            reverse_name_status: NameStatus::Ok,
            sasl: None,
            server: (address, 0).into(),
        }
    }

    /// Asks for the client's name, and whether the name leads back. The resolver bounds how long that takes.
    pub async fn look_up(&mut self, resolver: &dyn Resolver, families: Families, tag: &Tag) {
        let names = match resolver.ptr(self.address).await {
            Ok(names) => names,
            Err(error) => {
                let status = status_of(error.problem);
                (self.name_status, self.reverse_name_status) = (status, status);
                return;
            }
        };
        let Some(name) = names.into_iter().next() else { return };
        if let Some(problem) = problem_of(&name) {
            return emit(tag, &NameInvalid { problem, name: &name });
        }
        self.reverse_name_status = NameStatus::Ok;
        let verified = match resolver.host_addresses(&name, families).await {
            Ok(addresses) => addresses.iter().any(|a| a.to_canonical() == self.address),
            Err(error) => {
                // The words of getaddrinfo(3), which Postfix asks.
                let reason = match error.problem {
                    Problem::TryAgain => "Temporary failure in name resolution",
                    Problem::NoData => "No address associated with hostname",
                    _ => "Name or service not known",
                };
                self.name_status = status_of(error.problem);
                self.complain(&name, Some(reason), tag);
                self.reverse_name = name;
                return;
            }
        };
        if verified {
            self.name_status = NameStatus::Ok;
            self.name.clone_from(&name);
            self.name_and_address = format!("{name}[{}]", self.address);
        } else {
            self.complain(&name, None, tag);
        }
        self.reverse_name = name;
    }

    fn complain(&self, name: &str, reason: Option<&str>, tag: &Tag) {
        emit(tag, &NameUnverified { name, address: &self.address.to_string(), reason });
    }
}

fn status_of(problem: Problem) -> NameStatus {
    match problem {
        Problem::TryAgain => NameStatus::Temporary,
        _ => NameStatus::Permanent,
    }
}

/// Why a name can be no host's, in Postfix's words.
fn problem_of(name: &str) -> Option<&'static str> {
    if name.parse::<IpAddr>().is_ok() {
        // It would pass for the address that it names.
        Some("numeric hostname")
    } else if name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        Some("valid_hostname: numeric hostname")
    } else if name.split('.').any(|label| label.ends_with('-')) {
        Some("valid_hostname: misplaced hyphen")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::dns::ScriptedResolver;

    #[test]
    fn what_can_be_no_host_is_told_apart() {
        for (name, problem) in [
            ("192.0.2.1", Some("numeric hostname")),
            ("1.2.3", Some("valid_hostname: numeric hostname")),
            ("a-.example.net", Some("valid_hostname: misplaced hyphen")),
            ("a-b.1.example.net", None),
        ] {
            assert_eq!(problem_of(name), problem, "{name}");
        }
    }

    #[test]
    fn who_comes_over_a_unix_socket_is_localhost() {
        let name = |words: &str| PeerInfo::local(Families::parse(words).unwrap()).name_and_address;
        assert_eq!((name("all"), name("ipv6")), ("localhost[127.0.0.1]".into(), "localhost[::1]".into()));
    }

    #[test]
    fn an_address_without_name_stays_unknown() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut peer =
            PeerInfo::unnamed("[::ffff:192.0.2.1]:7".parse().unwrap(), "[::1]:25".parse().unwrap());
        let resolver = ScriptedResolver::new();
        runtime.block_on(peer.look_up(
            &resolver,
            Families::parse("all").unwrap(),
            &Tag::new("postfix", "smtpd", 1),
        ));
        assert_eq!((peer.name_and_address.as_str(), peer.name.as_str()), ("unknown[192.0.2.1]", "unknown"));
    }
}
