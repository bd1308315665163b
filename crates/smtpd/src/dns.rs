//! What restrictions ask of DNS: whether a name exists, and who serves its mail or its zone.

use crate::about::{About, Stage};
use crate::complaint::Complaint;
use crate::restrictions::Verdict;
use mail::{Dsn, Reply};
use net::dns::{ALL_DROPPED, DnsError, Listing, Problem, Record, RecordType};

/// What is found where a name should be able to get mail.
enum Mailhost {
    Exists,
    Null,
    Malformed,
    Unknown,
    TryAgain,
    /// A filter left out what the server said.
    Filtered,
}

impl About<'_> {
    /// The records of a name.
    pub(crate) async fn records(&self, name: &str, record_type: RecordType) -> Result<Vec<Record>, DnsError> {
        let answer = self.dns.records(name, record_type).await;
        self.note(name, record_type, &answer, |records| list(records.iter().map(told)));
        answer
    }

    /// What a list says of a name.
    pub(crate) async fn listing(&self, name: &str) -> Result<Listing, DnsError> {
        let answer = self.dns.listing(name).await;
        self.note(name, RecordType::A, &answer, |listing| match listing.addresses.is_empty() {
            true => "not listed".to_owned(),
            false => list(listing.addresses.iter().map(ToString::to_string)),
        });
        answer
    }

    /// The first text of a name, if it has any and that can be known; an error where a filter left it out.
    pub(crate) async fn text(&self, name: &str) -> Result<Option<String>, DnsError> {
        let answer = self.dns.texts(name).await;
        self.note(name, RecordType::Txt, &answer, |texts| list(texts.iter().map(|t| format!("\"{t}\""))));
        match answer {
            Err(error) if error.problem == Problem::Filtered => Err(error),
            answer => Ok(answer.unwrap_or_default().into_iter().next()),
        }
    }

    fn note<T>(
        &self,
        name: &str,
        record_type: RecordType,
        answer: &Result<T, DnsError>,
        show: impl Fn(&T) -> String,
    ) {
        if let Some(trail) = self.trail {
            let told = answer.as_ref().map_or_else(ToString::to_string, show);
            trail.resolved(format_args!("{name} {record_type}"), &told);
        }
    }

    /// Whether any of these records exists, asked for in order; an error is temporary.
    pub(crate) async fn has_any(&self, name: &str, types: &[RecordType]) -> Result<bool, DnsError> {
        let mut temporary = None;
        for record_type in types {
            match self.records(name, *record_type).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_temporary() => temporary = Some(error),
                Err(_) => {}
            }
        }
        temporary.map_or(Ok(false), Err)
    }

    /// Refuses an address whose domain cannot get mail, unless the domain is ours.
    pub(crate) async fn unknown_domain(&self, address: &mail::Address, stage: Stage) -> Verdict {
        let resolved = match self.resolve(address).await {
            Ok(resolved) => resolved,
            Err(reply) => return Verdict::Unable(reply),
        };
        if resolved.class.is_final() {
            return Verdict::Dunno;
        }
        let text = String::from_utf8_lossy(resolved.address.as_bytes()).into_owned();
        let domain = crate::names::domain_of(&text);
        if domain.is_empty() || domain.starts_with(['[', '#']) {
            return Verdict::Dunno;
        }
        let about = self.at(stage);
        let (codes, detail) = (&self.rules.codes, if stage == Stage::Sender { 8 } else { 2 });
        let refused = |code: u16, dsn, text: &str| Verdict::Refuse(about.refusal(code, dsn, text));
        match about.mailhost(domain).await {
            Mailhost::Exists => Verdict::Dunno,
            Mailhost::Filtered => Verdict::Complain(filtered(&format!("{domain}: MX or address"))),
            Mailhost::Unknown => refused(codes.unknown_address, (4, 1, detail), "Domain not found"),
            Mailhost::Malformed => {
                refused(codes.unknown_address, (4, 1, detail), "Malformed DNS server reply")
            }
            Mailhost::Null => {
                let (code, dsn) = if stage == Stage::Sender { (550, (5, 7, 27)) } else { (556, (5, 1, 10)) };
                refused(code, dsn, &format!("Domain {domain} does not accept mail (nullMX)"))
            }
            Mailhost::TryAgain => {
                let reply = about.refusal(450, (4, 1, detail), "Domain not found");
                self.rules.put_off(self.rules.unknown_address_defers, reply)
            }
        }
    }

    async fn mailhost(&self, domain: &str) -> Mailhost {
        let answer = self.dns.mx(domain).await;
        self.note(domain, RecordType::Mx, &answer, |found| {
            list(found.iter().map(|mx| format!("{} {}.", mx.preference, mx.host)))
        });
        let first = match answer {
            Ok(_) => return Mailhost::Exists,
            Err(error) if error.problem == Problem::NullMx => return Mailhost::Null,
            Err(error) if error.problem == Problem::Filtered => return Mailhost::Filtered,
            Err(error) if error.problem == Problem::Malformed => return Mailhost::Malformed,
            Err(error) => error,
        };
        match self.has_any(domain, &[RecordType::A, RecordType::Aaaa]).await {
            Ok(true) => Mailhost::Exists,
            Ok(false) if !first.is_temporary() => Mailhost::Unknown,
            Err(error) if error.problem == Problem::Filtered => Mailhost::Filtered,
            _ => Mailhost::TryAgain,
        }
    }
}

impl crate::about::Rules {
    /// A refusal because DNS did not answer: at once where `defers`, otherwise only if the rest permits.
    pub(crate) fn put_off(&self, defers: bool, reply: Reply) -> Verdict {
        if defers { Verdict::NotNow(reply) } else { Verdict::DeferIfPermit(reply) }
    }
}

/// Nothing is known where a filter left out everything that the server said.
pub(crate) fn filtered(lookup: &str) -> Complaint {
    Complaint::Lookup(format!("{lookup} lookup error: {ALL_DROPPED}"))
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn told(record: &Record) -> String {
    match record {
        Record::Address(address) => address.to_string(),
        Record::Mx(mx) => format!("{} {}.", mx.preference, mx.host),
        Record::Name(name) => name.clone(),
    }
}

/// `CLASS.SUBJECT.DETAIL` with the class of a code.
pub(crate) fn dsn_of(code: u16, subject: u16, detail: u16) -> Dsn {
    Dsn::new(crate::written::class(code), subject, detail)
}
