//! From a destination to the addresses to try, in order. RFC 5321 5.1, RFC 7505.

mod find;

use super::destination::Site;
use super::settings::Settings;
use mail::Dsn;
use net::Resolver;
use net::dns::DnsError;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

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
    /// The mail would come back to us.
    pub loops: bool,
}

impl From<DnsError> for NoRoute {
    fn from(error: DnsError) -> Self {
        NoRoute { dsn: error.dsn(), reason: error.to_string(), warning: None, loops: false }
    }
}

impl NoRoute {
    fn new(dsn: Dsn, reason: String) -> Self {
        NoRoute { dsn, reason, warning: None, loops: false }
    }

    fn loop_of(name: &str) -> Self {
        let reason = format!("mail for {name} loops back to myself");
        NoRoute { loops: true, ..NoRoute::new(Dsn::new(5, 4, 6), reason) }
    }
}

/// A host's address with its preference.
#[derive(Clone, Debug)]
struct Candidate {
    host: String,
    address: IpAddr,
    port: u16,
    preference: u16,
}

/// Finds the addresses of a destination, best first, never empty.
pub(super) async fn find(
    site: &Site,
    resolver: &dyn Resolver,
    settings: &Settings,
    dice: &Dice,
) -> Result<Vec<Target>, NoRoute> {
    let mut found = match site {
        Site::Unix { path, shown } => {
            let place = Place::Unix(path.clone(), shown.clone());
            return Ok(vec![Target { host: settings.myhostname.clone(), place, is_best: true }]);
        }
        Site::Inet { name, port, service, mail_exchangers } => {
            let find = find::Find { resolver, settings, dice, port: *port };
            match *mail_exchangers && settings.dns {
                true => find.domain(name, service).await?,
                false => find.host(name).await?,
            }
        }
    };
    order(&mut found, settings, dice);
    let best = found.first().map_or(0, |c| c.preference);
    if settings.balance_families && settings.address_limit > 1 {
        found = balanced(found, settings.address_limit);
    }
    let target = |c: Candidate| Target {
        host: c.host,
        place: Place::Inet(SocketAddr::new(c.address, c.port)),
        is_best: c.preference == best,
    };
    Ok(found.into_iter().map(target).collect())
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
