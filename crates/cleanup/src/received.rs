//! The Received header, in Postfix's shapes.

use crate::date::mail_date;
use crate::settings::Settings;
use mail::{Address, Client, QueueId, Timestamp};
use std::fmt::Write as _;

/// How a message came to us.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// By SMTP, from this client.
    Smtp(&'a Client),
    /// By `sendmail` of this user.
    Local {
        /// The user's number.
        uid: u32,
    },
}

/// The header with its CRLF line ends; `sole_recipient` where there is exactly one.
pub fn received(
    settings: &Settings,
    origin: Origin<'_>,
    id: &QueueId,
    sole_recipient: Option<&Address>,
    now: Timestamp,
) -> String {
    let (host, product) = (&settings.myhostname, &settings.mail_name);
    let date = mail_date(now);
    let mut out = String::with_capacity(256);
    // Writing to a String cannot fail.
    match origin {
        Origin::Smtp(client) => {
            let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
            let address = match client.address.contains(':') {
                true => format!("IPv6:{}", client.address),
                false => client.address.clone(),
            };
            let _ = write!(
                out,
                "Received: from {helo} ({} [{address}])\r\n\tby {host} ({product}) with ",
                client.name
            );
            let _ = write!(out, "{} id {id}", client.protocol);
            let _ = match sole_recipient {
                Some(recipient) => write!(out, "\r\n\tfor <{recipient}>; {date}\r\n"),
                None => write!(out, ";\r\n\t{date}\r\n"),
            };
        }
        Origin::Local { uid } => {
            let _ =
                write!(out, "Received: by {host} ({product}, from userid {uid})\r\n\tid {id}; {date}\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings {
            myhostname: "mx.example.org".into(),
            mail_name: "Postfix".into(),
            hopcount_limit: 50,
            always_add_missing_headers: false,
            undisclosed_recipients_header: String::new(),
            message_drop_headers: vec![],
            obsolete_from_format: false,
            duplicate_filter_limit: 1000,
            replace_stray_cr: true,
        }
    }

    #[test]
    fn the_recipient_is_named_only_where_it_is_alone() {
        let client = Client {
            name: "unknown".into(),
            address: "2001:db8::1".into(),
            helo: "h".into(),
            protocol: "ESMTP".into(),
            ..Client::default()
        };
        let id = QueueId::parse("4XyZ1").unwrap();
        let now = Timestamp::from_secs(1_700_000_000);
        let date = mail_date(now);
        let head = "Received: from h (unknown [IPv6:2001:db8::1])\r\n\tby mx.example.org (Postfix) with ESMTP id 4XyZ1";
        let ann = Address::from("ann@example.org");
        assert_eq!(
            received(&settings(), Origin::Smtp(&client), &id, Some(&ann), now),
            format!("{head}\r\n\tfor <ann@example.org>; {date}\r\n")
        );
        assert_eq!(
            received(&settings(), Origin::Smtp(&client), &id, None, now),
            format!("{head};\r\n\t{date}\r\n")
        );
        assert_eq!(
            received(&settings(), Origin::Local { uid: 7 }, &id, None, now),
            format!("Received: by mx.example.org (Postfix, from userid 7)\r\n\tid 4XyZ1; {date}\r\n")
        );
    }
}
