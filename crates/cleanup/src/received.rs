//! The Received header, in Postfix's shapes.

use crate::date::mail_date;
use crate::settings::Settings;
use mail::{Address, Client, QueueId, Timestamp};
use std::fmt::Write as _;

/// How a message came to us.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// By SMTP.
    Smtp(SmtpSession<'a>),
    /// By `sendmail` of this user.
    Local {
        /// The user's number.
        uid: u32,
    },
    /// By the mail system itself.
    Internal,
}

/// What the header tells of an SMTP session.
#[derive(Clone, Copy, Debug)]
pub struct SmtpSession<'a> {
    /// The client.
    pub client: &'a Client,
    /// It has logged in: the protocol is `ESMTPA` (RFC 3848).
    pub authenticated: bool,
    /// It asked for SMTPUTF8: the protocol is `UTF8SMTP` (RFC 6531 4.3).
    pub smtputf8: bool,
    /// As whom, where the header is to say so (`smtpd_sasl_authenticated_header`).
    pub login: Option<&'a str>,
    /// Nothing of the client is to be told (`smtpd_hide_client_session`).
    pub hidden: bool,
}

impl<'a> From<&'a Client> for SmtpSession<'a> {
    /// A session without login.
    fn from(client: &'a Client) -> Self {
        SmtpSession { client, authenticated: false, smtputf8: false, login: None, hidden: false }
    }
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
        Origin::Smtp(SmtpSession { hidden: true, .. }) => {
            let _ = write!(out, "Received: by {host} ({product}) id {id}");
            put_end(&mut out, sole_recipient, &date);
        }
        Origin::Smtp(SmtpSession { client, authenticated, smtputf8, login, .. }) => {
            let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
            let address = match client.address.contains(':') {
                true => format!("IPv6:{}", client.address),
                false => client.address.clone(),
            };
            let _ = write!(out, "Received: from {helo} ({} [{address}])\r\n\t", client.name);
            if let Some(login) = login {
                let _ = write!(out, "(Authenticated sender: {})\r\n\t", in_comment(login));
            }
            // RFC 3848 knows no `SMTPA`: AUTH is an extension.
            let login = if authenticated && client.protocol != "SMTP" { "A" } else { "" };
            let protocol = if smtputf8 { "UTF8SMTP" } else { &client.protocol };
            let _ = write!(out, "by {host} ({product}) with {protocol}{login} id {id}");
            put_end(&mut out, sole_recipient, &date);
        }
        Origin::Internal => {
            let _ = write!(out, "Received: by {host} ({product})\r\n\tid {id}; {date}\r\n");
        }
        Origin::Local { uid } => {
            let _ =
                write!(out, "Received: by {host} ({product}, from userid {uid})\r\n\tid {id}; {date}\r\n");
        }
    }
    out
}

fn put_end(out: &mut String, sole_recipient: Option<&Address>, date: &str) {
    // Writing to a String cannot fail.
    let _ = match sole_recipient {
        Some(recipient) => write!(out, "\r\n\tfor <{recipient}>; {date}\r\n"),
        None => write!(out, ";\r\n\t{date}\r\n"),
    };
}

/// Text that may stand in a comment of a header (RFC 5322 3.2.2): what must not becomes `?`, a byte each, as in
/// Postfix, and every parenthesis is closed.
fn in_comment(text: &str) -> String {
    let mut depth = 0usize;
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b')' | b'\\' | 0..0x20 | 0x7f.. => {
                out.push('?');
                continue;
            }
            _ => {}
        }
        out.push(char::from(b));
    }
    out + &")".repeat(depth)
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
            mapper: rewrite::Mapper::default(),
            replace_stray_cr: true,
            checks: std::sync::Arc::default(),
        }
    }

    #[test]
    fn a_login_cannot_leave_its_comment() {
        for (login, comment) in
            [("a(b", "a(b)"), ("a)b(c", "a?b(c)"), ("((a)b)", "((a)b)"), ("aö\\\n", "a????")]
        {
            assert_eq!(in_comment(login), comment, "{login}");
        }
    }

    #[test]
    fn what_the_administrator_hides_is_not_told() {
        let client = Client { name: "a.example".into(), protocol: "ESMTP".into(), ..Client::default() };
        let session = SmtpSession {
            login: Some("ann"),
            authenticated: true,
            hidden: true,
            ..SmtpSession::from(&client)
        };
        let id = QueueId::parse("4XyZ1").unwrap();
        let header = received(&settings(), Origin::Smtp(session), &id, None, Timestamp::from_secs(0));
        assert!(header.starts_with("Received: by mx.example.org (Postfix) id 4XyZ1;\r\n\t"), "{header}");
        let header = received(
            &settings(),
            Origin::Smtp(SmtpSession { hidden: false, ..session }),
            &id,
            None,
            Timestamp::from_secs(0),
        );
        assert!(
            header.contains(
                "\r\n\t(Authenticated sender: ann)\r\n\tby mx.example.org (Postfix) with ESMTPA id "
            )
        );
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
            received(&settings(), Origin::Smtp((&client).into()), &id, Some(&ann), now),
            format!("{head}\r\n\tfor <ann@example.org>; {date}\r\n")
        );
        assert_eq!(
            received(&settings(), Origin::Smtp((&client).into()), &id, None, now),
            format!("{head};\r\n\t{date}\r\n")
        );
        assert_eq!(
            received(&settings(), Origin::Local { uid: 7 }, &id, None, now),
            format!("Received: by mx.example.org (Postfix, from userid 7)\r\n\tid 4XyZ1; {date}\r\n")
        );
    }
}
