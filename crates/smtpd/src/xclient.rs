//! XCLIENT: a program in front of us says who the client is, and the session begins anew with that one.
//!
//! Postfix: XCLIENT_README. What is not told stays as it was, but for the login, which must be told each time.

use crate::driver::Driver;
use crate::login::{BY_XCLIENT, Login};
use crate::peer::{NameStatus, PeerInfo, UNKNOWN};
use crate::settings::Standing;
use crate::transaction::Smtpd;
use bytes::Bytes;
use protocol::smtp::server::{Answer, Told, Xclient};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes shown of what a client sent before it was greeted.
const EARLY_BYTES_MAX: usize = 100;

impl Driver {
    /// Takes what XCLIENT said; `unread` came behind it. Whether the new client may use XCLIENT is asked anew;
    /// XFORWARD is for who is connected.
    pub(crate) async fn renew(&mut self, said: &Xclient, unread: &Bytes) -> Answer<Smtpd> {
        let known = &self.settings.peers;
        let mut peer = told(&self.peer, said);
        peer.login = said.login.as_ref().map(|username| Login {
            method: BY_XCLIENT.to_owned(),
            username: username.clone(),
            counts: known.sasl_auth_enable,
        });
        peer.name_and_address = peer.shown(self.settings.client_port_logging);
        let standing = self.settings.standing(&peer).await;
        self.socket.occupant.set_rank(standing.rank);
        self.standing = Standing { xforward: self.standing.xforward, ..standing };
        self.peer = peer;
        self.rates = self.begin_rates();
        if let Some(reply) = self.rates.session_refused(self.who()) {
            return Answer::Refuse(reply);
        }
        Answer::Peer(Box::new(self.introduction(self.early(unread))))
    }

    /// The beginning of what the client sent without being asked: of `unread`, or of what waits to be read.
    pub(crate) fn early(&self, unread: &Bytes) -> Vec<u8> {
        match unread.len() {
            0 => self.socket.early(),
            length => unread[..length.min(EARLY_BYTES_MAX)].to_vec(),
        }
    }
}

/// The client that is told of, where it was `before`.
fn told(before: &PeerInfo, said: &Xclient) -> PeerInfo {
    const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut peer = before.clone();
    set_name(&mut peer.name, &mut peer.name_status, said.name.as_ref());
    set_name(&mut peer.reverse_name, &mut peer.reverse_name_status, said.reverse_name.as_ref());
    set(&mut peer.address, &mut peer.unavailable.address, said.address.as_ref(), NOWHERE);
    set(&mut peer.port, &mut peer.unavailable.port, said.port.as_ref(), 0);
    let (mut ip, mut port) = (peer.server.ip(), peer.server.port());
    set(&mut ip, &mut peer.unavailable.server_address, said.server_address.as_ref(), NOWHERE);
    set(&mut port, &mut peer.unavailable.server_port, said.server_port.as_ref(), 0);
    peer.server = (ip, port).into();
    peer
}

fn set_name(name: &mut String, status: &mut NameStatus, said: Option<&Told<String>>) {
    (*name, *status) = match said {
        None => return,
        Some(Told::Is(name)) => (name.clone(), NameStatus::Known),
        Some(Told::Unavailable) => (UNKNOWN.to_owned(), NameStatus::Unknown),
        Some(Told::NotNow) => (UNKNOWN.to_owned(), NameStatus::NotNow),
    };
}

fn set<T: Copy>(value: &mut T, unavailable: &mut bool, said: Option<&Told<T>>, nothing: T) {
    (*value, *unavailable) = match said {
        None => return,
        Some(Told::Is(told)) => (*told, false),
        Some(Told::Unavailable | Told::NotNow) => (nothing, true),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_stays() {
        let before = PeerInfo::unnamed("192.0.2.1:7".parse().unwrap(), "192.0.2.2:25".parse().unwrap());
        let said = Xclient { port: Some(Told::Is(8)), ..Xclient::default() };
        let after = told(&before, &said);
        assert_eq!((after.shown(true), after.server), ("unknown[192.0.2.1]:8".to_owned(), before.server));
    }

    #[test]
    fn what_nobody_knows_is_unknown() {
        let before = PeerInfo::unnamed("192.0.2.1:7".parse().unwrap(), "192.0.2.2:25".parse().unwrap());
        let said = Xclient {
            name: Some(Told::Is("a.example".into())),
            reverse_name: Some(Told::NotNow),
            address: Some(Told::Unavailable),
            port: Some(Told::Unavailable),
            server_port: Some(Told::Unavailable),
            ..Xclient::default()
        };
        let after = told(&before, &said);
        assert_eq!(after.shown(true), "a.example[unknown]:unknown");
        assert_eq!(
            (after.server_address_text(), after.server_port_text()),
            ("192.0.2.2".into(), "unknown".into())
        );
        assert_eq!((after.name_status, after.reverse_name_status), (NameStatus::Known, NameStatus::NotNow));
        let again = told(&after, &Xclient { address: Some(Told::Is(before.address)), ..Xclient::default() });
        assert_eq!(again.shown(false), "a.example[192.0.2.1]");
    }
}
