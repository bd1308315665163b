//! DNS and host names for a role, as `dns_nameservers` or the host says.

use config::parameters::Global;
use config::parameters::Smtpd;
use config::{Config, ServiceLine};
use mail::domain::Idna;
use net::dns::{HostFiles, ResolvConf, SystemResolver, SystemResolverSettings, probe};
use observe::Tag;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// Where names come from: the servers of `dns_nameservers`, else those of resolv.conf. With `now` the host's files are
/// read at once, since the process will not see them later.
pub fn sources(config: &Config, now: bool) -> Result<SystemResolverSettings, String> {
    let files = now.then(|| Arc::new(HostFiles::read()));
    let global = Global::read(config, None).map_err(|e| e.to_string())?;
    let idna = if global.enable_idna2003_compatibility { Idna::V2003 } else { Idna::V2008 };
    Ok(SystemResolverSettings { name_servers: servers(config)?, idna, files, ..Default::default() })
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

/// Where the system says which servers to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Who is asked for the names of clients, and what is wrong with that. `None` where no service asks.
pub struct Asked {
    servers: Result<Vec<SocketAddr>, String>,
    /// Some service that asks is chrooted: the files that Postfix would look for are not these.
    chrooted: bool,
}

impl Asked {
    /// What holds for the smtpd services of a configuration. Reads resolv.conf: a process that will lose sight of it
    /// calls this before.
    pub fn by_clients_of(config: &Config) -> Option<Asked> {
        let asks = |line: &ServiceLine| {
            line.command == "smtpd" && Smtpd::read(config, Some(line)).is_ok_and(|p| p.smtpd_peername_lookup)
        };
        let services: Vec<_> = config.services().iter().filter(|line| asks(line)).collect();
        let named = servers(config).ok().filter(|_| !services.is_empty())?;
        let chrooted = services.iter().any(|line| line.chroot == Some(true));
        let servers = match named.is_empty() {
            true => ResolvConf::read(Path::new(RESOLV_CONF)).name_servers,
            false => Ok(named),
        };
        Some(Asked { servers, chrooted })
    }

    /// Why every client will be called `unknown`, in words for the administrator; nothing where names can be resolved.
    /// Asks the configured servers, and waits [`probe::PROBE_TIME`] at most.
    pub fn trouble(&self) -> Option<String> {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT));
        let (why, servers) = match &self.servers {
            Ok(servers) => (String::new(), servers.as_slice()),
            // As the system's own resolver, ours asks this host then.
            Err(why) => (format!("{why}, so this host itself is asked: "), std::slice::from_ref(&here)),
        };
        let silent = probe::silent(servers, probe::PROBE_TIME)?;
        let chroot = match self.chrooted {
            true => {
                ". Copies of it below queue_directory change nothing: a chrooted smtpd reads the host's own before it changes its root"
            }
            false => "",
        };
        Some(format!(
            "names cannot be resolved: {why}{silent}: every client will be called `unknown`, and mail for other hosts \
             will wait; name a server that answers in {RESOLV_CONF} or dns_nameservers, or set \
             smtpd_peername_lookup = no where names do not matter{chroot}"
        ))
    }
}

/// What is wrong with the names of clients, by the configuration in a directory, where that can be read.
pub fn trouble_of(directory: &Path) -> Option<String> {
    let (config, _) = Config::survey(directory).ok()?;
    Asked::by_clients_of(&config)?.trouble()
}

/// Logs the trouble, if there is any, from a thread of its own: nobody waits for it.
pub fn tell(asked: Asked, tag: Tag) -> std::io::Result<JoinHandle<()>> {
    let look = move || {
        if let Some(text) = asked.trouble() {
            observe::warn(&tag, format_args!("{text}"));
            observe::flush();
        }
    };
    std::thread::Builder::new().name("names".into()).spawn(look)
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
