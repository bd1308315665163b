//! A resolver whose answers a test writes down.

use super::{DnsError, Lookup, Mx, Problem, Record, RecordType, Records, Resolver};
use crate::Families;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// How long scripted answers may be believed.
const TTL: Duration = Duration::from_secs(60);

/// Answers from a table; what is not in it does not exist.
#[derive(Default)]
pub struct ScriptedResolver {
    mx: HashMap<String, Vec<Mx>>,
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<String>>,
    records: HashMap<(String, RecordType), Vec<Record>>,
    problems: HashMap<(String, RecordType), Problem>,
}

impl ScriptedResolver {
    /// Knows nothing yet.
    pub fn new() -> Self {
        ScriptedResolver::default()
    }

    /// Adds a mail exchanger.
    pub fn with_mx(mut self, domain: &str, preference: u16, host: &str) -> Self {
        self.mx.entry(domain.into()).or_default().push(Mx { preference, host: host.into() });
        self
    }

    /// Adds an address and its name.
    pub fn with_address(mut self, host: &str, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("a test's addresses are addresses");
        self.addresses.entry(host.into()).or_default().push(address);
        self.names.entry(address).or_default().push(host.into());
        self
    }

    /// Adds a record for [`Resolver::records`].
    pub fn with_record(mut self, name: &str, record_type: RecordType, record: Record) -> Self {
        self.records.entry((name.into(), record_type)).or_default().push(record);
        self
    }

    /// Makes one lookup fail.
    pub fn with_problem(mut self, name: &str, record_type: RecordType, problem: Problem) -> Self {
        self.problems.insert((name.into(), record_type), problem);
        self
    }

    fn answer<T: Clone>(
        &self,
        name: &str,
        record_type: RecordType,
        found: Option<&Vec<T>>,
    ) -> Result<Vec<T>, DnsError> {
        let error = |problem| DnsError { problem, name: name.to_string(), record_type };
        if let Some(problem) = self.problems.get(&(name.to_string(), record_type)) {
            return Err(error(*problem));
        }
        let known = self.mx.contains_key(name) || self.addresses.contains_key(name);
        let absent = if known { Problem::NoData } else { Problem::NotFound };
        found.filter(|f| !f.is_empty()).cloned().ok_or_else(|| error(absent))
    }
}

impl Resolver for ScriptedResolver {
    fn mx<'a>(&'a self, domain: &'a str) -> Lookup<'a, Vec<Mx>> {
        let answer = self.answer(domain, RecordType::Mx, self.mx.get(domain));
        Box::pin(async move { answer })
    }

    fn addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>> {
        let of = |v6: bool| {
            let all = self.addresses.get(host).into_iter().flatten();
            Some(all.copied().filter(|ip| ip.is_ipv6() == v6).collect::<Vec<_>>())
        };
        let v4 = families.v4.then(|| self.answer(host, RecordType::A, of(false).as_ref()));
        let v6 = families.v6.then(|| self.answer(host, RecordType::Aaaa, of(true).as_ref()));
        Box::pin(async move { super::system::join_families(v4, v6) })
    }

    fn host_addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>> {
        self.addresses(host, families)
    }

    fn records<'a>(&'a self, name: &'a str, record_type: RecordType) -> Lookup<'a, Records> {
        let answer = self.answer(name, record_type, self.records.get(&(name.to_owned(), record_type)));
        Box::pin(async move { Ok(Records { data: answer?, ttl: TTL }) })
    }

    fn ptr(&self, address: IpAddr) -> Lookup<'_, Vec<String>> {
        let name = address.to_string();
        let answer = self.answer(&name, RecordType::Ptr, self.names.get(&address));
        Box::pin(async move { answer })
    }
}
