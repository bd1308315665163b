//! Accepts recipients for whose domain DNS names this host as a mail exchanger, but not as the first.
//!
//! Postfix: `permit_mx_backup`, with `permit_mx_backup_networks` for who the first ones must be.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::{About, Stage};
use crate::complaint::Complaint;
use crate::names;
use net::dns::{Mx, Record, RecordType};
use tables::lists::AddressList;

pub(super) const KIND: Kind =
    Kind { name: "permit_mx_backup", make: Make::Alone(|| Box::new(This)), guards_relaying: false };

struct This;

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(find(about)))
    }
}

async fn find(about: &About<'_>) -> Verdict {
    let Some(recipient) = about.recipient else { return Verdict::Dunno };
    let resolved = match about.resolve(recipient).await {
        Ok(resolved) => resolved,
        Err(reply) => return Verdict::Refuse(reply),
    };
    if resolved.routed && !about.rules.allow_untrusted_routing {
        return Verdict::Dunno;
    }
    if resolved.class != crate::addresses::Class::Default {
        return Verdict::Permit;
    }
    let text = String::from_utf8_lossy(resolved.address.as_bytes()).into_owned();
    let domain = names::domain_of(&text);
    if domain.is_empty() || domain.starts_with('[') {
        return Verdict::Dunno;
    }
    match about.records(domain, RecordType::Mx).await {
        Ok(records) => backed_up(about, exchangers(records)).await,
        Err(error) if error.is_temporary() => {
            unknown(about, format!("Unable to look up mail exchanger information: {}", error.resolver_text()))
        }
        Err(_) => Verdict::Dunno,
    }
}

/// The exchangers by preference.
fn exchangers(records: Vec<Record>) -> Vec<Mx> {
    let exchanger = |record| match record {
        Record::Mx(mx) if !mx.host.is_empty() => Some(mx),
        _ => None,
    };
    let mut found: Vec<Mx> = records.into_iter().filter_map(exchanger).collect();
    found.sort_by_key(|mx| mx.preference);
    found
}

/// Permits where one of the exchangers is this host, none of the first is, and the first are who they must be. Where
/// a host's addresses are not known, somebody's refusal has to wait until they are.
async fn backed_up(about: &About<'_>, exchangers: Vec<Mx>) -> Verdict {
    let mut doubt = None;
    if !are_we_among(about, &exchangers, &mut doubt).await {
        return doubt.unwrap_or(Verdict::Dunno);
    }
    let best = exchangers.first().map_or(0, |mx| mx.preference);
    let first = exchangers.partition_point(|mx| mx.preference == best);
    let first = &exchangers[..first];
    if are_we_among(about, first, &mut doubt).await {
        return doubt.unwrap_or(Verdict::Dunno);
    }
    match &about.rules.mx_backup_networks {
        Some(networks) => match outside(about, first, networks).await {
            Some(verdict) => doubt.unwrap_or(verdict),
            None => Verdict::Permit,
        },
        None => Verdict::Permit,
    }
}

/// Whether one of the hosts, asked for in order, has an address of ours; the first that could not be asked makes doubt.
async fn are_we_among(about: &About<'_>, hosts: &[Mx], doubt: &mut Option<Verdict>) -> bool {
    for Mx { host, .. } in hosts {
        let found = match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => about.dns.host_addresses(host, about.rules.families).await,
        };
        match found {
            Ok(found) if found.iter().any(|at| about.rules.own_addresses.contains(at)) => return true,
            Ok(_) => {}
            Err(error) => {
                let why = error.system_text();
                let text = format!("Unable to look up mail exchanger host {host}: {why}");
                doubt.get_or_insert_with(|| unknown(about, text));
            }
        }
    }
    false
}

/// What is found where not every address of these hosts, by DNS alone, is known to be in the networks.
async fn outside(about: &About<'_>, hosts: &[Mx], networks: &AddressList) -> Option<Verdict> {
    for Mx { host, .. } in hosts {
        let addresses = match about.dns.addresses(host, about.rules.families).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let why = error.resolver_text();
                return Some(unknown(
                    about,
                    format!("Unable to look up host {host} as mail exchanger: {why}"),
                ));
            }
        };
        for address in addresses {
            match networks.matches(Some(host), address).await {
                Ok(true) => {}
                Ok(false) => return Some(Verdict::Dunno),
                Err(_) => {
                    let log = format!(
                        "all_auth_mx_addr: permit_mx_backup_networks lookup error for address {address} for {host}"
                    );
                    let verdict = unknown(about, format!("Unable to verify host {host} as mail exchanger"));
                    return Some(Verdict::Told(Complaint::Lookup(log), Box::new(verdict)));
                }
            }
        }
    }
    None
}

/// It may be permitted later.
fn unknown(about: &About<'_>, text: String) -> Verdict {
    let about = About { stage: Stage::Recipient, ..*about };
    Verdict::DeferIfReject(about.refusal(450, (4, 4, 4), &text))
}
