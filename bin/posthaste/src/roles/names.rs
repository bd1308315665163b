//! DNS and host names for a role, as `dns_nameservers` or the host says.

use config::Config;
use config::parameters::Global;
use net::dns::{SystemResolver, SystemResolverSettings};
use observe::Tag;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// The servers that `dns_nameservers` names; empty where resolv.conf says it.
pub fn servers(config: &Config) -> Result<Vec<SocketAddr>, String> {
    let global = Global::read(config, None).map_err(|e| e.to_string())?;
    let parse = |word: &String| {
        let bare = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).unwrap_or(word);
        let with_port = |ip: IpAddr| SocketAddr::new(ip, DNS_PORT);
        word.parse().ok().or_else(|| bare.parse().ok().map(with_port)).ok_or_else(|| {
            let found = config.scope(None).find("dns_nameservers");
            let origin = found.and_then(|f| f.origin.map(|o| format!("{o}: "))).unwrap_or_default();
            format!("{origin}dns_nameservers: expected an address or address:port, found `{word}`")
        })
    };
    global.dns_nameservers.iter().map(parse).collect()
}

/// The resolver of one event loop. A host without resolv.conf asks itself, as the system's own resolver would.
pub fn resolver(servers: &[SocketAddr], tag: &Tag) -> Result<Rc<dyn net::Resolver>, String> {
    let mut settings = SystemResolverSettings { name_servers: servers.to_vec(), ..Default::default() };
    let opened = SystemResolver::open(&settings).or_else(|e| {
        observe::warn(tag, format_args!("{e}: asking the name server on 127.0.0.1"));
        settings.name_servers = vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()];
        SystemResolver::open(&settings)
    });
    opened.map(|r| Rc::new(r) as Rc<dyn net::Resolver>).map_err(|e| format!("DNS: {e}"))
}
