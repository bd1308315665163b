//! `proxy:type:name`: the table itself, or, in a process below another root, what the process `control` answers for it.
//!
//! Postfix asks its proxymap process, so that many processes share one open table, and to reach beyond a chroot. Our
//! sessions share tables anyway.

use super::{Kind, check_inner, open_inner, socketmap};
use crate::table::{Settings, Source, TableError};

/// The kind `proxy`.
pub const KIND: Kind = Kind { name: "proxy", open };

fn open(inner: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    match &settings.proxy {
        None => open_inner(inner, spec, settings),
        Some(socket) => {
            let kind = check_inner(inner, spec)?;
            Ok(socketmap::proxied(socket, inner, spec, !WHOLE.contains(&kind.name)))
        }
    }
}

/// Kinds that are asked for whole keys only; sorted by name.
const WHOLE: &[&str] = &["cidr", "pcre", "pipemap", "regexp", "socketmap", "tcp"];
