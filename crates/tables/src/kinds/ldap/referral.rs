//! Servers that a directory refers to (`chase_referrals = yes`): connected to for one lookup, and asked the same.
//!
//! RFC 4511 4.1.10 and 4.5.3. The directory decides whom this host connects to; so it is off by default, stops after some
//! hops, and nobody logs in there: as in Postfix, the password of the table is for its own servers.

use super::client::Directory;
use super::config::server;
use super::reference::Url;
use crate::pool::Failure;
use crate::service::within;
use ldap3::{Ldap, Scope};

/// Servers one after another that a search may be referred to, as in OpenLDAP.
const HOPS_MAX: u32 = 5;

/// Referrals of one lookup: each costs a connection.
const REFERRALS_MAX: u32 = 100;

/// A search at a server.
pub(super) struct Place {
    pub(super) ldap: Ldap,
    pub(super) base: String,
    pub(super) scope: Scope,
    pub(super) filter: String,
    /// How often it was referred.
    pub(super) hops: u32,
}

/// The search at the first of the servers that can be connected to; `count` is how many this lookup has had.
pub(super) async fn follow(
    directory: &Directory,
    from: &Place,
    urls: &[String],
    count: u32,
) -> Result<Place, Failure> {
    let shown = urls.join(" ");
    if from.hops >= HOPS_MAX || count > REFERRALS_MAX {
        return Err(Failure::Request(format!(
            "expected at most {HOPS_MAX} referrals one after another and {REFERRALS_MAX} of a key, found another to `{shown}`"
        )));
    }
    let mut errors = Vec::new();
    for text in urls {
        match connect(directory, text).await {
            Ok((ldap, url)) => {
                return Ok(Place {
                    ldap,
                    base: if url.base.is_empty() { from.base.clone() } else { url.base },
                    scope: url.scope.unwrap_or(from.scope),
                    filter: url.filter.unwrap_or_else(|| from.filter.clone()),
                    hops: from.hops + 1,
                });
            }
            Err(error) => errors.push(format!("{text}: {error}")),
        }
    }
    // The server that referred us is well.
    Err(Failure::Request(format!("referred to `{shown}`: {}", errors.join("; "))))
}

async fn connect(directory: &Directory, text: &str) -> Result<(Ldap, Url), String> {
    let url = Url::parse(text)?.ok_or("expected an LDAP URL")?;
    // A socket of this host is nothing that a directory decides about.
    let address = server(&url.server, 389).ok().filter(|address| !address.starts_with("ldapi:"));
    let address = address.ok_or("expected ldap://host:port or ldaps://host:port")?;
    Ok((within(directory.timeout, "connection", directory.open(&address)).await??, url))
}
