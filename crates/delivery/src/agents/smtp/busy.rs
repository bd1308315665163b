//! Which destinations have more mail than one message. Postfix: `smtp_connection_cache_on_demand`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A destination that got mail this lately is busy: the queue manager of Postfix has the same rule.
const LATELY: Duration = Duration::from_secs(1);

/// Destinations remembered; those without mail for a while are forgotten when there are more.
const REMEMBERED_MAX: usize = 10_000;

/// Deliveries under way and lately ended, by nexthop.
#[derive(Default)]
pub(super) struct Busy(HashMap<Arc<str>, Deliveries>);

#[derive(Default)]
struct Deliveries {
    under_way: usize,
    ended: Option<Instant>,
}

impl Deliveries {
    fn is_recent(&self) -> bool {
        self.ended.is_some_and(|at| at.elapsed() <= LATELY)
    }
}

impl Busy {
    /// A delivery begins.
    pub fn begin(&mut self, nexthop: &Arc<str>) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.retain(|_, d| d.under_way > 0 || d.is_recent());
        }
        self.0.entry(nexthop.clone()).or_default().under_way += 1;
    }

    /// A delivery has ended.
    pub fn end(&mut self, nexthop: &str) {
        if let Some(deliveries) = self.0.get_mut(nexthop) {
            deliveries.under_way = deliveries.under_way.saturating_sub(1);
            deliveries.ended = Some(Instant::now());
        }
    }

    /// Whether, seen from a delivery under way, the destination has other mail too.
    pub fn has_more(&self, nexthop: &str) -> bool {
        self.0.get(nexthop).is_some_and(|d| d.under_way > 1 || d.is_recent())
    }
}
