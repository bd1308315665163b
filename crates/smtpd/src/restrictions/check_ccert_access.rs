//! Looks up the client's certificate, and its key, in an access table; the certificate need not be trusted.
//!
//! `check_ccert_access TYPE:TABLE`, or `{ TYPE:TABLE { search_order = pubkey_fingerprint cert_fingerprint } }`.

use super::{Checked, Kind, MadeWithTable, Make, OpenTable, Restriction};
use crate::about::About;
use crate::access;
use crate::tls::SearchBy;
use config::words;
use tables::Table;

pub(super) const KIND: Kind =
    Kind { name: "check_ccert_access", make: Make::WithTableIn(make), guards_relaying: false };

fn make(word: &str, table: OpenTable<'_>) -> MadeWithTable {
    let (spec, order) = parse(word)?;
    Ok(table(spec).map(|table| -> Box<dyn Restriction> { Box::new(This { table, order }) }))
}

struct This {
    table: Table,
    order: Vec<SearchBy>,
}

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(access::certificate(&self.table, &self.order, about)))
    }
}

fn parse(word: &str) -> Result<(&str, Vec<SearchBy>), String> {
    let Some(inner) = words::unbraced(word) else { return Ok((word, SearchBy::ORDER.to_vec())) };
    let mut parts = words::words(inner, words::is_list_separator).map(|(_, part)| part);
    let spec = parts.next().ok_or("expected `{ type:table … }`, found nothing in the braces")?;
    let mut order = SearchBy::ORDER.to_vec();
    for part in parts {
        let setting = words::unbraced(part).unwrap_or(part);
        match setting.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some(("search_order", names)) => {
                order = words::list(names).iter().map(|name| by(name)).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("expected `search_order = …` behind {spec}, found `{part}`")),
        }
    }
    Ok((spec, order))
}

fn by(name: &str) -> Result<SearchBy, String> {
    match name {
        "cert_fingerprint" => Ok(SearchBy::Certificate),
        "pubkey_fingerprint" => Ok(SearchBy::Key),
        _ => Err(format!("search_order: expected cert_fingerprint or pubkey_fingerprint, found `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_both_unless_it_is_set() {
        let both = SearchBy::ORDER.to_vec();
        assert_eq!(parse("hash:/x"), Ok(("hash:/x", both.clone())));
        assert_eq!(parse("{ hash:/x }"), Ok(("hash:/x", both)));
        let turned = vec![SearchBy::Key, SearchBy::Certificate];
        let word = "{ hash:/x, { search_order = pubkey_fingerprint, cert_fingerprint } }";
        assert_eq!(parse(word), Ok(("hash:/x", turned)));
        assert_eq!(parse("{ hash:/x { search_order = } }"), Ok(("hash:/x", vec![])));
        assert!(parse("{ hash:/x { search_order = name } }").unwrap_err().ends_with("found `name`"));
        assert!(parse("{ hash:/x timeout=1 }").unwrap_err().ends_with("found `timeout=1`"));
        assert!(parse("{ }").is_err());
    }
}
