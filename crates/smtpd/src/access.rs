//! Access tables (access(5)): which keys are asked, and what a result means.

use crate::about::{About, Stage};
use crate::complaint::{Complaint, Mistake};
use crate::list::Nested;
use crate::permits::Grant;
use crate::restrictions::{Act, Effect, Verdict, misconfigured};
use crate::tls::SearchBy;
use crate::{status, witness, written};
use mail::{Address, Dsn, Reply};
use std::net::IpAddr;
use std::sync::Arc;
use tables::search::{self, Key};
use tables::{Lookup, Table};

/// What is looked up, as refusals and the log show it: `<VALUE>: CLASS rejected: …`.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// A name, an address, `name[address]`.
    pub value: &'a str,
    /// `Client host`, `Helo command`, …
    pub class: &'static str,
}

/// The check of a table that stands in a list by itself.
pub async fn of_stage(table: &Table, about: &About<'_>) -> Verdict {
    match about.stage {
        Stage::Client => client(table, about).await,
        Stage::Helo => helo(table, about).await,
        Stage::Sender => sender(table, about).await,
        Stage::Recipient => recipient(table, about).await,
        Stage::Etrn => etrn(table, about).await,
        Stage::Data | Stage::EndOfData => {
            Verdict::Broken(Complaint::BareTable(table.spec().to_owned()), misconfigured())
        }
    }
}

/// The client's name and its parents, then its address and shorter prefixes of it.
pub async fn client(table: &Table, about: &About<'_>) -> Verdict {
    let subject = Subject { value: &about.client.name_and_address, class: "Client host" };
    host(table, &about.client.name, about, subject).await
}

/// The name that the client's address leads to, verified or not, and its parents, then the address.
pub async fn reverse_name(table: &Table, about: &About<'_>) -> Verdict {
    let name = &about.client.reverse_name;
    let subject = Subject { value: name, class: "Unverified Client host" };
    host(table, name, about, subject).await
}

/// A name of the client and its parents, then its address and shorter prefixes of it.
async fn host(table: &Table, name: &str, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    let mut keys = search::client_name(name, about.rules.parents);
    keys.extend(about.client.access_keys());
    find(table, keys, about, subject).await
}

/// An address and shorter prefixes of it.
pub async fn numbers(table: &Table, ip: IpAddr, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    find(table, search::client_address(ip), about, subject).await
}

/// A name and its parents.
pub async fn name_and_parents(table: &Table, name: &str, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    find(table, search::domain(name, about.rules.parents), about, subject).await
}

/// The HELO name and its parents.
pub async fn helo(table: &Table, about: &About<'_>) -> Verdict {
    let Some(helo) = about.helo else { return Verdict::Dunno };
    name_and_parents(table, helo, about, Subject { value: helo, class: "Helo command" }).await
}

/// The domain that ETRN asks for, and its parents.
pub async fn etrn(table: &Table, about: &About<'_>) -> Verdict {
    let Some(domain) = about.etrn else { return Verdict::Dunno };
    name_and_parents(table, domain, about, Subject { value: domain, class: "Etrn command" }).await
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

/// The login, as it is.
pub async fn login(table: &Table, about: &About<'_>) -> Verdict {
    let Some(login) = about.client.counted_login() else { return Verdict::Dunno };
    let name = login.username.as_str();
    let key = Key { text: name.to_owned(), part: false };
    find(table, vec![key], about, Subject { value: name, class: "SASL login name" }).await
}

/// The fingerprints of the client's certificate and its key, in this order.
pub async fn certificate(table: &Table, order: &[SearchBy], about: &About<'_>) -> Verdict {
    let Some(certificate) = about.certificate() else {
        return match about.rules.asks_for_certificates {
            true => Verdict::Dunno,
            false => Verdict::Complain(Complaint::NoCertificates),
        };
    };
    let subject = Subject { value: &certificate.subject, class: "Client certificate" };
    find(table, certificate.keys(order), about, subject).await
}

async fn address(table: &Table, about: &About<'_>, address: &Address, class: &'static str) -> Verdict {
    let rules = about.rules;
    let value = String::from_utf8_lossy(address.as_bytes());
    let subject = Subject { value: &value, class };
    if address.is_null() {
        let key = Key { text: rules.null_access_lookup_key.clone(), part: false };
        return find(table, vec![key], about, subject).await;
    }
    let full = rules.addresses.complete(address);
    // Here Postfix folds the key itself; elsewhere patterns see an address as it was written.
    let full = mail::fold(&String::from_utf8_lossy(full.as_bytes()), rules.utf8).into_owned();
    let keys = search::access_address(&full, &rules.recipient_delimiter, rules.parents);
    find(table, keys, about, subject).await
}

/// Asks for the keys in order; the first that the table knows decides.
async fn find(table: &Table, keys: Vec<Key>, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    for key in keys {
        if key.part && !table.takes_parts() {
            continue;
        }
        let found = table.lookup(&key.text).await;
        if let Some(trail) = about.trail {
            trail.looked_up(table.spec(), &key.text, &found);
        }
        match found {
            Lookup::NotFound => {}
            Lookup::Found(action) if table.found_nothing_in(&key.text, &action) => {
                return unanswered(subject);
            }
            Lookup::Found(action) => {
                witness::access(subject.class, subject.value, &key.text, &action);
                return result(&action, table.spec(), &key.text, about, subject);
            }
            Lookup::TempFail(_) => return unanswered(subject),
        }
    }
    Verdict::Dunno
}

/// What a result means. `source` and `key` are for what the log says where it makes no sense.
pub fn result(action: &str, source: &str, key: &str, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    // What stands at the end belongs to a header or a reply, as a policy service sent it.
    let action = action.trim_start();
    let (word, text) = action.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((action, ""));
    let text = text.trim_start();
    about.debug_result(source, action, key);
    let codes = &about.rules.codes;
    let upper = word.to_ascii_uppercase();
    let mistake = |mistake| {
        let (source, key) = (source.to_owned(), key.to_owned());
        Verdict::Complain(Complaint::Entry { source, key, mistake })
    };
    let permit = || match about.rules.permits_logged.is_empty() {
        true => Verdict::Permit,
        false => Verdict::Granted(Box::new(Grant::new(word, subject, source))),
    };
    match upper.as_str() {
        "DUNNO" => Verdict::Dunno,
        "OK" | "RELAY" => permit(),
        "REJECT" => refusal(codes.access_map_reject, subject, text, "Access denied").told(Verdict::Refuse),
        "DEFER" => refusal(codes.access_map_defer, subject, text, "Access denied").told(Verdict::Refuse),
        "DEFER_IF_PERMIT" => {
            refusal(codes.access_map_defer, subject, text, "Service unavailable").told(Verdict::DeferIfPermit)
        }
        "DEFER_IF_REJECT" => {
            refusal(codes.access_map_defer, subject, text, "Service unavailable").told(Verdict::DeferIfReject)
        }
        // Postfix's manuals do not name it.
        "HANGUP" => Verdict::HangUp(text.to_owned()),
        "INFO" | "WARN" => {
            let name = if upper == "INFO" { "info" } else { "warn" };
            Verdict::Act(Act { name, text: text.to_owned(), effect: Effect::None })
        }
        "HOLD" | "DISCARD" | "FILTER" | "REDIRECT" | "BCC" | "PREPEND" => {
            match on_message(&upper, text, about, subject) {
                Ok(act) => Verdict::Act(act),
                Err(Wrong::TooEarly(action)) => {
                    Verdict::Complain(Complaint::TooEarly { table: source.to_owned(), action })
                }
                Err(Wrong::AtEtrn(action)) => {
                    Verdict::Complain(Complaint::AtEtrn { table: source.to_owned(), action })
                }
                Err(Wrong::Entry(what)) => mistake(what),
            }
        }
        // Also `550`: a code refuses only where a text stands behind it.
        _ if !action.is_empty() && action.bytes().all(|b| b.is_ascii_digit()) => permit(),
        _ => match written::code(word, &[]) {
            Some((code, _)) => refusal(code, subject, text, "Access denied").told(Verdict::Refuse),
            None => by_name(action, source, about, subject),
        },
    }
}

/// Why an action on the message is not taken.
enum Wrong {
    TooEarly(&'static str),
    AtEtrn(&'static str),
    Entry(Mistake),
}

/// What is done with the message.
fn on_message(word: &str, text: &str, about: &About<'_>, subject: Subject<'_>) -> Result<Act, Wrong> {
    const ACTIONS: [(&str, &str); 6] = [
        ("HOLD", "hold"),
        ("DISCARD", "discard"),
        ("FILTER", "filter"),
        ("REDIRECT", "redirect"),
        ("BCC", "bcc"),
        ("PREPEND", "prepend"),
    ];
    let found = ACTIONS.iter().find(|(action, _)| *action == word);
    let (action, name) = *found.expect("the caller asks for these only");
    if about.stage == Stage::Etrn {
        return Err(Wrong::AtEtrn(action));
    }
    if about.is_before_mail() {
        return Err(Wrong::TooEarly(action));
    }
    let triggers = |more: &str| format!("<{}>: {} triggers {action}{more}", subject.value, subject.class);
    let own = |default: &str| match text.is_empty() {
        true => triggers(default),
        false => format!("<{}>: {} {text}", subject.value, subject.class),
    };
    let wrong = |mistake| Err(Wrong::Entry(mistake));
    let address = || Some(Address::new(text.as_bytes())).filter(|_| text.contains('@'));
    let (text, effect) = match action {
        "HOLD" => (own(" action"), Effect::Hold),
        "DISCARD" => (own(" action"), Effect::Discard),
        "FILTER" if text.is_empty() => return wrong(Mistake::NoFilter),
        "FILTER" if !text.contains(':') => return wrong(Mistake::NoDestination),
        "FILTER" => (triggers(&format!(" {text}")), Effect::Filter(text.to_owned())),
        "PREPEND" if !is_header(text) => return wrong(Mistake::BadHeader),
        // The log says nothing of it.
        "PREPEND" => (String::new(), Effect::Prepend(text.to_owned())),
        _ => match address() {
            None => return wrong(Mistake::BadAddress),
            Some(address) if action == "BCC" => (triggers(&format!(" {text}")), Effect::Bcc(address)),
            Some(address) => (triggers(&format!(" {text}")), Effect::Redirect(address)),
        },
    };
    Ok(Act { name, text, effect })
}

/// A name of printable characters and a colon.
fn is_header(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default().trim_end();
    text.contains(':') && !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// A result may name restrictions and classes, but no tables.
fn by_name(action: &str, source: &str, about: &About<'_>, subject: Subject<'_>) -> Verdict {
    if action.is_empty() {
        return Verdict::Broken(Complaint::Unknown(String::new()), misconfigured());
    }
    if action.contains(':') {
        let (source, result) = (source.to_owned(), action.to_owned());
        return Verdict::Broken(Complaint::TableInResult { source, result }, misconfigured());
    }
    let list = Arc::new(about.vocabulary.list(action));
    let subject = Some((subject.value.to_owned(), subject.class));
    Verdict::List(Nested { list, forbids_permit: None, subject })
}

/// A refusal, and what the log says before it.
struct Refusal {
    reply: Reply,
    mapped: Option<Complaint>,
}

impl Refusal {
    fn told(self, verdict: fn(Reply) -> Verdict) -> Verdict {
        let found = verdict(self.reply);
        match self.mapped {
            Some(mapped) => Verdict::Told(mapped, Box::new(found)),
            None => found,
        }
    }
}

/// The refusal; a text that begins with an enhanced code brings its own, with the class that the code has, or one that
/// fits what is refused.
fn refusal(code: u16, subject: Subject<'_>, text: &str, default: &str) -> Refusal {
    let class = written::class(code);
    let (dsn, text, mapped) = match Dsn::parse_prefix(text) {
        Some((own, rest)) => {
            let fitting = status::fitting(own, subject.class);
            let of = subject.class.to_owned();
            let mapped = (fitting != own).then_some(Complaint::StatusMapped { own, fitting, class: of });
            (fitting.with_class(class), rest, mapped)
        }
        None => (Dsn::new(class, 7, 1), text, None),
    };
    let text = if text.is_empty() { default } else { text };
    let reply = Reply::new(code, dsn, format!("<{}>: {} rejected: {text}", subject.value, subject.class));
    Refusal { reply, mapped }
}

/// A table that cannot be asked is as good as a table that says so: `warn_if_reject` makes a warning of it, too.
fn unanswered(subject: Subject<'_>) -> Verdict {
    let text = format!("<{}>: {} rejected: Server configuration error", subject.value, subject.class);
    Verdict::NotNow(Reply::new(451, Dsn::new(4, 3, 5), text))
}
