//! Clients behind a proxy: the PROXY header is read before anything is said, and tells between whom the session is.
//!
//! Postfix: `smtpd_upstream_proxy_protocol`, `smtpd_upstream_proxy_timeout`. Ours: `posthaste_upstream_proxy_direct`.
//! Whoever may connect can claim any address, so nobody but the proxy may reach such a service; a service that takes
//! direct clients, too, is for networks where only the proxy can send the header.

use crate::listener::Ends;
use crate::settings::Settings;
use crate::socket::{Heard, Socket};
use bytes::{Bytes, BytesMut};
use mail::{Dsn, Reply};
use observe::events::smtpd as events;
use observe::{Tag, emit};
use protocol::haproxy::{self, Header, Parsed};
use std::time::Duration;
use tokio::time::Instant;

/// How the header is awaited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    /// For how long.
    pub(crate) timeout: Duration,
    /// Who sends none is a client of its own.
    pub(crate) direct: bool,
}

/// A connection whose ends are known.
pub(crate) struct Arrival {
    pub(crate) ends: Ends,
    /// What came behind the header.
    pub(crate) unread: Bytes,
    /// Why nothing comes of it.
    pub(crate) refusal: Option<Reply>,
}

impl From<Ends> for Arrival {
    fn from(ends: Ends) -> Self {
        Arrival { ends, unread: Bytes::new(), refusal: None }
    }
}

/// What came of waiting for the header.
enum Received {
    Header(Header, usize),
    /// There is none, as can be told from what came.
    None,
    /// None came within the time, or with the end of the connection.
    Missing,
    Stop,
}

impl Upstream {
    /// Waits for the header of a connection between `ends`.
    pub(crate) async fn receive(
        &self,
        socket: &Socket,
        ends: Ends,
        settings: &Settings,
        tag: &Tag,
    ) -> Arrival {
        if !matches!(ends, Ends::Internet { .. } | Ends::Passed { told: false, .. }) {
            // Who handed it on has read the header; a program of this host is behind no proxy.
            if matches!(ends, Ends::Passed { .. }) {
                let name = "smtpd_upstream_proxy_protocol";
                observe::warn(tag, format_args!("ignoring non-empty {name} setting behind postscreen"));
            }
            return ends.into();
        }
        let mut bytes = BytesMut::new();
        let received = self.header(socket, &mut bytes).await;
        let refused = |refusal: Reply| Arrival { refusal: Some(refusal), ..ends.into() };
        match received {
            Received::Header(header, length) => {
                let unread = bytes.freeze().split_off(length);
                let ends = match header {
                    Header::Proxied { client, server } => Ends::Told { client, server },
                    Header::Local => ends,
                };
                Arrival { ends, unread, refusal: None }
            }
            Received::Stop => refused(settings.going_down()),
            Received::None if self.direct => Arrival { unread: bytes.freeze(), ..ends.into() },
            Received::Missing if self.direct && bytes.is_empty() => ends.into(),
            Received::None | Received::Missing => {
                let why = if bytes.is_empty() { "timeout error" } else { haproxy::missing(&bytes) };
                emit(tag, &events::UnusableProxyHeader { why, header: &bytes });
                let text = format!("{} Server local error", settings.dialogue.myhostname);
                refused(Reply::new(421, Dsn::new(4, 3, 0), text))
            }
        }
    }

    /// Reads until it is known what there is; the parser bounds how much that may be.
    async fn header(&self, socket: &Socket, bytes: &mut BytesMut) -> Received {
        let deadline = Instant::now() + self.timeout;
        loop {
            match socket.read(deadline, true).await {
                Heard::Bytes(more) => bytes.extend_from_slice(&more),
                Heard::Lost | Heard::Nothing => return Received::Missing,
                Heard::Stop | Heard::MakeRoom => return Received::Stop,
            }
            match haproxy::parse(bytes) {
                Parsed::Header(header, length) => return Received::Header(header, length),
                Parsed::Partial => {}
                Parsed::Other => return Received::None,
                Parsed::Bad(_) => return Received::Missing,
            }
        }
    }
}
