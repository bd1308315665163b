//! What resolv.conf(5) says: whom to ask, and where names that are not complete are looked for.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const DNS_PORT: u16 = 53;

/// Servers that are asked, as the system's resolver takes no more.
pub(super) const SERVERS_MAX: usize = 3;

/// What `options` may say; a question that may take no time has no answer.
const TIMEOUTS: RangeInclusive<u64> = 1..=30;
const ATTEMPTS: RangeInclusive<usize> = 1..=5;

/// Bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The content of a resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, or why there are none.
    pub name_servers: Result<Vec<SocketAddr>, String>,
    /// The domains of the last `search` or `domain` line.
    pub search: Vec<String>,
    /// How long one question to one server may take (`options timeout:`).
    pub timeout: Duration,
    /// How often a silent server is asked (`options attempts:`).
    pub attempts: usize,
}

impl ResolvConf {
    /// A file that names these servers and nothing else.
    pub fn of(name_servers: Vec<SocketAddr>) -> ResolvConf {
        let (name_servers, search) = (Ok(name_servers), Vec::new());
        ResolvConf { name_servers, search, timeout: Duration::from_secs(5), attempts: 2 }
    }

    /// Reads a file. One that cannot be read names no servers and says why.
    pub fn read(path: &Path) -> ResolvConf {
        let shown = path.display();
        let mut text = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text));
        if let Err(error) = read {
            let why = match error.kind() {
                io::ErrorKind::NotFound => format!("{shown} does not exist"),
                _ => format!("{shown} cannot be read: {error}"),
            };
            return ResolvConf { name_servers: Err(why), ..ResolvConf::of(Vec::new()) };
        }
        let mut said = parse(&String::from_utf8_lossy(&text));
        if said.name_servers.as_ref().is_ok_and(Vec::is_empty) {
            said.name_servers = Err(format!("{shown} has no `nameserver` line with an address"));
        }
        said
    }
}

fn parse(text: &str) -> ResolvConf {
    let mut said = ResolvConf::of(Vec::new());
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let domain = |word: &str| word.trim_matches('.').to_owned();
        match words.next() {
            // A scope (`fe80::1%eth0`) is for the system's resolver; without it the address cannot be asked.
            Some("nameserver") if servers.len() < SERVERS_MAX => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                servers.extend(address.map(|ip| SocketAddr::new(ip, DNS_PORT)));
            }
            Some("search") => said.search = words.map(domain).filter(|name| !name.is_empty()).collect(),
            Some("domain") => said.search = words.take(1).map(domain).collect(),
            Some("options") => words.for_each(|word| option(word, &mut said)),
            _ => {}
        }
    }
    said.name_servers = Ok(servers);
    said
}

fn option(word: &str, said: &mut ResolvConf) {
    match word.split_once(':') {
        Some(("timeout", value)) => {
            let seconds = value.parse().ok().map(|s: u64| s.clamp(*TIMEOUTS.start(), *TIMEOUTS.end()));
            said.timeout = seconds.map_or(said.timeout, Duration::from_secs);
        }
        Some(("attempts", value)) => {
            let times = value.parse().ok().map(|n: usize| n.clamp(*ATTEMPTS.start(), *ATTEMPTS.end()));
            said.attempts = times.unwrap_or(said.attempts);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_servers(name: &str, text: &str) -> Result<Vec<SocketAddr>, String> {
        let path = std::env::temp_dir().join(format!("posthaste-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let found = ResolvConf::read(&path).name_servers;
        std::fs::remove_file(&path).unwrap();
        found.map_err(|why| why.replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn resolv_conf_names_servers_or_it_is_told_why_not() {
        let text =
            "# nameserver 192.0.2.9\nnameserver 192.0.2.1 # here\n nameserver 2001:db8::1\noptions x\n";
        let expected: Vec<SocketAddr> =
            ["192.0.2.1:53", "[2001:db8::1]:53"].map(|a| a.parse().unwrap()).into();
        assert_eq!(name_servers("names", text), Ok(expected));
        let none = "FILE has no `nameserver` line with an address".to_owned();
        assert_eq!(name_servers("no-names", "search example.org\nnameserver\nnameserver x\n"), Err(none));
        let missing = ResolvConf::read(Path::new("/nonexistent/resolv.conf")).name_servers;
        assert_eq!(missing, Err("/nonexistent/resolv.conf does not exist".to_owned()));
    }

    #[test]
    fn the_last_search_or_domain_counts() {
        let search = |text: &str| parse(text).search;
        assert_eq!(search("domain a.example\nsearch b.example. c.example\n"), ["b.example", "c.example"]);
        assert_eq!(search("search b.example c.example\ndomain a.example\n"), ["a.example"]);
        assert_eq!(search("search .\n"), [""; 0]);
    }

    #[test]
    fn options_say_how_long_and_how_often_a_question_is_asked() {
        let limits = |text: &str| (parse(text).timeout.as_secs(), parse(text).attempts);
        assert_eq!(limits("options rotate\n"), (5, 2));
        assert_eq!(limits("options timeout:1 attempts:1\n"), (1, 1));
        assert_eq!(limits("options timeout:0 attempts:0\n"), (1, 1));
        assert_eq!(limits("options timeout:90 attempts:9\n"), (30, 5));
        assert_eq!(limits("options timeout:x\noptions attempts:3\n"), (5, 3));
    }
}
