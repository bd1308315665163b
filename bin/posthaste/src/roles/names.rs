//! DNS and host names for a role, as `dns_nameservers` or the host says.

use config::Config;
use config::parameters::Global;
use net::dns::{HostFiles, SystemResolver, SystemResolverSettings};
use observe::Tag;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// Where names come from: the servers of `dns_nameservers`, else those of resolv.conf. With `now` the host's files are
/// read at once, since the process will not see them later.
pub fn sources(config: &Config, now: bool) -> Result<SystemResolverSettings, String> {
    let files = now.then(|| Arc::new(HostFiles::read()));
    Ok(SystemResolverSettings { name_servers: servers(config)?, files, ..Default::default() })
}

fn servers(config: &Config) -> Result<Vec<SocketAddr>, String> {
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
pub fn resolver(sources: &SystemResolverSettings, tag: &Tag) -> Result<Rc<dyn net::Resolver>, String> {
    let mut settings = sources.clone();
    let opened = SystemResolver::open(&settings).or_else(|e| {
        observe::warn(tag, format_args!("{e}: asking the name server on 127.0.0.1"));
        settings.name_servers = vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()];
        SystemResolver::open(&settings)
    });
    opened.map(|r| Rc::new(r) as Rc<dyn net::Resolver>).map_err(|e| format!("DNS: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    #[test]
    fn name_servers_are_taken_with_and_without_a_port() {
        let main_cf = "dns_nameservers = 192.0.2.53, [2001:db8::53]:5353\n";
        let config =
            Config::parse(Path::new("/etc/postfix"), main_cf, "", Host::default()).expect("it parses");
        let expected: Vec<SocketAddr> =
            ["192.0.2.53:53", "[2001:db8::53]:5353"].map(|a| a.parse().expect("an address")).into();
        assert_eq!(servers(&config), Ok(expected));
    }
}
