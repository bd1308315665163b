//! Access tables (access(5)): which keys are asked, and what a result means.

use crate::about::About;
use crate::complaint::Complaint;
use crate::restrictions::{self, Make, Verdict};
use mail::{Address, Dsn, Reply};
use tables::search::{self, Key};
use tables::{Lookup, Table};

/// The client's name and its parents, then its address and shorter prefixes of it.
pub async fn client(table: &Table, about: &About<'_>) -> Verdict {
    let mut keys = search::client_name(&about.client.name, about.rules.parents);
    keys.extend(search::client_address(about.client.address));
    find(table, keys, about, &about.client.name_and_address, "Client host").await
}

/// The HELO name and its parents.
pub async fn helo(table: &Table, about: &About<'_>) -> Verdict {
    let Some(helo) = about.helo else { return Verdict::Dunno };
    find(table, search::domain(helo, about.rules.parents), about, helo, "Helo command").await
}

/// The sender's address, its domain and parents, `user@`; the null sender has a key of its own.
pub async fn sender(table: &Table, about: &About<'_>) -> Verdict {
    let Some(sender) = about.sender else { return Verdict::Dunno };
    address(table, about, sender, "Sender address").await
}

/// The recipient's address, its domain and parents, `user@`.
pub async fn recipient(table: &Table, about: &About<'_>) -> Verdict {
    let Some(recipient) = about.recipient else { return Verdict::Dunno };
    address(table, about, recipient, "Recipient address").await
}

async fn address(table: &Table, about: &About<'_>, address: &Address, class: &str) -> Verdict {
    let rules = about.rules;
    let value = String::from_utf8_lossy(address.as_bytes());
    if address.is_null() {
        let key = Key { text: rules.null_access_lookup_key.clone(), part: false };
        return find(table, vec![key], about, &value, class).await;
    }
    let full = rules.addresses.complete(address);
    // Here Postfix folds the key itself; elsewhere patterns see an address as it was written.
    let full = tables::fold(&String::from_utf8_lossy(full.as_bytes()), true).into_owned();
    let keys = search::access_address(&full, &rules.recipient_delimiter, rules.parents);
    find(table, keys, about, &value, class).await
}

/// Asks for the keys in order; the first that the table knows decides.
async fn find(table: &Table, keys: Vec<Key>, about: &About<'_>, value: &str, class: &str) -> Verdict {
    for key in keys {
        if key.part && !table.takes_parts() {
            continue;
        }
        match table.lookup(&key.text).await {
            Lookup::NotFound => {}
            Lookup::Found(action) if table.found_nothing_in(&key.text, &action) => {
                return refuse(451, Dsn::new(4, 3, 5), value, class, "Server configuration error");
            }
            Lookup::Found(action) => {
                let verdict = act(&action, about, value, class).await;
                return if about.is_before_mail() { at_once(verdict, table) } else { verdict };
            }
            Lookup::TempFail(_) => {
                return refuse(451, Dsn::new(4, 3, 0), value, class, "Temporary lookup failure");
            }
        }
    }
    Verdict::Dunno
}

/// Before MAIL there is nothing that could be held or thrown away.
fn at_once(verdict: Verdict, table: &Table) -> Verdict {
    let action = match verdict {
        Verdict::Note("hold", _) => "HOLD",
        Verdict::Discard(_) => "DISCARD",
        other => return other,
    };
    Verdict::Complain(Complaint::TooEarly { table: table.spec().to_owned(), action })
}

/// What the right-hand side of an access table says.
async fn act(action: &str, about: &About<'_>, value: &str, class: &str) -> Verdict {
    let action = action.trim();
    let (word, text) = action.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((action, ""));
    let text = text.trim_start();
    let codes = &about.rules.codes;
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    let denied = |text: &str, code: u16| {
        refuse(code, Dsn::new(if code / 100 == 4 { 4 } else { 5 }, 7, 1), value, class, text)
    };
    if is("DUNNO") {
        Verdict::Dunno
    } else if is("OK") || is("RELAY") {
        Verdict::Permit
    } else if is("REJECT") {
        denied(text, codes.access_map_reject)
    } else if is("DEFER") {
        denied(text, codes.access_map_defer)
    } else if is("HOLD") {
        let what = if text.is_empty() { "triggers HOLD action" } else { text };
        Verdict::Note("hold", format!("<{value}>: {class} {what}"))
    } else if is("DISCARD") {
        let what = if text.is_empty() { "triggers DISCARD action" } else { text };
        Verdict::Discard(format!("<{value}>: {class} {what}"))
    } else if is("INFO") || is("WARN") {
        let action = if is("INFO") { "info" } else { "warn" };
        let default = || format!("<{value}>: {class} triggers {} action", word.to_ascii_uppercase());
        Verdict::Note(action, if text.is_empty() { default() } else { text.to_owned() })
    } else if !action.is_empty() && action.bytes().all(|b| b.is_ascii_digit()) {
        // Also `550`: a code refuses only where a text stands behind it.
        Verdict::Permit
    } else if word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit()) {
        denied(text, word.parse().unwrap_or(554))
    } else {
        by_name(action, about).await
    }
}

/// A result may name restrictions; those that need a table are not for tables.
async fn by_name(action: &str, about: &About<'_>) -> Verdict {
    // It might have been a refusal.
    let unknown = |word: &str| {
        let reply = Reply::new(451, Dsn::new(4, 3, 5), "Server configuration error");
        Verdict::Broken(Complaint::Unknown(word.to_owned()), reply)
    };
    let mut words = action.split([',', ' ', '\t']).filter(|w| !w.is_empty()).peekable();
    if words.peek().is_none() {
        return unknown(action);
    }
    while let Some(word) = words.next() {
        let Some((kind, Make::Alone(make))) = restrictions::find(word).map(|kind| (kind, &kind.make)) else {
            return unknown(word);
        };
        let restriction = make();
        let verdict = restriction.check(about).verdict().await;
        match (verdict, words.peek()) {
            (Verdict::Dunno, _) => {}
            (verdict, Some(next)) if restrictions::FINAL.contains(&kind.name) => {
                let next = (*next).to_owned();
                return Verdict::Final(Box::new(verdict), Complaint::Ignored { first: kind.name, next });
            }
            (verdict, _) => return verdict,
        }
    }
    Verdict::Dunno
}

/// The refusal; a text that begins with an enhanced code brings its own, with the class that the code has.
fn refuse(code: u16, dsn: Dsn, value: &str, class: &str, text: &str) -> Verdict {
    let (dsn, text) = match Dsn::parse_prefix(text) {
        Some((own, rest)) => (own.with_class(dsn.class), rest),
        None => (dsn, text),
    };
    let text = if text.is_empty() { "Access denied" } else { text };
    Verdict::Refuse(Reply::new(code, dsn, format!("<{value}>: {class} rejected: {text}")))
}
