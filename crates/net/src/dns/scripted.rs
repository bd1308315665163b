//! A resolver whose answers a test writes down.

use super::{DnsError, Filter, Listing, Lookup, Mx, Problem, Record, RecordType, Resolver, Srv};
use crate::Families;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Answers from a table; what is not in it does not exist.
#[derive(Clone, Default)]
pub struct ScriptedResolver {
    mx: HashMap<String, Vec<Mx>>,
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<String>>,
    records: HashMap<(String, RecordType), Vec<Record>>,
    listings: HashMap<String, Listing>,
    texts: HashMap<String, Vec<String>>,
    aliases: HashMap<String, String>,
    srv: HashMap<String, Vec<Srv>>,
    search_domains: Vec<String>,
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

    /// Says what is behind an alias.
    pub fn with_alias(mut self, alias: &str, host: &str) -> Self {
        self.aliases.insert(alias.into(), host.into());
        self
    }

    /// Adds a server of a service: priority, weight, port and host.
    pub fn with_srv(mut self, name: &str, (priority, weight, port): (u16, u16, u16), host: &str) -> Self {
        let srv = Srv { priority, weight, port, host: host.into() };
        self.srv.entry(name.into()).or_default().push(srv);
        self
    }

    /// Adds a domain to look for names in.
    pub fn with_search_domain(mut self, domain: &str) -> Self {
        self.search_domains.push(domain.into());
        self
    }

    /// Adds a record for [`Resolver::records`].
    pub fn with_record(mut self, name: &str, record_type: RecordType, record: Record) -> Self {
        self.records.entry((name.into(), record_type)).or_default().push(record);
        self
    }

    /// Adds an address that a list gives for a name, believed so many seconds.
    pub fn with_listing(mut self, name: &str, address: &str, seconds: u64) -> Self {
        let listing = self.listings.entry(name.into()).or_default();
        listing.addresses.push(address.parse().expect("a test's addresses are addresses"));
        listing.time_to_live = Some(Duration::from_secs(seconds));
        self
    }

    /// Adds a text of a name.
    pub fn with_text(mut self, name: &str, text: &str) -> Self {
        self.texts.entry(name.into()).or_default().push(text.into());
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

    fn real_name<'a>(&'a self, host: &'a str, _: Families) -> Lookup<'a, String> {
        let name = self.aliases.get(host).map_or(host, String::as_str).to_owned();
        Box::pin(async move { Ok(name) })
    }

    fn srv<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<Srv>> {
        let answer = self.answer(name, RecordType::Srv, self.srv.get(name));
        Box::pin(async move { answer })
    }

    fn search_domains(&self) -> Vec<String> {
        self.search_domains.clone()
    }

    fn records<'a>(&'a self, name: &'a str, record_type: RecordType) -> Lookup<'a, Vec<Record>> {
        let answer = self.answer(name, record_type, self.records.get(&(name.to_owned(), record_type)));
        Box::pin(async move { answer })
    }

    fn ptr(&self, address: IpAddr) -> Lookup<'_, Vec<String>> {
        let name = address.to_string();
        let answer = self.answer(&name, RecordType::Ptr, self.names.get(&address));
        Box::pin(async move { answer })
    }

    fn listing<'a>(&'a self, name: &'a str) -> Lookup<'a, Listing> {
        let problem = self.problems.get(&(name.to_string(), RecordType::A)).copied();
        let error = |problem| DnsError { problem, name: name.to_string(), record_type: RecordType::A };
        let found = self.listings.get(name).cloned().unwrap_or_default();
        let answer = problem.map_or(Ok(found), |problem| Err(error(problem)));
        Box::pin(async move { answer })
    }

    fn texts<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<String>> {
        let answer = self.answer(name, RecordType::Txt, self.texts.get(name));
        Box::pin(async move { answer })
    }

    /// A script says what the one who asks is to hear: no filter counts.
    fn filtered(&self, _: Filter) -> Rc<dyn Resolver> {
        Rc::new(self.clone())
    }
}
