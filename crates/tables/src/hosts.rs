//! Where a database server listens, as `hosts` names it: `unix:/path`, `inet:host:port`, `host`.
//!
//! Postfix: mysql_table(5), pgsql_table(5).

/// An entry of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A path: the socket of MySQL, the directory of PostgreSQL's socket.
    Unix(String),
    /// A name or an address, and the port where one is given.
    Inet(String, Option<u16>),
}

impl Host {
    /// Parses an entry of `hosts`; the error says what was expected and what was found.
    pub(crate) fn parse(text: &str) -> Result<Host, String> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text)) {
            return match path.starts_with('/') {
                true => Ok(Host::Unix(path.to_owned())),
                false => Err(format!("expected a path behind `unix:`, found `{text}`")),
            };
        }
        let address = text.strip_prefix("inet:").unwrap_or(text);
        let wrong = || format!("expected unix:/path, inet:host:port, host:port or host, found `{text}`");
        let (host, port) = match address.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) = inner.split_once(']').ok_or_else(wrong)?;
                match rest {
                    "" => (host, None),
                    rest => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
                }
            }
            // More than one colon without brackets: an IPv6 address alone.
            None => match address.split_once(':').filter(|(_, port)| !port.contains(':')) {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = match port {
            None => None,
            Some(port) => Some(port.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
                format!("expected a port from 1 to 65535 behind the last colon, found `{text}`")
            })?),
        };
        if host.is_empty() { Err(wrong()) } else { Ok(Host::Inet(host.to_owned(), port)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_host_is_read() {
        let inet = |host: &str, port| Ok(Host::Inet(host.to_owned(), port));
        assert_eq!(Host::parse("unix:/run/db"), Ok(Host::Unix("/run/db".into())));
        assert_eq!(Host::parse("/run/db"), Ok(Host::Unix("/run/db".into())));
        assert_eq!(Host::parse("db.example.org"), inet("db.example.org", None));
        assert_eq!(Host::parse("inet:db:3306"), inet("db", Some(3306)));
        assert_eq!(Host::parse("127.0.0.1:3306"), inet("127.0.0.1", Some(3306)));
        assert_eq!(Host::parse("inet:[::1]:3306"), inet("::1", Some(3306)));
        assert_eq!(Host::parse("[::1]"), inet("::1", None));
        assert_eq!(Host::parse("::1"), inet("::1", None));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["unix:db", "inet:", ":3306", "[::1", "[::1]x", "[]:1", "a:", "a:b", "a:0", "a:70000", ""]
        {
            let error = Host::parse(text).unwrap_err();
            assert!(error.starts_with("expected ") && error.ends_with(&format!("found `{text}`")), "{error}");
        }
    }
}
