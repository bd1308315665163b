//! Where a message came from first: what XFORWARD tells a server behind us.

use crate::{Envelope, QueueId, RewriteContext};

/// The original client and the message's name there; texts that are not known are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The verified host name.
    pub name: String,
    /// The address, as RFC 5321 writes it: `192.0.2.1`, `IPv6:2001:db8::1`.
    pub address: String,
    /// The port.
    pub port: String,
    /// `SMTP`, `ESMTP`, …
    pub protocol: String,
    /// Argument of HELO or EHLO.
    pub helo: String,
    /// The queue id that the log there has: ours, unless XFORWARD told of another; none for mail of this host.
    pub ident: String,
    /// Which domain completes header addresses.
    pub context: RewriteContext,
    /// How the client logged in; empty where it did not.
    pub sasl_method: String,
    /// As whom.
    pub sasl_username: String,
    /// `MAIL FROM:<…> AUTH=…`.
    pub sasl_sender: String,
}

impl Origin {
    /// The origin of a queued message. What an XFORWARD told is kept in `log_…`; else it is our own client.
    pub fn of(envelope: &Envelope, queue_id: &QueueId) -> Origin {
        let client = &envelope.client;
        let forwarded = envelope.attributes.iter().any(|(name, _)| name == "log_client_address");
        let told = |name: &str, ours: &str| {
            let value = match envelope.attribute(name) {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None if forwarded => String::new(),
                None => ours.to_owned(),
            };
            if value == "unknown" { String::new() } else { value }
        };
        let address = match client.address.contains(':') {
            true => format!("IPv6:{}", client.address),
            false => client.address.clone(),
        };
        // Mail of this host has no name elsewhere.
        let queue_id = if client.address.is_empty() { String::new() } else { queue_id.to_string() };
        let attribute = |name| {
            envelope.attribute(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
        };
        Origin {
            name: told("log_client_name", &client.name),
            address: told("log_client_address", &address),
            port: told("log_client_port", &client.port),
            protocol: told("log_protocol_name", &client.protocol),
            helo: told("log_helo_name", &client.helo),
            ident: envelope
                .attribute("log_ident")
                .map_or(queue_id, |id| String::from_utf8_lossy(id).into_owned()),
            context: envelope.rewrite_context,
            sasl_method: attribute("sasl_method"),
            sasl_username: attribute("sasl_username"),
            sasl_sender: attribute("sasl_sender"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Client, Timestamp};

    #[test]
    fn what_was_forwarded_comes_before_our_own_client() {
        let mut envelope = Envelope::new(Address::null(), Timestamp::default());
        envelope.client = Client {
            name: "unknown".into(),
            address: "2001:db8::1".into(),
            port: "7".into(),
            ..Client::default()
        };
        let id = QueueId::parse("4XyZ1").unwrap();
        let ours = Origin::of(&envelope, &id);
        assert_eq!((ours.name.as_str(), ours.address.as_str()), ("", "IPv6:2001:db8::1"));
        assert_eq!((ours.port.as_str(), ours.ident.as_str()), ("7", "4XyZ1"));
        for (name, value) in [
            ("log_client_address", "unknown"),
            ("log_client_name", "a.example"),
            ("log_ident", "9"),
            ("sasl_method", "PLAIN"),
        ] {
            envelope.attributes.push((name.into(), value.into()));
        }
        let theirs = Origin::of(&envelope, &id);
        assert_eq!(
            (theirs.name.as_str(), theirs.address.as_str(), theirs.port.as_str()),
            ("a.example", "", "")
        );
        assert_eq!(theirs.ident, "9");
        assert_eq!((theirs.sasl_method.as_str(), theirs.sasl_sender.as_str()), ("PLAIN", ""));
    }
}
