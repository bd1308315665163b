//! Lists in DNS: blocked and allowed clients, names and domains (RBL, RHSBL, DNSWL; RFC 5782).

use crate::about::About;
use crate::complaint::Complaint;
use crate::dns::{dsn_of, filtered};
use crate::dns_lists::{Pattern, reversed};
use crate::restrictions::{Verdict, misconfigured};
use crate::written;
use mail::{Address, Dsn, Reply};
use std::net::Ipv4Addr;
use tables::Lookup;
use tables::search::Key;

/// Bytes of a list's text in a reply at most.
const REASON_MAX: usize = 400;

/// A list: its domain, and which of its answers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsList {
    /// As it is written, which is what tables of replies are asked for.
    pub domain: String,
    pattern: Option<Pattern>,
}

/// Who is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client's address.
    ClientAddress,
    /// The client's verified name.
    ClientName,
    /// The name that the client's address leads to.
    ReverseName,
    /// The HELO name.
    Helo,
    /// The sender's domain.
    Sender,
    /// The recipient's domain.
    Recipient,
}

impl DnsList {
    /// Reads `domain` or `domain=d.d.d.d` with `[n;m..k]` for an octet.
    pub fn parse(word: &str) -> Result<DnsList, String> {
        let (domain, pattern) = match word.split_once('=') {
            Some((domain, pattern)) => (domain, Some(Pattern::parse(pattern)?)),
            None => (word, None),
        };
        if domain.is_empty() {
            return Err("no domain".to_owned());
        }
        Ok(DnsList { domain: domain.to_owned(), pattern })
    }

    /// Whether an answer counts.
    pub fn counts(&self, answer: Ipv4Addr) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(answer))
    }
}

impl About<'_> {
    /// What is looked up: the name in front of the list's domain, and how the reply calls it.
    fn listed_as(&self, who: Who) -> Option<(String, String, &'static str)> {
        let text = |address: Option<&Address>| {
            let address = address.filter(|address| !address.is_null())?;
            Some(String::from_utf8_lossy(address.as_bytes()).into_owned())
        };
        let known = |name: &str| Some(name.to_owned()).filter(|name| name != crate::peer::UNKNOWN);
        let (what, class) = match who {
            Who::ClientAddress => {
                let address = self.client.known_address()?;
                return Some((reversed(address), address.to_string(), "Client host"));
            }
            Who::ClientName => (known(&self.client.name)?, "Client host"),
            Who::ReverseName => (known(&self.client.reverse_name)?, "Unverified Client host"),
            Who::Helo => (self.helo?.to_owned(), "Helo command"),
            Who::Sender => (text(self.sender)?, "Sender address"),
            Who::Recipient => (text(self.recipient)?, "Recipient address"),
        };
        let domain = what.rsplit_once('@').map_or(what.as_str(), |(_, domain)| domain);
        let is_name = mail::domain::is_host_name(domain.as_bytes(), true);
        is_name.then(|| (domain.to_owned(), what.clone(), class))
    }

    /// Refuses who stands in a list.
    pub(crate) async fn blocked(&self, list: &DnsList, who: Who) -> Verdict {
        let Some((name, what, class)) = self.listed_as(who) else { return Verdict::Dunno };
        let query = format!("{name}.{}", list.domain);
        match self.listing(&query).await {
            Ok(found) if found.addresses.iter().any(|answer| list.counts(*answer)) => {
                let reason = self.reason(&query).await;
                let told = reason.as_deref().unwrap_or_default();
                let verdict = self.blocked_reply(list, &what, class, told).await;
                match reason {
                    Some(_) => verdict,
                    None => Verdict::Told(filtered(&format!("{query}: TXT")), Box::new(verdict)),
                }
            }
            Err(error) => Verdict::Complain(Complaint::Blocklist { query, reason: error.to_string() }),
            Ok(_) => Verdict::Dunno,
        }
    }

    /// Permits who stands in a list of allowed ones.
    pub(crate) async fn allowed(&self, list: &DnsList, who: Who) -> Verdict {
        let Some((name, what, class)) = self.listed_as(who) else { return Verdict::Dunno };
        let query = format!("{name}.{}", list.domain);
        match self.listing(&query).await {
            Ok(found) if found.addresses.iter().any(|answer| list.counts(*answer)) => Verdict::Permit,
            Err(error) => {
                let text = format!("<{what}>: {class} rejected: Service unavailable");
                let reply = Reply::new(450, Dsn::new(4, 7, 1), text);
                let complaint = Complaint::Blocklist { query, reason: error.to_string() };
                Verdict::Told(complaint, Box::new(Verdict::DeferIfReject(reply)))
            }
            Ok(_) => Verdict::Dunno,
        }
    }

    /// The list's own words; nothing where a filter left them out.
    async fn reason(&self, query: &str) -> Option<String> {
        let mut text = self.text(query).await.ok()?.unwrap_or_default();
        // Printable ASCII, so any place will do.
        text.truncate(REASON_MAX);
        Some(text)
    }

    async fn blocked_reply(&self, list: &DnsList, what: &str, class: &str, reason: &str) -> Verdict {
        let replies = &self.rules.blocklist_replies;
        let key = Key { text: list.domain.clone(), part: false };
        let template = match replies.by_domain.lookup(&key).await {
            Lookup::Found(template) => template.to_string(),
            Lookup::NotFound => replies.default.clone(),
            Lookup::TempFail(_) => {
                let tables: Vec<_> = replies.by_domain.tables().iter().map(tables::Table::spec).collect();
                let lookup = format!("{} lookup error for \"{}\"", tables.join(" "), list.domain);
                return Verdict::Broken(Complaint::Lookup(lookup), misconfigured());
            }
        };
        let code = self.rules.codes.maps_rbl;
        let code_text = code.to_string();
        let own = [
            ("rbl_code", code_text.as_str()),
            ("rbl_domain", list.domain.as_str()),
            ("rbl_reason", reason),
            ("rbl_txt", reason),
            ("rbl_class", class),
            ("rbl_what", what),
        ];
        let text = match self.macros(&own).expand(&template, &self.rules.expansion_filter) {
            Ok(text) => text,
            Err(wrong) => {
                let complaint = Complaint::Template { domain: list.domain.clone(), wrong };
                return Verdict::Broken(complaint, misconfigured());
            }
        };
        match reply_of(&text) {
            Some(reply) => Verdict::Refuse(reply),
            None => {
                let complaint = Complaint::Lookup(format!("rbl response code configuration error: {text}"));
                let reply = Reply::new(450, Dsn::new(4, 7, 1), "Service unavailable");
                Verdict::Told(complaint, Box::new(Verdict::Refuse(reply)))
            }
        }
    }
}

/// The reply that a text says: a code, perhaps an enhanced code, and words.
fn reply_of(text: &str) -> Option<Reply> {
    let (code, rest) = written::code(text, &[' '])?;
    let (dsn, words) = written::status(code, rest.trim_start());
    Some(Reply::new(code, dsn.unwrap_or(dsn_of(code, 7, 1)), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_say_which_answers_count() {
        let counts = |list: &str, answer: &str| DnsList::parse(list).unwrap().counts(answer.parse().unwrap());
        assert!(counts("bl.example", "127.0.0.2"));
        assert!(counts("bl.example=127.0.0.2", "127.0.0.2"));
        assert!(!counts("bl.example=127.0.0.2", "127.0.0.3"));
        assert!(counts("bl.example=127.0.0.[2..4;9]", "127.0.0.9"));
        assert!(!counts("bl.example=127.0.0.[2..4;9]", "127.0.0.5"));
        assert!(counts("bl.example=127.[0..255].0.[1..3]", "127.7.0.3"));
    }

    #[test]
    fn wrong_filters_are_told() {
        for wrong in [
            "=127.0.0.1",
            "a=",
            "a=127.0.0",
            "a=127.0.0.1.1",
            "a=127.0.0.[1",
            "a=127.0.0.[3..1]",
            "a=x.0.0.1",
        ] {
            assert!(DnsList::parse(wrong).is_err(), "{wrong}");
        }
    }
}
