//! What a nexthop stands for: domains and hosts with ports, or a socket, in order.

use super::settings::Settings;
use protocol::smtp::client::Protocol;
use std::path::PathBuf;

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// Servers of a domain, or one host.
    Inet {
        /// The domain or host, without brackets.
        name: String,
        /// The port.
        port: u16,
        /// The port as it was written, `submission` for one.
        service: String,
        /// Whether the domain's mail exchangers are meant rather than the host itself.
        mail_exchangers: bool,
    },
    /// A socket of this machine.
    Unix {
        /// Where it is.
        path: PathBuf,
        /// As it was written, for the log.
        shown: String,
    },
}

/// Reads a nexthop: `domain`, `[host]`, `host:port`, several of them (relayhost lists); with LMTP also
/// `unix:path` and `inet:host:port`. An error is the text for the log.
pub(super) fn parse(nexthop: &str, settings: &Settings) -> Result<Vec<Site>, String> {
    let lmtp = settings.dialogue.protocol == Protocol::Lmtp;
    if let Some(path) = nexthop.strip_prefix("unix:").filter(|_| lmtp) {
        return Ok(vec![Site::Unix { path: socket(path, settings), shown: path.to_string() }]);
    }
    let mut sites = Vec::new();
    for word in nexthop.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
        let place = if lmtp { word.strip_prefix("inet:").unwrap_or(word) } else { word };
        sites.push(inet(place, settings, lmtp, nexthop)?);
    }
    if sites.is_empty() { Err(format!("bad destination: {nexthop:?}")) } else { Ok(sites) }
}

/// Where a socket is: a relative path starts at queue_directory, and so does an absolute one where the service would be
/// chrooted in Postfix and the socket is there.
fn socket(path: &str, settings: &Settings) -> PathBuf {
    let below = settings.queue_directory.join(path.trim_start_matches('/'));
    if !path.starts_with('/') || (settings.chrooted && below.exists()) { below } else { path.into() }
}

fn inet(place: &str, settings: &Settings, lmtp: bool, nexthop: &str) -> Result<Site, String> {
    let (name, port, bracketed) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None, true),
        Some((name, rest)) => (name, rest.strip_prefix(':'), true),
        None => match place.split_once(':') {
            Some((name, port)) => (name, Some(port), false),
            None => (place, None, false),
        },
    };
    let service = port.unwrap_or(&settings.service).to_owned();
    let port = match port {
        None => settings.port,
        Some(port) => {
            let wrong = || format!("bad network port: {port} for destination: {nexthop}");
            settings.ports.to_connect(port).ok_or_else(wrong)?
        }
    };
    let name = match name.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("ipv6:") => &name[5..],
        _ => name,
    };
    Ok(Site::Inet { name: name.to_string(), port, service, mail_exchangers: !bracketed && !lmtp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, port: u16, mail_exchangers: bool) -> Site {
        Site::Inet { name: name.into(), port, service: String::new(), mail_exchangers }
    }

    /// Without the names of ports.
    fn parse(nexthop: &str, settings: &Settings) -> Result<Vec<Site>, String> {
        let mut sites = super::parse(nexthop, settings)?;
        for site in &mut sites {
            if let Site::Inet { service, .. } = site {
                service.clear();
            }
        }
        Ok(sites)
    }

    #[test]
    fn notations_of_a_nexthop_are_understood() {
        let settings = Settings::default();
        for (nexthop, expected) in [
            ("example.org", vec![site("example.org", 25, true)]),
            ("example.org:2525", vec![site("example.org", 2525, true)]),
            ("[mx.example.org]", vec![site("mx.example.org", 25, false)]),
            ("[mx.example.org]:submission", vec![site("mx.example.org", 587, false)]),
            ("[2001:db8::1]:26", vec![site("2001:db8::1", 26, false)]),
            ("[ipv6:2001:db8::1]", vec![site("2001:db8::1", 25, false)]),
            ("[a.example] , b.example", vec![site("a.example", 25, false), site("b.example", 25, true)]),
        ] {
            assert_eq!(parse(nexthop, &settings), Ok(expected), "{nexthop}");
        }
        for bad in ["", "[a]:nosuch", "a:0", "a:99999"] {
            assert!(parse(bad, &settings).is_err(), "{bad}");
        }
    }

    #[test]
    fn lmtp_knows_sockets_and_asks_for_no_mail_exchangers() {
        let mut settings = Settings { port: 24, queue_directory: "/q".into(), ..Settings::default() };
        settings.dialogue.protocol = Protocol::Lmtp;
        let unix = |path: &str, shown: &str| Ok(vec![Site::Unix { path: path.into(), shown: shown.into() }]);
        assert_eq!(parse("unix:private/lmtp", &settings), unix("/q/private/lmtp", "private/lmtp"));
        assert_eq!(parse("unix:/run/lmtp", &settings), unix("/run/lmtp", "/run/lmtp"));
        settings.chrooted = true;
        settings.queue_directory = "/etc".into();
        assert_eq!(parse("unix:/passwd", &settings), unix("/etc/passwd", "/passwd"));
        assert_eq!(parse("unix:/run/lmtp", &settings), unix("/run/lmtp", "/run/lmtp"));
        assert_eq!(parse("inet:a.example", &settings), Ok(vec![site("a.example", 24, false)]));
        assert_eq!(parse("a.example:25", &settings), Ok(vec![site("a.example", 25, false)]));
    }
}
