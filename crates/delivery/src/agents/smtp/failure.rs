//! What a failure means for recipients, in Postfix's words.

use super::connection::{How, Loss, Peer};
use super::route::{NoRoute, Place};
use crate::Verdict;
use mail::{Diagnostic, Dsn, SiteFailure, Status};
use protocol::smtp::client::{Response, Stage};
use std::io;

/// The connection was lost, or took too long.
const LOST: Dsn = Dsn::new(4, 4, 2);
/// There was no connection.
const NOT_CONNECTED: Dsn = Dsn::new(4, 4, 1);
/// The server said something that fits nowhere.
const PROTOCOL_ERROR: Dsn = Dsn::new(5, 5, 0);
/// A mistake in our configuration.
const CONFIGURATION: Dsn = Dsn::new(4, 3, 5);
/// Trouble of our own.
const LOCAL: Dsn = Dsn::new(4, 3, 0);

/// The message needs SMTPUTF8 (RFC 6531 4.2).
const NO_SMTPUTF8: Dsn = Dsn::new(5, 6, 7);

/// Why recipients did not get the message.
#[derive(Clone, Debug)]
pub(super) struct Failure(pub Verdict);

impl Failure {
    /// No address was found.
    pub fn no_route(no_route: &NoRoute) -> Self {
        Failure(Verdict::failure(no_route.dsn, no_route.reason.clone()))
    }

    /// A nexthop that cannot be read.
    pub fn bad_destination(reason: String) -> Self {
        Failure(Verdict::failure(CONFIGURATION, reason))
    }

    /// No connection came about.
    pub fn not_connected(peer: &Peer, error: &io::Error) -> Self {
        let place = match peer.place {
            Place::Inet(_) => &peer.relay,
            Place::Unix(..) => &peer.label,
        };
        Failure(Verdict::failure(NOT_CONNECTED, format!("connect to {place}: {}", system_text(error))))
    }

    /// Our own address cannot be used (`smtp_bind_address_enforce`).
    pub fn cannot_bind() -> Self {
        Failure(Verdict::failure(Dsn::new(4, 4, 0), "server configuration error"))
    }

    /// The connection broke off.
    pub fn lost(peer: &Peer, loss: Loss) -> Self {
        let (label, doing) = (&peer.label, loss.stage.doing());
        let reason = match loss.how {
            How::TimedOut => format!("conversation with {label} timed out while {doing}"),
            How::Lost => format!("lost connection with {label} while {doing}"),
            How::Local => return Failure::local(peer),
        };
        Failure(Verdict::failure(LOST, reason))
    }

    /// The server would not talk to us.
    pub fn refused(peer: &Peer, stage: Stage, response: &Response, skip_5xx_greeting: bool) -> Self {
        let dsn = match stage {
            Stage::Greeting if skip_5xx_greeting => response.dsn.with_class(4),
            _ => response.dsn,
        };
        let text = format!("host {} refused to talk to me: {}", peer.label, response.one_line());
        Failure::of_server(peer, dsn, text, response)
    }

    /// The server refused the message or a recipient.
    pub fn said(peer: &Peer, stage: Stage, response: &Response) -> Self {
        let (label, command) = (&peer.label, stage.command());
        let text = format!("host {label} said: {} (in reply to {command})", response.one_line());
        Failure::of_server(peer, response.dsn, text, response)
    }

    fn of_server(peer: &Peer, dsn: Dsn, text: String, response: &Response) -> Self {
        let (dsn, text) = match dsn.class {
            4 | 5 => (dsn, text),
            _ => (PROTOCOL_ERROR, format!("Protocol error: {text}")),
        };
        let mut verdict = Verdict::failure(dsn, text);
        verdict.diagnostic = Some(Diagnostic { kind: "smtp".into(), text: response.one_line() });
        verdict.remote_mta = Some(peer.host.clone());
        Failure(verdict)
    }

    /// The server takes no message of that size.
    pub fn too_large(peer: &Peer, size: u64, limit: u64) -> Self {
        let text = format!("message size {size} exceeds size limit {limit} of server {}", peer.label);
        Failure(Verdict::failure(Dsn::new(5, 3, 4), text))
    }

    /// The server does not know UTF-8 in addresses and headers.
    pub fn no_smtputf8(peer: &Peer) -> Self {
        let text = format!("SMTPUTF8 is required, but was not offered by host {}", peer.label);
        Failure(Verdict::failure(NO_SMTPUTF8, text))
    }

    /// The server is ourselves.
    pub fn is_myself(nexthop: &str) -> Self {
        let text = format!("mail for {nexthop} loops back to myself");
        Failure(Verdict::failure(Dsn::new(5, 4, 6), text))
    }

    /// The content could not be read.
    pub fn local(peer: &Peer) -> Self {
        Failure(Verdict::failure(LOCAL, format!("local data error while talking to {}", peer.label)))
    }

    /// No server was left to try, and none said why.
    pub fn unavailable() -> Self {
        Failure(Verdict::failure(LOCAL, "server unavailable or unable to receive mail"))
    }

    /// A mistake in our own configuration: mail waits until it is mended.
    pub fn softened(mut self) -> Self {
        self.0.status = Status::Deferred;
        self.0.dsn = CONFIGURATION;
        self
    }

    /// Whether another server may bring better luck: also where this one lacks SMTPUTF8 (since Postfix 3.11).
    pub fn another_server_may_help(&self) -> bool {
        // What a server says is no word of ours.
        self.is_soft() || (self.0.dsn == NO_SMTPUTF8 && self.0.diagnostic.is_none())
    }

    /// Whether another time may bring better luck.
    pub fn is_soft(&self) -> bool {
        self.0.status == Status::Deferred
    }

    /// As the destination's failure.
    pub fn of_site(&self) -> Option<SiteFailure> {
        self.is_soft().then(|| SiteFailure { dsn: self.0.dsn, reason: self.0.reason.clone() })
    }
}

/// The server took the message over. One without DSN will tell the sender nothing.
pub(super) fn sent(peer: &Peer, response: &Response, knows_dsn: bool) -> Verdict {
    // A probe ends with what is no end of a delivery: 354.
    let dsn = if response.dsn.class == 2 { response.dsn } else { Dsn::new(2, 0, 0) };
    let mut verdict = Verdict::new(Status::Sent, dsn, response.one_line());
    verdict.diagnostic = Some(Diagnostic { kind: "smtp".into(), text: response.one_line() });
    verdict.remote_mta = Some(peer.host.clone());
    verdict.relayed = true;
    verdict.next_hop_reports = knows_dsn;
    verdict
}

/// The system's words for an error, as strerror(3) has them.
pub(super) fn system_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = io::Error::from_raw_os_error(code).to_string();
            text.split(" (os error").next().unwrap_or_default().to_string()
        }
        None if error.kind() == io::ErrorKind::TimedOut => "Connection timed out".into(),
        None => error.to_string(),
    }
}
