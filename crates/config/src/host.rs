//! What the configuration takes from the host: its name and the addresses of its interfaces.

use crate::config::Config;
use crate::error::Error;
use crate::parameters::Global;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// The host as the configuration's defaults see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The name the system gives itself, perhaps without a domain.
    pub name: String,
    /// The addresses of the interfaces, each with its prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Host {
    /// This machine. Addresses that cannot be asked for are none but the loopback ones.
    pub fn this() -> Host {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let loopback = || vec![(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        Host { name, addresses: interface_addresses().unwrap_or_else(|_| loopback()) }
    }

    /// Default of myhostname: a name without a dot gets `mydomain`, or `localdomain`.
    pub(crate) fn myhostname(&self, mydomain: Option<&str>) -> String {
        if self.name.contains('.') {
            return self.name.clone();
        }
        format!("{}.{}", self.name, mydomain.unwrap_or("localdomain"))
    }
}

impl Config {
    /// Our own addresses: those that inet_interfaces and proxy_interfaces name, in the versions of inet_protocols.
    ///
    /// Blocks on the system's resolver where they name hosts; only for start-up.
    pub fn own_addresses(&self, global: &Global, errors: &mut Vec<Error>) -> Vec<IpAddr> {
        let mut own = Vec::new();
        for (parameter, words) in
            [("inet_interfaces", &global.inet_interfaces), ("proxy_interfaces", &global.proxy_interfaces)]
        {
            for word in words {
                match self.addresses_of(word) {
                    Ok(found) => own.extend(found),
                    Err(text) => {
                        let origin = self.main().get(parameter).map(|e| e.origin.clone());
                        errors.push(Error::new(origin, parameter, text));
                    }
                }
            }
        }
        let allowed = |a: &IpAddr| {
            let wanted = if a.is_ipv4() { "ipv4" } else { "ipv6" };
            global.inet_protocols.iter().any(|p| p == "all" || p == wanted)
        };
        own.retain(allowed);
        own.sort();
        own.dedup();
        own
    }

    fn addresses_of(&self, word: &str) -> Result<Vec<IpAddr>, String> {
        let bare = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).unwrap_or(word);
        let bare = bare.strip_prefix("ipv6:").or_else(|| bare.strip_prefix("IPv6:")).unwrap_or(bare);
        match bare {
            "all" => Ok(self.host().addresses.iter().map(|(a, _)| *a).collect()),
            "loopback-only" => {
                Ok(self.host().addresses.iter().map(|(a, _)| *a).filter(IpAddr::is_loopback).collect())
            }
            _ => match bare.parse() {
                Ok(address) => Ok(vec![address]),
                Err(_) => match (bare, 0).to_socket_addrs() {
                    Ok(found) => Ok(found.map(|a| a.ip()).collect()),
                    Err(error) => Err(format!(
                        "expected all, loopback-only, an address or a host's name, found `{word}` ({error})"
                    )),
                },
            },
        }
    }

    /// Default of mynetworks: what mynetworks_style makes of our own addresses.
    pub(crate) fn own_networks(&self, style: &str, interfaces: &[String], protocols: &str) -> String {
        let mut networks: Vec<String> = Vec::new();
        let literals: Vec<IpAddr> =
            interfaces.iter().filter_map(|word| word.trim_matches(['[', ']']).parse().ok()).collect();
        let all = interfaces.iter().any(|word| word == "all");
        let loopback = interfaces.iter().any(|word| word == "loopback-only");
        for &(address, prefix) in &self.host().addresses {
            let named = all || (loopback && address.is_loopback()) || literals.contains(&address);
            let version = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            if !named || !(protocols.contains("all") || protocols.contains(version)) {
                continue;
            }
            let network = network_of(address, prefix, style);
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        networks.join(" ")
    }
}

/// The network of an own address: itself, its subnet, or its class (A, B, C; of IPv6 its subnet).
fn network_of(address: IpAddr, prefix: u8, style: &str) -> String {
    let bits = match (style, address) {
        ("host", IpAddr::V4(_)) => 32,
        ("host", IpAddr::V6(_)) => 128,
        ("class", IpAddr::V4(a)) => match a.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            192..224 => 24,
            _ => 32,
        },
        _ => prefix,
    };
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            format!("{}/{bits}", Ipv4Addr::from(u32::from(a) & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            format!("[{}]/{bits}", Ipv6Addr::from(u128::from(a) & mask))
        }
    }
}

/// Reads of the kernel's answer at most; each holds some hundred addresses.
const READS_MAX: usize = 1000;

/// Asks the kernel for the addresses of all interfaces (rtnetlink(7), RTM_GETADDR).
fn interface_addresses() -> io::Result<Vec<(IpAddr, u8)>> {
    const RTM_GETADDR: u16 = 22;
    const REQUEST_DUMP: u16 = 0x301;
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // struct nlmsghdr (length, type, flags, sequence, port) and struct rtgenmsg, padded.
    let mut request = Vec::with_capacity(20);
    request.extend_from_slice(&20u32.to_ne_bytes());
    request.extend_from_slice(&RTM_GETADDR.to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(&[0; 12]);
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut addresses = Vec::new();
    let mut buffer = vec![0; 65_536];
    for _ in 0..READS_MAX {
        let (length, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                DONE => return Ok(addresses),
                ERROR => return Err(io::Error::other("the kernel refused to name its addresses")),
                _ => addresses.extend(interface_address(body)),
            }
            rest = after;
        }
    }
    Err(io::Error::other("the kernel names addresses without an end"))
}

/// The first netlink message: type, body, what follows.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Reads struct ifaddrmsg and its attributes; IFA_LOCAL goes before IFA_ADDRESS, which is the peer's on a tunnel.
fn interface_address(body: &[u8]) -> Option<(IpAddr, u8)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let prefix = *body.get(1)?;
    let (mut address, mut local) = (None, None);
    let mut rest = body.get(8..)?;
    while let (Some(length), Some(kind)) = (rest.get(..2), rest.get(2..4)) {
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let kind = u16::from_ne_bytes(kind.try_into().ok()?);
        let value = rest.get(4..length)?;
        match kind {
            IFA_ADDRESS => address = ip(value),
            IFA_LOCAL => local = ip(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((local.or(address)?, prefix))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_name_and_a_loopback_address() {
        let host = Host::this();
        assert!(!host.name.is_empty());
        assert!(interface_addresses().unwrap().contains(&(Ipv4Addr::LOCALHOST.into(), 8)));
    }

    #[test]
    fn networks_follow_the_style() {
        let (v4, v6) = ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
        for (style, of_v4, of_v6) in [
            ("host", "192.0.2.7/32", "[2001:db8::7]/128"),
            ("subnet", "192.0.2.0/28", "[2001:db8::]/64"),
            ("class", "192.0.2.0/24", "[2001:db8::]/64"),
        ] {
            assert_eq!((network_of(v4, 28, style), network_of(v6, 64, style)), (of_v4.into(), of_v6.into()));
        }
    }
}
