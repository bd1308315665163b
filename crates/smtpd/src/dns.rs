//! What restrictions ask of DNS: whether a name exists, and who serves its mail or its zone.

use crate::about::{About, Stage};
use crate::restrictions::Verdict;
use mail::{Dsn, Reply};
use net::dns::{DnsError, Record, RecordType, Records};

/// What is found where a name should be able to get mail.
enum Mailhost {
    Exists,
    Null,
    Unknown,
    TryAgain,
}

impl About<'_> {
    /// The records of a name.
    pub(crate) async fn records(&self, name: &str, record_type: RecordType) -> Result<Records, DnsError> {
        let answer = self.dns.records(name, record_type).await;
        if let Some(trail) = self.trail {
            let told = match &answer {
                Ok(records) => records.data.iter().map(told).collect::<Vec<_>>().join(", "),
                Err(error) => error.to_string(),
            };
            trail.resolved(format!("{name} {record_type}"), told);
        }
        answer
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
        let about = About { stage, ..*self };
        let (codes, detail) = (&self.rules.codes, if stage == Stage::Sender { 8 } else { 2 });
        let refused = |code: u16, dsn, text: &str| Verdict::Refuse(about.refusal(code, dsn, text));
        match about.mailhost(domain).await {
            Mailhost::Exists => Verdict::Dunno,
            Mailhost::Unknown => refused(codes.unknown_address, (4, 1, detail), "Domain not found"),
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
        let first = match self.records(domain, RecordType::Mx).await {
            Ok(records) if is_null_mx(&records) => return Mailhost::Null,
            Ok(_) => return Mailhost::Exists,
            Err(error) => error,
        };
        match self.has_any(domain, &[RecordType::A, RecordType::Aaaa]).await {
            Ok(true) => Mailhost::Exists,
            Ok(false) if !first.is_temporary() => Mailhost::Unknown,
            _ => Mailhost::TryAgain,
        }
    }
}

impl crate::about::Rules {
    /// A refusal because DNS did not answer: at once where `defers`, otherwise only if the rest permits.
    pub(crate) fn put_off(&self, defers: bool, reply: Reply) -> Verdict {
        if defers { Verdict::Refuse(reply) } else { Verdict::DeferIfPermit(reply) }
    }
}

fn is_null_mx(records: &Records) -> bool {
    matches!(records.data.as_slice(), [Record::Mx(mx)] if mx.host.is_empty())
}

fn told(record: &Record) -> String {
    match record {
        Record::Address(address) => address.to_string(),
        Record::Mx(mx) => format!("{} {}.", mx.preference, mx.host),
        Record::Name(name) => name.clone(),
        Record::Text(text) => format!("\"{text}\""),
    }
}

/// `CLASS.SUBJECT.DETAIL` with the class of a code.
pub(crate) fn dsn_of(code: u16, subject: u16, detail: u16) -> Dsn {
    Dsn::new(if code / 100 == 4 { 4 } else { 5 }, subject, detail)
}
