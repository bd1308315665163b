//! Who the client is: its address, and the name that leads to it and back.
//!
//! Postfix: `smtpd_peername_lookup`, smtpd_peer.c.

use crate::login::Login;
use crate::tls::Tls;
use net::{Families, Resolver};
use observe::events::smtpd::{NameInvalid, NameUnverified};
use observe::{Tag, emit};
use protocol::policy::End;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tables::lists::{AddressList, Unanswered};
use tables::search::{self, Key};

/// A name that is not known or not verified.
pub const UNKNOWN: &str = "unknown";

/// How well a name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    /// It is the client's.
    Known,
    /// There is none, or nobody asked.
    Unknown,
    /// It could not be found out now.
    NotNow,
    /// The address has a name that does not lead back to it.
    Forged,
}

/// What XCLIENT says that nobody knows: `unknown` in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unavailable {
    /// The client's address.
    pub address: bool,
    /// The client's port.
    pub port: bool,
    /// The server's address.
    pub server_address: bool,
    /// The server's port.
    pub server_port: bool,
}

/// The client of a session.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its address; an IPv4 address in IPv6's clothes is one of IPv4. 0.0.0.0 where it is unavailable.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The verified name, or `unknown`.
    pub name: String,
    /// The name that the address leads to, verified or not; or `unknown`.
    pub reverse_name: String,
    /// What `name` is worth.
    pub name_status: NameStatus,
    /// What `reverse_name` is worth.
    pub reverse_name_status: NameStatus,
    /// `name[address]`, as replies and the log show it.
    pub name_and_address: String,
    /// The address of ours that it reached.
    pub server: SocketAddr,
    /// What of the addresses and ports is not known.
    pub unavailable: Unavailable,
    /// As whom it has logged in.
    pub login: Option<Login>,
    /// How the session is encrypted.
    pub tls: Option<Arc<Tls>>,
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
            name_status: NameStatus::Unknown,
            reverse_name_status: NameStatus::Unknown,
            name_and_address: format!("{UNKNOWN}[{address}]"),
            server,
            unavailable: Unavailable::default(),
            login: None,
            tls: None,
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
            name_status: NameStatus::Known,
            reverse_name_status: NameStatus::Known,
            server: (address, 0).into(),
            unavailable: Unavailable::default(),
            login: None,
            tls: None,
        }
    }

    /// `name[address]`, with the port where `smtpd_client_port_logging` wants it.
    pub fn shown(&self, with_port: bool) -> String {
        let shown = format!("{}[{}]", self.name, self.address_text());
        if with_port { format!("{shown}:{}", self.port_text()) } else { shown }
    }

    /// The client's address as text, or `unknown`.
    pub fn address_text(&self) -> String {
        or_unknown(self.unavailable.address, self.address.to_canonical())
    }

    /// The client's port as text, or `unknown`.
    pub fn port_text(&self) -> String {
        or_unknown(self.unavailable.port, self.port)
    }

    /// The server's address as text, or `unknown`.
    pub fn server_address_text(&self) -> String {
        or_unknown(self.unavailable.server_address, self.server.ip().to_canonical())
    }

    /// The server's port as text, or `unknown`.
    pub fn server_port_text(&self) -> String {
        or_unknown(self.unavailable.server_port, self.server.port())
    }

    /// The client's end of the connection.
    pub(crate) fn end(&self) -> End {
        let unavailable = self.unavailable;
        End { address: self.known_address(), port: (!unavailable.port).then_some(self.port) }
    }

    /// Our end of the connection.
    pub(crate) fn server_end(&self) -> End {
        let (unavailable, server) = (self.unavailable, self.server);
        End {
            address: (!unavailable.server_address).then_some(server.ip()),
            port: (!unavailable.server_port).then_some(server.port()),
        }
    }

    /// The client's address, where somebody knows it.
    pub(crate) fn known_address(&self) -> Option<IpAddr> {
        (!self.unavailable.address).then_some(self.address)
    }

    /// The key of the client's address in tables.
    pub(crate) fn key(&self) -> Key {
        self.known_address().map_or_else(nowhere, search::address)
    }

    /// The keys of the client's address in access tables.
    pub(crate) fn access_keys(&self) -> Vec<Key> {
        self.known_address().map_or_else(|| vec![nowhere()], search::client_address)
    }

    /// Whether the client is in a list.
    pub(crate) async fn is_in(&self, list: &AddressList) -> Result<bool, Unanswered> {
        match self.known_address() {
            Some(address) => list.matches(Some(&self.name), address).await,
            None => list.matches_unknown(Some(&self.name)).await,
        }
    }

    /// Asks for the client's name, and whether the name leads back. The resolver bounds how long that takes.
    pub async fn look_up(&mut self, resolver: &dyn Resolver, tag: &Tag) {
        let names = match resolver.ptr(self.address).await {
            Ok(names) => names,
            Err(error) if error.is_temporary() => {
                (self.name_status, self.reverse_name_status) = (NameStatus::NotNow, NameStatus::NotNow);
                return;
            }
            Err(_) => return,
        };
        let Some(name) = names.into_iter().next() else { return };
        if let Some(problem) = problem_of(&name) {
            return emit(tag, &NameInvalid { problem, name: &name });
        }
        self.reverse_name_status = NameStatus::Known;
        // As Postfix: what the name has in the other family is not asked for.
        let families = Families { v4: self.address.is_ipv4(), v6: self.address.is_ipv6() };
        let verified = match resolver.host_addresses(&name, families).await {
            Ok(addresses) => addresses.iter().any(|a| a.to_canonical() == self.address),
            Err(error) => {
                if error.is_temporary() {
                    self.name_status = NameStatus::NotNow;
                }
                self.complain(&name, Some(error.system_text()), tag);
                self.reverse_name = name;
                return;
            }
        };
        if verified {
            self.name.clone_from(&name);
            self.name_status = NameStatus::Known;
            self.name_and_address = format!("{name}[{}]", self.address);
        } else {
            self.name_status = NameStatus::Forged;
            self.complain(&name, None, tag);
        }
        self.reverse_name = name;
    }

    fn complain(&self, name: &str, reason: Option<&str>, tag: &Tag) {
        emit(tag, &NameUnverified { name, address: &self.address.to_string(), reason });
    }
}

/// The key of an address that nobody knows.
fn nowhere() -> Key {
    Key { text: UNKNOWN.to_owned(), part: false }
}

fn or_unknown(unavailable: bool, value: impl std::fmt::Display) -> String {
    if unavailable { UNKNOWN.to_owned() } else { value.to_string() }
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
        runtime.block_on(peer.look_up(&resolver, &Tag::new("postfix", "smtpd", 1)));
        assert_eq!((peer.name_and_address.as_str(), peer.name.as_str()), ("unknown[192.0.2.1]", "unknown"));
    }
}
