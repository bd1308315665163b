//! What cleanup must know of the configuration.

use crate::checks::Checks;
use config::parameters::{Cleanup, Global};
use rewrite::Mapper;
use std::sync::Arc;

/// The names are Postfix's parameters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `myhostname`.
    pub myhostname: String,
    /// `mail_name`.
    pub mail_name: String,
    /// So many Received headers, ours included, make a loop.
    pub hopcount_limit: u64,
    /// Mail of strangers gets missing headers too.
    pub always_add_missing_headers: bool,
    /// The header of mail without recipient headers; empty adds none.
    pub undisclosed_recipients_header: String,
    /// Names of headers that are removed, in lower case.
    pub message_drop_headers: Vec<String>,
    /// `header_from_format = obsolete`.
    pub obsolete_from_format: bool,
    /// Maps addresses.
    pub mapper: Mapper,
    /// CRs within lines of local mail become blanks.
    pub replace_stray_cr: bool,
    /// What content is looked at for.
    pub checks: Arc<Checks>,
}

impl Settings {
    /// From the parameters, with what maps addresses for the same service.
    pub fn new(global: &Global, cleanup: &Cleanup, mapper: Mapper) -> Self {
        Settings {
            myhostname: global.myhostname.clone(),
            mail_name: global.mail_name.clone(),
            hopcount_limit: cleanup.hopcount_limit,
            always_add_missing_headers: cleanup.always_add_missing_headers,
            undisclosed_recipients_header: cleanup.undisclosed_recipients_header.clone(),
            message_drop_headers: cleanup
                .message_drop_headers
                .iter()
                .map(|n| n.to_ascii_lowercase())
                .collect(),
            obsolete_from_format: cleanup.header_from_format == "obsolete",
            mapper,
            replace_stray_cr: cleanup.cleanup_replace_stray_cr_lf,
            checks: Arc::default(),
        }
    }

    /// The same, with what content is looked at for.
    pub fn with_checks(self, checks: Checks) -> Self {
        Settings { checks: Arc::new(checks), ..self }
    }
}
