//! How many connections each client has (`postscreen_client_connection_count_limit`).
//!
//! Not the process's anvil: what that counts goes into its statistics, and postscreen's clients are none of those.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections by address, on all event loops. It holds open connections alone, which descriptors bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// A counted connection; dropping it uncounts it.
#[derive(Debug)]
pub(super) struct Counted {
    clients: Clients,
    address: IpAddr,
    /// How many connections the client had, this one included.
    pub(super) count: u32,
}

impl Clients {
    /// Counts a connection with a client.
    pub(super) fn count(&self, address: IpAddr) -> Counted {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        *count += 1;
        Counted { clients: self.clone(), address, count: *count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_address_count_together_and_leave_nothing_behind() {
        let clients = Clients::default();
        let a = clients.count("192.0.2.1".parse().unwrap());
        let b = clients.count("192.0.2.1".parse().unwrap());
        let c = clients.count("192.0.2.9".parse().unwrap());
        assert_eq!((a.count, b.count, c.count), (1, 2, 1));
        drop((a, b, c));
        assert!(clients.0.lock().unwrap().is_empty());
    }
}
