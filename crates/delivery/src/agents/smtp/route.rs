//! From a destination to the addresses to try, in order. RFC 5321 5.1, RFC 7505.

use super::destination::Site;
use super::settings::Settings;
use mail::Dsn;
use net::Resolver;
use net::dns::{DnsError, Mx};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Hosts of one domain that are looked up; more are not looked at.
const MX_HOSTS_MAX: usize = 100;

/// The port on which a server of ours would be reached: only there mail can loop.
const SMTP_PORT: u16 = 25;

/// An address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The host's name.
    pub host: String,
    /// Where to connect.
    pub place: Place,
    /// Of the hosts found, none is preferred to this one.
    pub is_best: bool,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A TCP port.
    Inet(SocketAddr),
    /// A socket, and how it was written.
    Unix(PathBuf, String),
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoRoute {
    /// Enhanced code.
    pub dsn: Dsn,
    /// The reason.
    pub reason: String,
    /// A warning that goes with it.
    pub warning: Option<String>,
}

impl From<DnsError> for NoRoute {
    fn from(error: DnsError) -> Self {
        NoRoute { dsn: error.dsn(), reason: error.to_string(), warning: None }
    }
}

impl NoRoute {
    fn new(dsn: Dsn, reason: String) -> Self {
        NoRoute { dsn, reason, warning: None }
    }
}

/// A host's address with its preference.
#[derive(Clone, Debug)]
struct Candidate {
    host: String,
    address: IpAddr,
    preference: u16,
}

/// Finds the addresses of a destination, best first, never empty.
pub(super) async fn find(
    site: &Site,
    resolver: &dyn Resolver,
    settings: &Settings,
    dice: &Dice,
) -> Result<Vec<Target>, NoRoute> {
    let (name, port, mail_exchangers) = match site {
        Site::Unix { path, shown } => {
            let place = Place::Unix(path.clone(), shown.clone());
            return Ok(vec![Target { host: settings.myhostname.clone(), place, is_best: true }]);
        }
        Site::Inet { name, port, mail_exchangers } => (name.as_str(), *port, *mail_exchangers),
    };
    let find = Find { resolver, settings, may_loop: port == SMTP_PORT };
    let mut found = if mail_exchangers { find.domain(name).await? } else { find.host(name).await? };
    order(&mut found, settings, dice);
    let best = found.first().map_or(0, |c| c.preference);
    if settings.balance_families && settings.address_limit > 1 {
        found = balanced(found, settings.address_limit);
    }
    let target = |c: Candidate| Target {
        host: c.host,
        place: Place::Inet(SocketAddr::new(c.address, port)),
        is_best: c.preference == best,
    };
    Ok(found.into_iter().map(target).collect())
}

struct Find<'a> {
    resolver: &'a dyn Resolver,
    settings: &'a Settings,
    may_loop: bool,
}

impl Find<'_> {
    async fn domain(&self, domain: &str) -> Result<Vec<Candidate>, NoRoute> {
        let mut exchangers = match self.resolver.mx(domain).await {
            Ok(exchangers) => exchangers,
            Err(error) if error.is_absent() => return self.host(domain).await,
            Err(error) => return Err(error.into()),
        };
        exchangers.sort_by_key(|mx| mx.preference);
        let best = exchangers.first().map_or(0, |mx| mx.preference);
        let found = self.exchangers(domain, &exchangers).await?;
        let best_found = found.iter().map(|c| c.preference).min();
        let Some(own) = self.own_preference(&found) else { return Ok(found) };
        // RFC 5321 5.1: what we are as good as, we do not send to.
        let better: Vec<Candidate> = found.into_iter().filter(|c| c.preference < own).collect();
        match better.is_empty() {
            false => Ok(better),
            true if best_found != Some(best) => {
                Err(NoRoute::new(Dsn::new(4, 4, 4), format!("unable to find primary relay for {domain}")))
            }
            true => Err(loops(domain)),
        }
    }

    /// The addresses of mail exchangers that have some.
    async fn exchangers(&self, domain: &str, exchangers: &[Mx]) -> Result<Vec<Candidate>, NoRoute> {
        let (mut found, mut failure) = (Vec::new(), None::<NoRoute>);
        for mx in exchangers.iter().take(MX_HOSTS_MAX) {
            match self.addresses(&mx.host).await {
                Ok(addresses) => found.extend(addresses.into_iter().map(|address| Candidate {
                    host: mx.host.clone(),
                    address,
                    preference: mx.preference,
                })),
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

    async fn host(&self, host: &str) -> Result<Vec<Candidate>, NoRoute> {
        let addresses = self.addresses(host).await?;
        let candidate = |address| Candidate { host: host.to_string(), address, preference: 0 };
        let found: Vec<Candidate> = addresses.into_iter().map(candidate).collect();
        if self.own_preference(&found).is_some() { Err(loops(host)) } else { Ok(found) }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        match self.settings.native_lookup {
            true => self.resolver.host_addresses(host, self.settings.families).await,
            false => self.resolver.addresses(host, self.settings.families).await,
        }
    }

    /// The best preference of an address that is our own.
    fn own_preference(&self, found: &[Candidate]) -> Option<u16> {
        let own = |c: &&Candidate| self.may_loop && self.settings.own_addresses.contains(&c.address);
        found.iter().filter(own).map(|c| c.preference).min()
    }
}

fn loops(name: &str) -> NoRoute {
    NoRoute::new(Dsn::new(5, 4, 6), format!("mail for {name} loops back to myself"))
}

/// By preference, then by family where one is preferred, then as the dice fall.
fn order(found: &mut [Candidate], settings: &Settings, dice: &Dice) {
    if settings.randomize {
        for n in (1..found.len()).rev() {
            found.swap(n, dice.below(n + 1));
        }
    }
    let family = |c: &Candidate| settings.prefer_v6.is_some_and(|v6| c.address.is_ipv6() != v6);
    found.sort_by_key(|c| (c.preference, family(c)));
}

/// Leaves out addresses of a family that would fill the limit alone (`smtp_balance_inet_protocols`).
fn balanced(found: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    let v6 = found.iter().filter(|c| c.address.is_ipv6()).count();
    let v4 = found.len() - v6;
    if found.len() <= limit || v4 == 0 || v6 == 0 {
        return found;
    }
    let half = limit / 2;
    let v6_max = if v4 < half { limit - v4 } else { v6.min(limit - half) };
    let v4_max = limit - v6_max.min(v6);
    let (mut v4_left, mut v6_left) = (v4_max, v6_max);
    let mut keep = |c: &Candidate| {
        let left = if c.address.is_ipv6() { &mut v6_left } else { &mut v4_left };
        let room = *left > 0;
        *left = left.saturating_sub(1);
        room
    };
    found.into_iter().filter(|c| keep(c)).collect()
}

/// Random enough to spread load over servers of equal preference; loop-local.
#[derive(Debug)]
pub(super) struct Dice(Cell<u64>);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Dice(Cell::new(seed | 1))
    }

    /// A number below `n`.
    fn below(&self, n: usize) -> usize {
        // xorshift64*
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }
}

#[cfg(test)]
mod tests;
