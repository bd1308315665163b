//! Clients whose dialogue is logged: `debug_peer_list`, and every client of a service with `-v` in master.cf.
//!
//! With it come the steps of restriction lists ([`crate::debug`]). What Postfix says besides at that level (of its
//! subsystems, and each byte of its own protocols) is not here.

use crate::driver::Driver;
use crate::peer::PeerInfo;
use config::ServiceLine;
use observe::emit;
use observe::events::smtpd as events;
use tables::lists::AddressList;

/// Whom a service watches.
#[derive(Clone)]
pub(crate) struct Watch {
    /// `-v`.
    pub(crate) all: bool,
    /// `debug_peer_list`.
    pub(crate) peers: AddressList,
}

impl Watch {
    /// Whether the client is watched; a table that cannot be asked watches nobody.
    pub(crate) async fn includes(&self, peer: &PeerInfo) -> bool {
        self.all || matches!(peer.is_in(&self.peers).await, Ok(true))
    }
}

/// Whether the line has `-v`, once or more often.
pub(crate) fn is_verbose(line: &ServiceLine) -> bool {
    let is_v =
        |word: &String| word.strip_prefix('-').is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b == b'v'));
    line.args.iter().any(is_v)
}

impl Driver {
    /// Logs what a watched client said, or what it was told: line by line.
    pub(crate) fn dialogue(&self, direction: char, bytes: &[u8]) {
        if !self.verbose {
            return;
        }
        let client = self.peer.name_and_address.as_str();
        for line in String::from_utf8_lossy(bytes).lines() {
            emit(&self.tag, &events::Dialogue { direction, client, line });
        }
    }
}
