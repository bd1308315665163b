//! What DNS and the host table say of a destination: mail exchangers, servers of a service, hosts.
//!
//! Postfix: smtp_addr.c's rules, `smtp_host_lookup`, `use_srv_lookup`, `smtp_dns_resolver_options`.

use super::{Candidate, Dice, NoRoute};
use crate::agents::smtp::settings::Settings;
use mail::Dsn;
use net::Resolver;
use net::dns::{DnsError, Mx, Srv};
use std::net::IpAddr;

/// Hosts of one domain that are looked up; more are not looked at.
const MX_HOSTS_MAX: usize = 100;

/// The port on which a server of ours would be reached: only there mail can loop.
const SMTP_PORT: u16 = 25;

pub(super) struct Find<'a> {
    pub resolver: &'a dyn Resolver,
    pub settings: &'a Settings,
    pub dice: &'a Dice,
    /// The port, where no record names another one.
    pub port: u16,
}

/// A host to be looked up.
struct Host {
    name: String,
    port: u16,
    preference: u16,
}

impl Find<'_> {
    /// Servers of a domain, by its SRV records where they count, else by its MX records.
    pub async fn domain(&self, domain: &str, service: &str) -> Result<Vec<Candidate>, NoRoute> {
        let domain = &*self.resolver.ascii(domain);
        if self.settings.srv_services.iter().any(|s| s == service)
            && let Some(found) = self.servers(domain, service).await?
        {
            return Ok(found);
        }
        let settings = self.settings;
        let mut exchangers =
            match self.search(domain, async |name: String| self.resolver.mx(&name).await).await {
                Ok(exchangers) => exchangers,
                Err(error) if error.is_absent() => return self.host(domain).await,
                Err(error) if error.is_failure() && settings.ignore_mx_lookup_error => {
                    return self.host(domain).await;
                }
                Err(error) => return Err(error.into()),
            };
        exchangers.sort_by_key(|mx| mx.preference);
        let hosts = exchangers.into_iter().map(|Mx { host: name, preference }| Host {
            name,
            port: self.port,
            preference,
        });
        self.not_myself(domain, hosts.collect()).await
    }

    /// Nothing where the records do not count after all.
    async fn servers(&self, domain: &str, service: &str) -> Result<Option<Vec<Candidate>>, NoRoute> {
        let settings = self.settings;
        let name = format!("_{service}._tcp.{domain}");
        let mut servers = match self.resolver.srv(&name).await {
            Ok(servers) => servers,
            Err(error) if error.is_absent() && settings.allow_srv_fallback => return Ok(None),
            Err(error) if error.is_failure() && settings.ignore_srv_lookup_error => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if servers.iter().all(|server| server.host.is_empty()) {
            let reason =
                format!("Domain {domain} does not offer the service {service} (SRV with target `.`)");
            return Err(NoRoute::new(Dsn::new(5, 1, 0), reason));
        }
        servers.retain(|server| !server.host.is_empty());
        let hosts = by_weight(servers, self.dice).into_iter().zip(0..).map(|(server, preference)| Host {
            name: server.host,
            port: server.port,
            preference,
        });
        self.not_myself(domain, hosts.collect()).await.map(Some)
    }

    /// The addresses of hosts, best first, up to ourselves.
    async fn not_myself(&self, domain: &str, hosts: Vec<Host>) -> Result<Vec<Candidate>, NoRoute> {
        let best = hosts.first().map_or(0, |host| host.preference);
        let found = self.exchangers(domain, &hosts).await?;
        let best_found = found.iter().map(|c| c.preference).min();
        let Some(own) = self.own_preference(&found) else { return Ok(found) };
        // RFC 5321 5.1: what we are as good as, we do not send to.
        let better: Vec<Candidate> = found.into_iter().filter(|c| c.preference < own).collect();
        match better.is_empty() {
            false => Ok(better),
            true if best_found != Some(best) => {
                Err(NoRoute::new(Dsn::new(4, 4, 4), format!("unable to find primary relay for {domain}")))
            }
            true => Err(NoRoute::loop_of(domain)),
        }
    }

    /// The addresses of mail exchangers that have some.
    async fn exchangers(&self, domain: &str, hosts: &[Host]) -> Result<Vec<Candidate>, NoRoute> {
        let (mut found, mut failure) = (Vec::new(), None::<NoRoute>);
        for host in hosts.iter().take(MX_HOSTS_MAX) {
            match self.addresses(&host.name).await {
                Ok(addresses) => {
                    let name = self.server_name(&host.name).await;
                    found.extend(addresses.into_iter().map(|address| Candidate {
                        host: name.clone(),
                        address,
                        port: host.port,
                        preference: host.preference,
                    }));
                }
                Err(error) if failure.as_ref().is_some_and(|f| f.dsn.class == 4) && !error.is_temporary() => {
                }
                Err(error) => failure = Some(error.into()),
            }
        }
        match failure {
            Some(mut failure) if found.is_empty() => {
                failure.warning = Some(format!("no MX host for {domain} has a valid address record"));
                if self.settings.defer_if_no_mx_address && failure.dsn.class == 5 {
                    failure.dsn = Dsn::new(4, 4, 4);
                }
                Err(failure)
            }
            _ => Ok(found),
        }
    }

    /// One host.
    pub async fn host(&self, host: &str) -> Result<Vec<Candidate>, NoRoute> {
        let host = &*self.resolver.ascii(host);
        let addresses = self.addresses(host).await?;
        let name = self.server_name(host).await;
        let candidate = |address| Candidate { host: name.clone(), address, port: self.port, preference: 0 };
        let found: Vec<Candidate> = addresses.into_iter().map(candidate).collect();
        if self.own_preference(&found).is_some() { Err(NoRoute::loop_of(host)) } else { Ok(found) }
    }

    /// What a server is called (`smtp_cname_overrides_servername`).
    async fn server_name(&self, host: &str) -> String {
        let settings = self.settings;
        if !settings.cname_overrides || settings.native_lookup || host.parse::<IpAddr>().is_ok() {
            return host.to_owned();
        }
        self.resolver.real_name(host, settings.families).await.unwrap_or_else(|_| host.to_owned())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let settings = self.settings;
        let native = || self.resolver.host_addresses(host, settings.families);
        if settings.native_lookup {
            return native().await;
        }
        let ask = async |name: String| self.resolver.addresses(&name, settings.families).await;
        match self.search(host, ask).await {
            Err(error) if error.is_absent() && settings.native_fallback => native().await,
            answer => answer,
        }
    }

    /// Asks for a name as it is, or as one of a search list's domains (`smtp_dns_resolver_options`).
    async fn search<T>(
        &self,
        name: &str,
        ask: impl AsyncFn(String) -> Result<T, DnsError>,
    ) -> Result<T, DnsError> {
        let mut absent = None;
        for candidate in self.names(name) {
            let is_name = candidate == name;
            match ask(candidate).await {
                Err(error) if error.is_absent() => {
                    // What is told is what was asked for.
                    if is_name || absent.is_none() {
                        absent = Some(DnsError { name: name.to_owned(), ..error });
                    }
                }
                answer => return answer,
            }
        }
        Err(absent.expect("at least the name itself is asked for"))
    }

    /// As res_search(3) does it: names with a dot first as they are, others first below the search list's domains.
    fn names(&self, name: &str) -> Vec<String> {
        let settings = self.settings;
        let has_dot = name.contains('.');
        let wanted = if has_dot { settings.search_parents } else { settings.search_own };
        if !wanted || name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut domains = self.resolver.search_domains();
        if domains.is_empty() {
            domains.extend(settings.myhostname.split_once('.').map(|(_, domain)| domain.to_owned()));
        }
        let domains = domains.iter().take(if settings.search_parents { usize::MAX } else { 1 });
        let mut names: Vec<String> = domains.map(|domain| format!("{name}.{domain}")).collect();
        names.insert(if has_dot { 0 } else { names.len() }, name.to_owned());
        names
    }

    /// The best preference of an address that is our own.
    fn own_preference(&self, found: &[Candidate]) -> Option<u16> {
        let own = |c: &&Candidate| c.port == SMTP_PORT && self.settings.own_addresses.contains(&c.address);
        found.iter().filter(own).map(|c| c.preference).min()
    }
}

/// By priority; within one, by chance that the weight loads (RFC 2782).
fn by_weight(mut servers: Vec<Srv>, dice: &Dice) -> Vec<Srv> {
    servers.sort_by_key(|server| (server.priority, server.weight));
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(first) = servers.first() {
        let same = servers.iter().take_while(|s| s.priority == first.priority).count();
        let total: usize = servers[..same].iter().map(|s| usize::from(s.weight)).sum();
        let mut chance = dice.below(total + 1);
        let chosen = servers[..same].iter().position(|s| {
            let weight = usize::from(s.weight);
            let here = chance <= weight;
            chance = chance.saturating_sub(weight);
            here
        });
        ordered.push(servers.remove(chosen.unwrap_or(0)));
    }
    ordered
}
