//! How many sessions each client has, and how fast it asks for things: what Postfix's anvil knows, inside the process.
//!
//! Postfix: anvil(8). Clients are counted by service and network, in shards of one table that all event loops share: a
//! flood meets as many locks as there are shards, each held for a few instructions.

mod network;
mod report;
mod shard;

pub use network::{Bits, Network};
pub use report::report;
pub use shard::Event;

use network::Key;
use shard::{Maxima, Shard};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Networks that are remembered at once: some 70 MB. Beyond it the one that was idle longest is forgotten, so a flood
/// from millions of addresses makes room for itself; one that has a session open is never forgotten.
pub const NETWORKS_MAX: usize = 1_000_000;

/// Parts of the table with a lock each; far more than event loops.
const SHARDS: usize = 64;

/// Networks that a shard forgets at a look: all shards together some milliseconds. A million that came at once go within
/// a minute.
const FORGOTTEN_MAX: usize = 256;

/// Counts clients; clones are the same counters.
#[derive(Clone, Debug)]
pub struct Anvil(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: Vec<Mutex<Shard>>,
    /// Seeded at random: nobody outside can choose addresses that fall into one shard.
    hasher: RandomState,
    /// Names of services, by their numbers.
    services: Mutex<Vec<Arc<str>>>,
    /// Networks in all shards.
    networks: AtomicUsize,
    /// The first network after there was none.
    filled: Notify,
    rate_time_unit: u32,
    clock: Clock,
}

/// A service, as [`Anvil::service`] numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceNumber(u16);

/// A session that is counted; dropping it uncounts it.
#[derive(Debug)]
pub struct Connection {
    anvil: Anvil,
    shard: usize,
    slot: u32,
    /// Sessions that the network has, this one included.
    pub sessions: u32,
    /// Sessions that it began within the time unit, this one included.
    pub rate: u32,
}

/// Time that only goes on, in microseconds since the epoch at the start of the process. So the seconds turn when those
/// of the log do, and a clock that is set back forgives nobody.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    offset: u64,
}

impl Anvil {
    /// Counters whose rates are for `rate_time_unit` (`anvil_rate_time_unit`).
    pub fn new(rate_time_unit: Duration) -> Self {
        Anvil(Arc::new(Inner {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(NETWORKS_MAX / SHARDS))).collect(),
            hasher: RandomState::new(),
            services: Mutex::default(),
            networks: AtomicUsize::new(0),
            filled: Notify::new(),
            rate_time_unit: u32::try_from(rate_time_unit.as_secs()).unwrap_or(u32::MAX),
            clock: Clock::start(),
        }))
    }

    /// The number of the service of this name, which its clients are counted under.
    pub fn service(&self, name: &Arc<str>) -> ServiceNumber {
        let mut services = lock(&self.0.services);
        let at = services.iter().position(|known| known == name).unwrap_or_else(|| {
            services.push(Arc::clone(name));
            services.len() - 1
        });
        ServiceNumber(u16::try_from(at).expect("master.cf has fewer than 65,536 services"))
    }

    /// Counts a session with a client of this network.
    pub fn connect(&self, service: ServiceNumber, network: Network) -> Connection {
        let inner = &*self.0;
        let key = Key { network, service };
        let hash = inner.hasher.hash_one(key);
        // The table below uses the other end of the hash.
        let number = (hash >> 32) as usize % SHARDS;
        let now = inner.clock.now();
        let mut shard = lock(&inner.shards[number]);
        let hash_of = |key: &Key| inner.hasher.hash_one(key);
        let found = shard.connect(hash, key, now, inner.rate_time_unit, &hash_of);
        // Unchanged while the shard is locked, but for other shards' changes.
        inner.networks.fetch_sub(found.forgotten, Ordering::Relaxed);
        if found.is_new {
            let networks = inner.networks.fetch_add(1, Ordering::Relaxed) + 1;
            shard.grew(networks, now);
            if networks == 1 {
                inner.filled.notify_one();
            }
        }
        drop(shard);
        let (slot, sessions, rate) = (found.slot, found.sessions, found.rate);
        Connection { anvil: self.clone(), shard: number, slot, sessions, rate }
    }

    /// How many networks are remembered.
    pub fn networks(&self) -> usize {
        self.0.networks.load(Ordering::Relaxed)
    }

    /// Bytes that the table takes.
    pub fn bytes(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).bytes()).sum()
    }

    /// Forgets who was idle for longer than the time unit.
    fn forget_idle(&self) {
        let inner = &*self.0;
        let hash_of = |key: &Key| inner.hasher.hash_one(key);
        for shard in &inner.shards {
            let (now, unit) = (inner.clock.now(), inner.rate_time_unit);
            let forgotten = lock(shard).forget_idle(now, unit, FORGOTTEN_MAX, &hash_of);
            inner.networks.fetch_sub(forgotten, Ordering::Relaxed);
        }
    }

    /// The highest counts since the last time.
    fn take_maxima(&self) -> Maxima {
        self.0.shards.iter().map(|shard| lock(shard).take_maxima()).fold(Maxima::default(), Maxima::merge)
    }
}

impl Connection {
    /// Counts an event and tells how many there were within the time unit, this one included.
    pub fn count(&self, event: Event) -> u32 {
        let inner = &*self.anvil.0;
        lock(&inner.shards[self.shard]).count(self.slot, event, inner.clock.now(), inner.rate_time_unit)
    }

    /// How many such events there were within the time unit.
    pub fn rate_of(&self, event: Event) -> u32 {
        let inner = &*self.anvil.0;
        lock(&inner.shards[self.shard]).rate(self.slot, event, inner.clock.now(), inner.rate_time_unit)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let inner = &*self.anvil.0;
        lock(&inner.shards[self.shard]).disconnect(self.slot, inner.clock.now());
    }
}

impl Clock {
    fn start() -> Self {
        let offset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), offset: micros(offset) }
    }

    fn now(&self) -> u64 {
        self.offset.saturating_add(micros(self.start.elapsed()))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const MINUTE: Duration = Duration::from_secs(60);

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap(), Bits { v4: 24, v6: 84 })
    }

    #[test]
    fn sessions_of_one_network_count_together_and_per_service() {
        let anvil = Anvil::new(MINUTE);
        let (smtp, submission) = (anvil.service(&"smtp".into()), anvil.service(&"submission".into()));
        assert_eq!(anvil.service(&"smtp".into()), smtp);
        let a = anvil.connect(smtp, network("192.0.2.1"));
        let b = anvil.connect(smtp, network("192.0.2.9"));
        let c = anvil.connect(smtp, network("192.0.3.9"));
        let d = anvil.connect(submission, network("192.0.2.1"));
        assert_eq!([a.sessions, b.sessions, c.sessions, d.sessions], [1, 2, 1, 1]);
        assert_eq!((b.count(Event::Message), a.count(Event::Message)), (1, 2));
        assert_eq!((b.rate_of(Event::Message), c.rate_of(Event::Message)), (2, 0));
        drop((a, b, c, d));
        let again = anvil.connect(smtp, network("192.0.2.77"));
        assert_eq!((again.sessions, again.rate, anvil.networks()), (1, 3, 3));
    }

    #[test]
    fn many_threads_count_each_session_once() {
        let anvil = Anvil::new(MINUTE);
        let smtp = anvil.service(&"smtp".into());
        let flood = |_| {
            let anvil = anvil.clone();
            std::thread::spawn(move || {
                for n in 0..1000u32 {
                    let ours = Network::of(Ipv4Addr::from_bits(n % 10).into(), Bits { v4: 32, v6: 84 });
                    anvil.connect(smtp, ours).count(Event::Recipient);
                }
            })
        };
        let threads: Vec<_> = (0..4).map(flood).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let one = anvil.connect(smtp, Network::of(Ipv4Addr::from_bits(3).into(), Bits { v4: 32, v6: 84 }));
        assert_eq!((one.sessions, one.rate, one.rate_of(Event::Recipient)), (1, 401, 400));
    }

    #[test]
    fn a_million_counted_addresses_stay_below_the_stated_bytes_and_further_ones_take_no_more() {
        let anvil = Anvil::new(MINUTE);
        let smtp = anvil.service(&"smtp".into());
        let flood = |from: u32, to: u32| {
            for n in from..to {
                drop(
                    anvil.connect(smtp, Network::of(Ipv4Addr::from_bits(n).into(), Bits { v4: 32, v6: 84 })),
                );
            }
        };
        flood(0, 1_000_000);
        let full = anvil.bytes();
        assert!(full < 75_000_000, "{full} bytes for {} networks", anvil.networks());
        // Shards are not filled alike: some forgot a few before the last ones came.
        assert!((950_000..=NETWORKS_MAX).contains(&anvil.networks()), "{}", anvil.networks());
        flood(1_000_000, 1_200_000);
        assert!(anvil.networks() <= NETWORKS_MAX && anvil.bytes() < 75_000_000, "{} bytes", anvil.bytes());
    }
}
