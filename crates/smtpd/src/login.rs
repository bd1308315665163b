//! As whom a client has logged in: by AUTH, or by XCLIENT's LOGIN.

use crate::peer::PeerInfo;
use observe::events::smtpd as events;

/// The method that XCLIENT's LOGIN counts as.
pub const BY_XCLIENT: &str = "XCLIENT";

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// How (`sasl_method`): `PLAIN`, or `XCLIENT`.
    pub method: String,
    /// Who (`sasl_username`).
    pub username: String,
    /// Restrictions believe it: `smtpd_sasl_auth_enable`. Without that it is for headers and the log only.
    pub counts: bool,
}

impl Login {
    /// As log lines show it.
    pub fn shown(&self) -> events::Login<'_> {
        events::Login { method: &self.method, username: &self.username }
    }
}

impl PeerInfo {
    /// The login, where restrictions believe it.
    pub fn counted_login(&self) -> Option<&Login> {
        self.login.as_ref().filter(|login| login.counts)
    }
}
