//! `ldap:/file`: a directory server is searched, and attributes of what it finds are the answer.
//!
//! Postfix: ldap_table(5). The key is put into a search base and a filter, quoted as RFC 4514 and RFC 4515 ask;
//! attributes that name other entries (`special_result_attribute`) are followed ([`client`]).

mod client;
mod config;
mod reference;
mod referral;
mod tls;

use self::client::{Directory, Search};
use super::Kind;
use crate::expansion::{Expansion, Template};
use crate::lookup::{Lookup, LookupFuture};
use crate::pool::Pool;
use crate::table::Source;
use ldap3::{dn_escape, ldap_escape};

/// The kind `ldap`.
pub const KIND: Kind = Kind { name: "ldap", open: config::open };

struct Ldap {
    spec: String,
    search_base: Template,
    query_filter: Template,
    expansion: Expansion,
    servers: Pool<Directory>,
}

impl Source for Ldap {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(async move {
            self.find(key).await.unwrap_or_else(|text| Lookup::TempFail(format!("{}: {text}", self.spec)))
        }))
    }
}

impl Ldap {
    async fn find(&self, key: &str) -> Result<Lookup, String> {
        let admitted = self.expansion.admits(key).await;
        if !admitted.map_err(|error| format!("domain: {}", error.0))? {
            return Ok(Lookup::NotFound);
        }
        let base = self.search_base.for_key(key, dn_escape);
        let filter = self.query_filter.for_key(key, ldap_escape);
        let (Some(base), Some(filter)) = (base, filter) else { return Ok(Lookup::NotFound) };
        // A base that depends on the key may be missing; one that does not is a mistake.
        let search =
            Search { base, filter: parenthesized(filter), base_may_miss: !self.search_base.is_literal() };
        let values = self.servers.ask(search).await?;
        let mut answer = self.expansion.answer(key);
        for value in &values {
            answer.add(value).map_err(|too_much| too_much.0)?;
        }
        Ok(answer.finish())
    }
}

/// OpenLDAP takes a filter without its outer parentheses.
fn parenthesized(filter: String) -> String {
    if filter.starts_with('(') { filter } else { format!("({filter})") }
}
