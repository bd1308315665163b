//! Access tables asked for the hosts behind a name: its addresses, its mail exchangers, its name servers
//! (`check_…_a_access`, `…_mx_access`, `…_ns_access`).

use crate::about::About;
use crate::access::{self, Subject};
use crate::complaint::Complaint;
use crate::list::Nested;
use crate::names;
use crate::restrictions::{Verdict, misconfigured};
use net::dns::{DnsError, Problem, Record, RecordType};
use std::net::IpAddr;
use tables::Table;

/// Which hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The name's own host.
    A,
    /// Its mail exchangers, or the host itself where it has none.
    Mx,
    /// Its name servers, or those of the zone above.
    Ns,
}

/// Whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client's verified name.
    Client,
    /// The name that the client's address leads to.
    ReverseClient,
    /// The HELO name.
    Helo,
    /// The sender's domain.
    Sender,
    /// The recipient's domain.
    Recipient,
}

impl Of {
    fn label(self) -> &'static str {
        match self {
            Of::A => "A",
            Of::Mx => "MX",
            Of::Ns => "NS",
        }
    }
}

/// Asks the table for each host's name and addresses. What it permits is a mistake: whoever owns the name could
/// choose the hosts.
pub async fn check(
    table: &Table,
    about: &About<'_>,
    of: Of,
    whose: Whose,
    restriction: &'static str,
) -> Verdict {
    let (client, text);
    let (name, class): (&str, &'static str) = match whose {
        Whose::Client => (&about.client.name, "Client host"),
        Whose::ReverseClient => (&about.client.reverse_name, "Unverified Client host"),
        Whose::Helo => (about.helo.unwrap_or_default(), "Helo command"),
        Whose::Sender | Whose::Recipient => {
            let (address, class) = match whose {
                Whose::Sender => (about.sender, "Sender address"),
                _ => (about.recipient, "Recipient address"),
            };
            text = String::from_utf8_lossy(address.map_or(b"", mail::Address::as_bytes)).into_owned();
            (&text, class)
        }
    };
    let is_client = matches!(whose, Whose::Client | Whose::ReverseClient);
    if name.is_empty() || (is_client && name == crate::peer::UNKNOWN) {
        return Verdict::Dunno;
    }
    let value = match whose {
        Whose::Client => {
            client = &about.client.name_and_address;
            client.as_str()
        }
        _ => name,
    };
    let subject = Subject { value, class };
    let verdict = match hosts(about, of, name, subject).await {
        Ok(hosts) => ask(table, about, of, subject, hosts).await,
        Err(verdict) => verdict,
    };
    forbid_permit(verdict, restriction, value)
}

/// What a restriction finds that must not permit: who owns the name could choose what it leads to.
pub(crate) fn forbid_permit(verdict: Verdict, restriction: &'static str, value: &str) -> Verdict {
    let wrong = || Complaint::ForbidsPermit { restriction, value: value.to_owned() };
    match verdict {
        Verdict::Permit => Verdict::Broken(wrong(), misconfigured()),
        Verdict::Granted(grant) => Verdict::Ungranted(grant, wrong()),
        Verdict::List(nested) => Verdict::List(Nested { forbids_permit: Some(wrong()), ..nested }),
        other => other,
    }
}

/// A host: by its name, or an address that stood in the place of a name.
enum Host {
    Name(String),
    Address(IpAddr),
}

/// The hosts behind the domain of a name or address.
async fn hosts(about: &About<'_>, of: Of, name: &str, subject: Subject<'_>) -> Result<Vec<Host>, Verdict> {
    let domain = name.rsplit_once('@').map_or(name, |(_, domain)| domain);
    if domain.starts_with('[') {
        return match names::literal(domain) {
            Some(address) if of != Of::Ns => Ok(vec![Host::Address(address)]),
            _ => Err(Verdict::Dunno),
        };
    }
    if domain.is_empty() {
        return Err(Verdict::Dunno);
    }
    // From here on as Postfix has it: tables and the log see the name that DNS does.
    let domain = &*about.dns.ascii(domain);
    if of == Of::A {
        return Ok(vec![Host::Name(names::without_dot(domain).to_owned())]);
    }
    let record_type = if of == Of::Mx { RecordType::Mx } else { RecordType::Ns };
    let mut asked = domain;
    let found = loop {
        match about.records(asked, record_type).await {
            // The zone above serves it.
            Err(error) if of == Of::Ns && error.is_absent() => match asked.split_once('.') {
                Some((_, above)) if above.contains('.') => asked = above,
                // A final dot is no part of a host's name.
                _ if domain.ends_with('.') => break Err(DnsError { problem: Problem::NotFound, ..error }),
                _ => break Err(error),
            },
            found => break found,
        }
    };
    match found {
        Ok(records) => {
            let name = |record: Record| match record {
                Record::Mx(mx) => Some(mx.host).filter(|host| !host.is_empty()),
                Record::Name(name) => Some(name),
                _ => None,
            };
            Ok(records.into_iter().filter_map(name).map(Host::Name).collect())
        }
        Err(error) if of == Of::Mx && error.is_absent() => Ok(vec![Host::Name(domain.to_owned())]),
        // Postfix names what was asked where it may be found later, and what it was asked for where it is not.
        Err(error) if error.is_temporary() => Err(complain(of, subject, None, &error, domain)),
        Err(error) => Err(complain(of, subject, None, &error, name)),
    }
}

fn complain(of: Of, subject: Subject<'_>, host: Option<&str>, error: &DnsError, name: &str) -> Verdict {
    let text = match host {
        None => format!("Unable to look up {} host for {name}: {}", of.label(), error.resolver_text()),
        Some(host) => format!(
            "Unable to look up {} host {host} for {} {}: {}",
            of.label(),
            subject.class,
            subject.value,
            error.system_text()
        ),
    };
    Verdict::Complain(Complaint::Lookup(text))
}

/// The first host, by name and then by its addresses, that the table knows decides.
async fn ask(table: &Table, about: &About<'_>, of: Of, subject: Subject<'_>, hosts: Vec<Host>) -> Verdict {
    let mut complaint = None;
    for host in hosts {
        let addresses = match &host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                // A name that is asked for its own address is a matter of the other tables.
                if of != Of::A {
                    match access::name_and_parents(table, name, about, subject).await {
                        Verdict::Dunno => {}
                        decided => return decided,
                    }
                }
                let known = name.parse().map(|address| vec![address]);
                let found = match known {
                    Ok(addresses) => Ok(addresses),
                    Err(_) => about.dns.host_addresses(name, about.rules.families).await,
                };
                match found {
                    Ok(addresses) => addresses,
                    Err(_) if of == Of::A => continue,
                    Err(error) => {
                        complaint = Some(complain(of, subject, Some(name), &error, name));
                        continue;
                    }
                }
            }
        };
        for address in addresses {
            match access::numbers(table, address, about, subject).await {
                Verdict::Dunno => {}
                decided => return decided,
            }
        }
    }
    complaint.unwrap_or(Verdict::Dunno)
}
