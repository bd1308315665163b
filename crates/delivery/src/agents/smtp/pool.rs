//! Connections that wait for the next message to the same destination or the same host.

use super::connection::Connection;
use super::route::{Place, Target};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Connections without a message. Bounded by the connections that may be open at once.
#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<u64, Idle>,
    /// In the order of arrival; ids of connections that have gone are passed over.
    by_nexthop: HashMap<Rc<str>, Vec<u64>>,
    by_place: HashMap<Place, Vec<u64>>,
    next: u64,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
    nexthop: Rc<str>,
}

impl Pool {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    /// Keeps a connection that carried a message for `nexthop`.
    pub fn put(&mut self, nexthop: &str, connection: Box<Connection>) {
        let nexthop = match self.by_nexthop.get_key_value(nexthop) {
            Some((known, _)) => known.clone(),
            None => Rc::from(nexthop),
        };
        let id = self.next;
        self.next += 1;
        self.by_nexthop.entry(nexthop.clone()).or_default().push(id);
        match self.by_place.get_mut(&connection.peer.place) {
            Some(ids) => ids.push(id),
            None => {
                self.by_place.insert(connection.peer.place.clone(), vec![id]);
            }
        }
        self.idle.insert(id, Idle { connection, since: Instant::now(), nexthop });
    }

    /// The connection that carried a message for `nexthop` last and is still there; dead ones are dropped.
    pub fn take_for_nexthop(&mut self, nexthop: &str) -> Option<Box<Connection>> {
        while let Some(id) = self.by_nexthop.get(nexthop)?.last().copied() {
            if let Some(connection) = self.remove(id).and_then(alive) {
                return Some(connection);
            }
        }
        None
    }

    /// A connection to the address of `target` under the same name that is still there. Another name is another
    /// server, for the log and for what will be asked of its certificate.
    pub fn take_for_target(&mut self, target: &Target) -> Option<Box<Connection>> {
        loop {
            let same_host = |id: &u64| self.idle[id].connection.peer.host == target.host;
            let id = *self.by_place.get(&target.place)?.iter().rev().find(|id| same_host(id))?;
            if let Some(connection) = self.remove(id).and_then(alive) {
                return Some(connection);
            }
        }
    }

    #[expect(clippy::vec_box, reason = "they were boxed before and are closed as boxes")]
    /// Takes out those that have waited for `limit`, and says how long until the next.
    pub fn take_expired(&mut self, limit: Duration) -> (Vec<Box<Connection>>, Duration) {
        let old = |idle: &&Idle| idle.since.elapsed() >= limit;
        let ids: Vec<u64> = self.idle.iter().filter(|(_, idle)| old(idle)).map(|(id, _)| *id).collect();
        let expired = ids.into_iter().filter_map(|id| self.remove(id)).collect();
        let waits = self.idle.values().map(|idle| limit.saturating_sub(idle.since.elapsed()));
        (expired, waits.min().unwrap_or(limit))
    }

    /// Takes out the one that has waited longest.
    pub fn take_oldest(&mut self) -> Option<Box<Connection>> {
        let id = self.idle.iter().min_by_key(|(_, idle)| idle.since).map(|(id, _)| *id)?;
        self.remove(id)
    }

    fn remove(&mut self, id: u64) -> Option<Box<Connection>> {
        let idle = self.idle.remove(&id)?;
        drop_id(&mut self.by_nexthop, &*idle.nexthop, id);
        drop_id(&mut self.by_place, &idle.connection.peer.place, id);
        Some(idle.connection)
    }
}

fn alive(mut connection: Box<Connection>) -> Option<Box<Connection>> {
    (connection.is_reusable() && connection.is_alive()).then_some(connection)
}

/// Forgets an id; it is nearly always the last one.
fn drop_id<K, Q>(index: &mut HashMap<K, Vec<u64>>, key: &Q, id: u64)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    let Some(ids) = index.get_mut(key) else { return };
    if let Some(at) = ids.iter().rposition(|known| *known == id) {
        ids.remove(at);
    }
    if ids.is_empty() {
        index.remove(key);
    }
}
