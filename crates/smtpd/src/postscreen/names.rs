//! What the footers of postscreen's refusals may name: of a client that says nothing of itself yet, its address and port.

use crate::macros::{self, Values};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Whom a footer is for.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The client.
    pub client: SocketAddr,
    /// `myhostname`.
    pub server_name: String,
}

impl Values for Names {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let text = match name {
            "client_address" => self.client.ip().to_canonical().to_string(),
            "client_port" => self.client.port().to_string(),
            "server_name" => self.server_name.clone(),
            "localtime" => macros::local_time(),
            _ => return None,
        };
        Some(Cow::Owned(text.into_bytes()))
    }
}
