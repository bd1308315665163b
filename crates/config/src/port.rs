//! Ports by number or by name.

use std::collections::HashMap;
use std::sync::Arc;

/// The names of ports: those of /etc/services when the configuration was read, and what every mail administrator knows.
#[derive(Clone, Debug, Default)]
pub struct Ports(Arc<HashMap<String, u16>>);

/// Names that a host without /etc/services knows as well.
const OF_MAIL: &[(&str, u16)] = &[("smtp", 25), ("smtps", 465), ("submission", 587), ("submissions", 465)];

impl Ports {
    /// Those that this host knows.
    pub(crate) fn of_host() -> Ports {
        Ports::parse(&std::fs::read_to_string("/etc/services").unwrap_or_default())
    }

    /// services(5): `name port/protocol alias…`; the first line of a name counts.
    fn parse(services: &str) -> Ports {
        let mut ports = HashMap::new();
        for line in services.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
            let Some(number) = port.strip_suffix("/tcp").and_then(number) else { continue };
            for name in std::iter::once(name).chain(words) {
                ports.entry(name.to_owned()).or_insert(number);
            }
        }
        Ports(Arc::new(ports))
    }

    /// The port of a number or a name, to listen on; 0 is whichever is free.
    pub fn to_listen(&self, text: &str) -> Option<u16> {
        let of_mail = || OF_MAIL.iter().find(|(name, _)| *name == text).map(|&(_, port)| port);
        number(text).or_else(|| self.0.get(text).copied()).or_else(of_mail)
    }

    /// The port of a number or a name, to connect to: never 0.
    pub fn to_connect(&self, text: &str) -> Option<u16> {
        self.to_listen(text).filter(|&port| port > 0)
    }
}

/// A port in digits alone.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_known_by_number_by_name_and_by_alias() {
        let ports = Ports::parse(
            "# none\nsmtp 2500/tcp mail # first\nlmtp 24/tcp\nmail 1/tcp\ndns 53/udp\nbad x/tcp\nshort\n",
        );
        for (text, expected) in [
            ("2525", Some(2525)),
            ("smtp", Some(2500)),
            ("mail", Some(2500)),
            ("lmtp", Some(24)),
            ("submission", Some(587)),
            ("submissions", Some(465)),
            ("dns", None),
            ("bad", None),
            ("short", None),
            ("#", None),
            ("+25", None),
            ("65536", None),
            ("", None),
        ] {
            assert_eq!((ports.to_listen(text), ports.to_connect(text)), (expected, expected), "{text}");
        }
        assert_eq!((ports.to_listen("0"), ports.to_connect("0")), (Some(0), None));
    }
}
