//! The resolver over real name servers and /etc/hosts.

use super::hosts::Table;
use super::stub::Stub;
use super::{
    DnsError, Filter, Hosts, Listing, Lookup, Mx, Problem, Record, RecordType, ResolvConf, Resolver, Srv,
};
use crate::Families;
use hickory_proto::rr::{Name, RData, Record as WireRecord};
use mail::domain::Idna;
use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// No answer is believed longer than this, whatever its time to live: who repairs his DNS and flushes the queue
/// must not wait for us, and one question a minute for each busy domain costs nothing.
const CACHE_TIME_MAX: Duration = Duration::from_secs(60);

/// Lists mean what they say, but for a day at most.
const LISTING_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Records taken from one answer; Postfix's dns_rr_limit is the like. More are dropped.
const RECORDS_MAX: usize = 1000;

const DNS_PORT: u16 = 53;

const HOSTS_FILE: &str = "/etc/hosts";

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where names come from.
#[derive(Clone, Debug, Default)]
pub struct SystemResolverSettings {
    /// Name servers (`dns_nameservers`); empty means those of resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// The host table; `None` means /etc/hosts.
    pub hosts_file: Option<PathBuf>,
    /// How long one question may take before it is asked again; `None` means as resolv.conf says, or five seconds.
    pub question_timeout: Option<Duration>,
    /// How names in UTF-8 become ASCII.
    pub idna: Idna,
    /// What the host's files say, read before; nothing where they are read when they are needed.
    pub files: Option<Arc<HostFiles>>,
}

/// What resolv.conf and the host table say, for a process that will not see them any more (chroot).
#[derive(Clone, Debug)]
pub struct HostFiles {
    resolv_conf: ResolvConf,
    hosts: Table,
}

impl HostFiles {
    /// Reads them. A resolv.conf that cannot be read is an error of [`SystemResolver::open`].
    pub fn read() -> HostFiles {
        HostFiles {
            resolv_conf: ResolvConf::read(Path::new(RESOLV_CONF)),
            hosts: Table::read(Path::new(HOSTS_FILE)),
        }
    }
}

impl SystemResolverSettings {
    /// Reads the words of `dns_nameservers`: addresses with or without port (IPv6 with port in brackets). The error
    /// is a word that is none.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut settings = SystemResolverSettings::default();
        for word in words {
            let bare = word.trim_start_matches('[').trim_end_matches(']');
            let server =
                word.parse().or_else(|_| bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT)));
            settings.name_servers.push(server.map_err(|_| word.to_string())?);
        }
        Ok(settings)
    }
}

/// Real name servers behind a bounded memory, and /etc/hosts. Belongs to one event loop; used in a `LocalSet`.
pub struct SystemResolver {
    dns: Rc<Stub>,
    hosts: Rc<Hosts>,
    search: Rc<[String]>,
    idna: Idna,
    filter: Option<Filter>,
}

impl SystemResolver {
    /// Reads resolv.conf unless name servers are given. Nothing is asked yet.
    pub fn open(settings: &SystemResolverSettings) -> io::Result<Self> {
        let said = match (&settings.files, settings.name_servers.as_slice()) {
            (Some(files), []) => files.resolv_conf.clone(),
            (None, []) => ResolvConf::read(Path::new(RESOLV_CONF)),
            (_, named) => ResolvConf::of(named.to_vec()),
        };
        let time = settings.question_timeout.unwrap_or(said.timeout);
        let dns = Stub::new(&said.name_servers.map_err(io::Error::other)?, time, said.attempts);
        let hosts = match &settings.files {
            Some(files) => Hosts::fixed(files.hosts.clone()),
            None => Hosts::open(settings.hosts_file.clone().unwrap_or_else(|| HOSTS_FILE.into())),
        };
        let search = said.search.into();
        let idna = settings.idna;
        Ok(SystemResolver { dns: Rc::new(dns), hosts: Rc::new(hosts), search, idna, filter: None })
    }

    async fn ask<T>(
        &self,
        name: &str,
        record_type: RecordType,
        take: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        let name = &*self.ascii(name);
        let error = |problem| DnsError { problem, name: name.to_string(), record_type };
        let answer = self.dns.ask(name, record_type, CACHE_TIME_MAX).await.map_err(error)?;
        let found = self.kept(&answer.records, take).await.map_err(error)?;
        if found.is_empty() {
            return Err(error(if answer.is_gone { Problem::NotFound } else { Problem::NoData }));
        }
        Ok(found)
    }

    /// What the records say, where the filter keeps them; an error where it keeps none.
    async fn kept<T>(
        &self,
        records: &[WireRecord],
        take: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let mut found = Vec::new();
        let mut dropped = false;
        for record in records {
            let Some(taken) = take(&record.data) else { continue };
            match &self.filter {
                Some(filter) if !filter.keeps(record).await? => dropped = true,
                _ => found.push(taken),
            }
            if found.len() == RECORDS_MAX {
                break;
            }
        }
        if found.is_empty() && dropped { Err(Problem::Filtered) } else { Ok(found) }
    }

    async fn both_families(&self, host: &str, families: Families) -> Result<Vec<IpAddr>, DnsError> {
        let four = async {
            let take = |data: &RData| if let RData::A(a) = data { Some(IpAddr::V4(a.0)) } else { None };
            if families.v4 { Some(self.ask(host, RecordType::A, take).await) } else { None }
        };
        let six = async {
            let take = |data: &RData| if let RData::AAAA(a) = data { Some(IpAddr::V6(a.0)) } else { None };
            if families.v6 { Some(self.ask(host, RecordType::Aaaa, take).await) } else { None }
        };
        let (four, six) = tokio::join!(four, six);
        join_families(four, six)
    }

    /// The same, with another filter.
    fn with(&self, filter: Option<Filter>) -> SystemResolver {
        let (dns, hosts, search) = (self.dns.clone(), self.hosts.clone(), self.search.clone());
        SystemResolver { dns, hosts, search, idna: self.idna, filter }
    }
}

/// One answer from those of both families; `None` where a family was not asked.
pub(super) fn join_families(
    v4: Option<Result<Vec<IpAddr>, DnsError>>,
    v6: Option<Result<Vec<IpAddr>, DnsError>>,
) -> Result<Vec<IpAddr>, DnsError> {
    match (v4, v6) {
        (Some(Ok(mut four)), Some(Ok(six))) => {
            four.extend(six);
            Ok(four)
        }
        (Some(Ok(found)), _) | (_, Some(Ok(found))) => Ok(found),
        (Some(Err(four)), Some(Err(six))) => {
            Err(if four.is_temporary() && !six.is_temporary() { four } else { six })
        }
        (Some(Err(error)), None) | (None, Some(Err(error))) => Err(error),
        (None, None) => {
            Err(DnsError { problem: Problem::NoData, name: String::new(), record_type: RecordType::A })
        }
    }
}

/// A name as text without final dot, where it is a valid host name.
fn host_name(name: &Name) -> Option<String> {
    let text = clean_name(name)?;
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let hyphen = text.split('.').any(|label| label.ends_with('-'));
    (!numeric && !hyphen).then_some(text)
}

/// A name as text without final dot that holds nothing but what host names are made of.
fn clean_name(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let clean = !text.is_empty()
        && text.len() <= 255
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    clean.then(|| text.to_string())
}

/// What a record says, where it is of the type that was asked for.
fn record(data: &RData, record_type: RecordType) -> Option<Record> {
    match (data, record_type) {
        (RData::A(a), RecordType::A) => Some(Record::Address(a.0.into())),
        (RData::AAAA(a), RecordType::Aaaa) => Some(Record::Address(a.0.into())),
        (RData::NS(name), RecordType::Ns) => host_name(&name.0).map(Record::Name),
        (RData::PTR(name), RecordType::Ptr) => clean_name(&name.0).map(Record::Name),
        (RData::MX(mx), RecordType::Mx) => {
            let host = if mx.exchange.is_root() { Some(String::new()) } else { exchanger(&mx.exchange) };
            Some(Record::Mx(Mx { preference: mx.preference, host: host? }))
        }
        _ => None,
    }
}

/// The record says that its domain takes no mail.
fn is_null_mx(record: &Record) -> bool {
    matches!(record, Record::Mx(mx) if mx.host.is_empty())
}

/// A mail exchanger's name. Addresses are forbidden there (RFC 1035 3.3.9), but common, and Postfix uses them.
fn exchanger(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    let address = text.trim_end_matches('.').parse::<Ipv4Addr>().ok();
    host_name(name).or_else(|| Some(address?.to_string()))
}

impl Resolver for SystemResolver {
    fn ascii<'a>(&self, name: &'a str) -> Cow<'a, str> {
        mail::domain::to_ascii(name, self.idna).unwrap_or(Cow::Borrowed(name))
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Lookup<'a, Vec<Mx>> {
        Box::pin(async move {
            let found = self
                .ask(domain, RecordType::Mx, |data| match data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.clone())),
                    _ => None,
                })
                .await?;
            let error = |problem| DnsError { problem, name: domain.to_string(), record_type: RecordType::Mx };
            // One such record says it, whatever else the domain has.
            if found.iter().any(|(_, host)| host.is_root()) {
                return Err(error(Problem::NullMx));
            }
            let valid: Vec<Mx> = found
                .iter()
                .filter_map(|(preference, host)| Some(Mx { preference: *preference, host: exchanger(host)? }))
                .collect();
            if valid.is_empty() { Err(error(Problem::Malformed)) } else { Ok(valid) }
        })
    }

    fn addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>> {
        Box::pin(self.both_families(host, families))
    }

    fn host_addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>> {
        Box::pin(async move {
            let host = &*self.ascii(host);
            let known = self.hosts.addresses(host, families);
            if !known.is_empty() {
                return Ok(known);
            }
            match self.filter {
                Some(_) => self.with(None).both_families(host, families).await,
                None => self.both_families(host, families).await,
            }
        })
    }

    fn real_name<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, String> {
        Box::pin(async move {
            for (record_type, asked) in [(RecordType::A, families.v4), (RecordType::Aaaa, families.v6)] {
                // A host without such addresses may have others; who asks here knows that it has some.
                if asked && let Ok(answer) = self.dns.ask(host, record_type, CACHE_TIME_MAX).await {
                    let owner = answer.records.last().and_then(|record| clean_name(&record.name));
                    if let Some(owner) = owner {
                        return Ok(owner);
                    }
                }
            }
            Ok(host.to_owned())
        })
    }

    fn srv<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<Srv>> {
        Box::pin(self.ask(name, RecordType::Srv, |data| {
            let RData::SRV(srv) = data else { return None };
            let host = if srv.target.is_root() { String::new() } else { host_name(&srv.target)? };
            Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, host })
        }))
    }

    fn search_domains(&self) -> Vec<String> {
        self.search.to_vec()
    }

    fn records<'a>(&'a self, name: &'a str, record_type: RecordType) -> Lookup<'a, Vec<Record>> {
        Box::pin(async move {
            let mut found = self.ask(name, record_type, move |data| record(data, record_type)).await?;
            if let Some(null) = found.iter().position(is_null_mx) {
                found = vec![found.swap_remove(null)];
            }
            Ok(found)
        })
    }

    fn ptr(&self, address: IpAddr) -> Lookup<'_, Vec<String>> {
        Box::pin(async move {
            let known = self.hosts.names(address);
            if !known.is_empty() {
                return Ok(known);
            }
            let name = Name::from(address).to_ascii();
            let name = name.strip_suffix('.').unwrap_or(&name);
            let take = |data: &RData| if let RData::PTR(ptr) = data { clean_name(&ptr.0) } else { None };
            self.ask(name, RecordType::Ptr, take).await
        })
    }

    fn listing<'a>(&'a self, name: &'a str) -> Lookup<'a, Listing> {
        Box::pin(async move {
            let name = &*self.ascii(name);
            let error = |problem| DnsError { problem, name: name.to_string(), record_type: RecordType::A };
            let answer = self.dns.ask(name, RecordType::A, LISTING_TIME_MAX).await.map_err(error)?;
            let take = |data: &RData| if let RData::A(a) = data { Some(a.0) } else { None };
            let addresses = self.kept(&answer.records, take).await.map_err(error)?;
            Ok(Listing { addresses, time_to_live: answer.time_to_live() })
        })
    }

    fn texts<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<String>> {
        Box::pin(self.ask(name, RecordType::Txt, |data| match data {
            RData::TXT(txt) => Some(printable(txt.txt_data.iter().flat_map(|string| string.iter()))),
            _ => None,
        }))
    }

    fn filtered(&self, filter: Filter) -> Rc<dyn Resolver> {
        Rc::new(self.with(Some(filter)))
    }
}

/// Octets as text, with a blank for what is not printable ASCII, as Postfix has it.
pub(super) fn printable<'a>(octets: impl Iterator<Item = &'a u8>) -> String {
    octets.map(|b| if (b' '..=b'~').contains(b) { *b as char } else { ' ' }).collect()
}

#[cfg(test)]
mod tests;
