//! Log lines of anvil: `statistics: max connection rate 3/60s for (smtp:192.0.2.10) at Jul  5 12:00:00`.

use crate::event::Event;
use std::fmt::Write as _;

/// The highest number of something that one client reached since the last lines.
#[derive(Debug)]
pub struct Highest<'a> {
    /// `connection rate`, `connection count`, …
    pub what: &'static str,
    /// How many.
    pub value: u32,
    /// For a rate: in how many seconds.
    pub unit: Option<u64>,
    /// The service's name in master.cf.
    pub service: &'a str,
    /// The client's address or network.
    pub network: &'a str,
    /// When, as the log writes times.
    pub at: &'a str,
}

impl Event for Highest<'_> {
    fn line(&self, out: &mut String) {
        let Highest { what, value, service, network, at, .. } = self;
        let _ = write!(out, "statistics: max {what} {value}");
        if let Some(unit) = self.unit {
            let _ = write!(out, "/{unit}s");
        }
        let _ = write!(out, " for ({service}:{network}) at {at}");
    }
}

/// The highest number of clients that were remembered since the last lines.
#[derive(Debug)]
pub struct CacheSize<'a> {
    /// How many.
    pub value: u32,
    /// When, as the log writes times.
    pub at: &'a str,
}

impl Event for CacheSize<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(out, "statistics: max cache size {} at {}", self.value, self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_its_time_and_a_count_has_none() {
        let line = |event: &dyn Event| {
            let mut out = String::new();
            event.line(&mut out);
            out
        };
        let rate = Highest {
            what: "message rate",
            value: 6,
            unit: Some(60),
            service: "127.0.0.1:2506",
            network: "192.0.2.10",
            at: "Jul  5 12:00:00",
        };
        assert_eq!(
            line(&rate),
            "statistics: max message rate 6/60s for (127.0.0.1:2506:192.0.2.10) at Jul  5 12:00:00"
        );
        let count = Highest { what: "connection count", unit: None, ..rate };
        assert_eq!(
            line(&count),
            "statistics: max connection count 6 for (127.0.0.1:2506:192.0.2.10) at Jul  5 12:00:00"
        );
        let size = CacheSize { value: 7, at: "Jul  5 12:00:00" };
        assert_eq!(line(&size), "statistics: max cache size 7 at Jul  5 12:00:00");
    }
}
