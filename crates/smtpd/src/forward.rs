//! What XFORWARD and a login leave in the log and in the queue.
//!
//! Postfix: XFORWARD_README. It decides nothing: what is not told of the original client is `unknown`.

use crate::login::Login;
use crate::peer::UNKNOWN;
use crate::transaction::Shown;
use protocol::smtp::server::{Told, Xforward};
use std::fmt::Display;
use std::net::IpAddr;

/// The original client as `orig_client=` shows it; `None` where nothing is told of it.
pub(crate) fn client(said: &Xforward, with_port: bool) -> Option<String> {
    if !said.tells_client() {
        return None;
    }
    let name = text(said.name.as_ref());
    Some(match (&said.address, &said.port) {
        (Some(Told::Is(address)), Some(Told::Is(port))) if with_port => format!("{name}[{address}]:{port}"),
        (Some(Told::Is(address)), _) => format!("{name}[{address}]"),
        _ => name,
    })
}

/// The original client as cleanup's lines show it; `None` where nothing is told of it.
pub(crate) fn shown(said: &Xforward, with_port: bool) -> Option<Shown> {
    let helo = if let Some(Told::Is(helo)) = &said.helo { helo.clone() } else { String::new() };
    client(said, with_port).map(|origin| Shown { origin, protocol: text(said.protocol.as_ref()), helo })
}

/// The attributes that the queue keeps.
pub(crate) fn attributes(
    login: Option<&Login>,
    sasl_sender: Option<&str>,
    said: &Xforward,
    with_port: bool,
) -> Vec<(String, Vec<u8>)> {
    let mut kept = Vec::new();
    let mut keep = |name: &str, value: &str| kept.push((name.to_owned(), value.as_bytes().to_vec()));
    if let Some(ident) = &said.ident {
        keep("log_ident", ident);
    }
    if let Some(login) = login {
        keep("sasl_method", &login.method);
        keep("sasl_username", &login.username);
    }
    if let Some(sender) = sasl_sender.filter(|sender| !sender.is_empty()) {
        keep("sasl_sender", sender);
    }
    if let Some(origin) = client(said, with_port) {
        keep("log_client_name", &text(said.name.as_ref()));
        keep("log_client_address", &address(said.address.as_ref()));
        keep("log_client_port", &text(said.port.as_ref()));
        keep("log_message_origin", &origin);
        // Where no HELO is known, Postfix keeps none.
        let helo = if let Some(Told::Is(helo)) = &said.helo { helo } else { "" };
        keep("log_helo_name", helo);
        keep("log_protocol_name", &text(said.protocol.as_ref()));
    }
    kept
}

/// An address as RFC 5321 writes it, as Postfix keeps this one.
fn address(told: Option<&Told<IpAddr>>) -> String {
    let text = text(told);
    if text.contains(':') { format!("IPv6:{text}") } else { text }
}

fn text<T: Display>(told: Option<&Told<T>>) -> String {
    match told {
        Some(Told::Is(value)) => value.to_string(),
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_of_only_where_something_is_said_of_it() {
        let mut said = Xforward { ident: Some("4X".into()), ..Xforward::default() };
        assert_eq!((client(&said, true), attributes(None, None, &said, true).len()), (None, 1));
        said.name = Some(Told::Is("a.example".into()));
        assert_eq!(client(&said, true).as_deref(), Some("a.example"));
        said.address = Some(Told::Is("2001:db8::1".parse().unwrap()));
        assert_eq!(client(&said, true).as_deref(), Some("a.example[2001:db8::1]"));
        let kept = attributes(None, None, &said, true);
        assert!(kept.contains(&("log_client_port".into(), b"unknown".to_vec())));
        assert!(kept.contains(&("log_client_address".into(), b"IPv6:2001:db8::1".to_vec())));
    }
}
