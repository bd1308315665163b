//! How many sessions each client has (`smtpd_client_connection_count_limit`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts sessions by service and network; shared by all event loops of a process.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<HashMap<Key, u32>>>);

/// Service and network.
type Key = (Arc<str>, IpAddr);

/// A counted session; dropping it uncounts it.
#[derive(Debug)]
pub struct Counted {
    clients: Clients,
    key: Key,
    /// How many sessions the network had, this one included.
    pub count: u32,
}

impl Clients {
    /// Counts a session with a client of the network of `address`.
    pub fn count(&self, service: &Arc<str>, address: IpAddr, bits: (u32, u32)) -> Counted {
        let key = (Arc::clone(service), network(address, bits));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        *count += 1;
        Counted { clients: self.clone(), key, count: *count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// The address with only its first bits (for IPv4, for IPv6).
fn network(address: IpAddr, bits: (u32, u32)) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - bits.0.min(32)).unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - bits.1.min(128)).unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_network_count_together_and_leave_nothing_behind() {
        let clients = Clients::default();
        let smtp: Arc<str> = "smtp".into();
        let a = clients.count(&smtp, "192.0.2.1".parse().unwrap(), (24, 84));
        let b = clients.count(&smtp, "192.0.2.9".parse().unwrap(), (24, 84));
        let c = clients.count(&smtp, "192.0.3.9".parse().unwrap(), (24, 84));
        assert_eq!((a.count, b.count, c.count), (1, 2, 1));
        drop((a, b, c));
        assert!(clients.0.lock().unwrap().is_empty());
        assert_eq!(network("2001:db8::1".parse().unwrap(), (32, 0)), "::".parse::<IpAddr>().unwrap());
    }
}
